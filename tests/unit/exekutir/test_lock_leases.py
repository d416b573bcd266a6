"""Locks between hosts: leases in a folder that two hosts share, each in namespaces of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exekutir import lock_kinds
from exekutir.lock_kinds import FILE_NAME, agreed, file_system
from exekutir.locks import Holder, LockFolder, holders
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExitCode, KommandirError, LockError, UsageError

LEASE = 4.0
ANOTHER_HOST = ["unshare", *([] if os.geteuid() == 0 else ["-U", "-r"]), "--uts", "--pid", "--fork", "--mount-proc"]
ANOTHER_HOST += ["--kill-child", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "-"]
HOLD = """
    import sys, time
    from pathlib import Path
    from exekutir.locks import LockFolder
    from kommandir.cancellation import Cancellation
    from kommandir.deadline import Deadline
    from kommandir.errors import ExekutirError

    folder, what, job, lease = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
    stop = Cancellation()
    locks = LockFolder(folder, job, "setup", Deadline.after(60), stop, lambda *_: None, lease)
    hold = {"setup": lambda: locks.setup("k"), "shared": lambda: locks.use("k"),
            "alone": lambda: locks.use("k", shared=False)}[what]
    try:
        with hold():
            print("held", flush=True)
            while True:
                time.sleep(0.05)
                stop.check()
    except ExekutirError as error:
        print(f"{int(error.exit_code)} {error}", flush=True)
"""


@contextmanager
def other_host(
    folder: Path, what: str, job: str = "theirs", host: str = "elsewhere"
) -> Iterator[subprocess.Popen[str]]:
    """A process on another host that holds a lock."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder), what, job, str(LEASE)]
    process = subprocess.Popen([*ANOTHER_HOST, host, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def locks(folder: Path, seconds: float = 60, lease: float | None = LEASE) -> LockFolder:
    return LockFolder(folder, "mine", "run", Deadline.after(seconds), Cancellation(), lambda *_: None, lease)


def child(process: subprocess.Popen[str]) -> int:
    """The process that holds the lock, as this host numbers it."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def test_hosts_exclude_each_other_and_who_waits_sees_for_whom(tmp_path: Path) -> None:
    with other_host(tmp_path, "setup"):
        time.sleep(LEASE * 1.5)  # it refreshes its lease, and its process id means nothing here
        with pytest.raises(LockError, match="was not had within") as error, locks(tmp_path, 0.5).setup("k"):
            pytest.fail("two held an exclusive lock")
    assert "setup of job theirs (process 1 on elsewhere" in str(error.value)


def test_use_is_shared_by_hosts_but_not_with_who_destroys(tmp_path: Path) -> None:
    with other_host(tmp_path, "shared", "a"), other_host(tmp_path, "shared", "b", "third"):
        with locks(tmp_path).use("k"):
            assert {item.job for item in holders(tmp_path, "k.use")} == {"a", "b", "mine"}
        with pytest.raises(LockError), locks(tmp_path, 0.3).use("k", shared=False):
            pytest.fail("destroyed while it was used")
    with other_host(tmp_path, "alone", "c"), pytest.raises(LockError), locks(tmp_path, 0.3).use("k"):
        pytest.fail("used while it was destroyed")


@pytest.mark.parametrize("what", ["setup", "shared", "alone"])
def test_the_lease_of_a_killed_holder_ends_and_the_next_one_gets_it(tmp_path: Path, what: str) -> None:
    with other_host(tmp_path, what) as other:
        os.kill(child(other), signal.SIGKILL)
        other.wait()
        folder = locks(tmp_path)
        with folder.setup("k") if what == "setup" else folder.use("k", shared=False):
            assert [item.job for item in holders(tmp_path, "k.*") if item.job == "mine"]


@pytest.mark.parametrize("what", ["setup", "shared", "alone"])
def test_a_holder_that_stood_still_for_longer_than_its_lease_stops_when_it_wakes_up(tmp_path: Path, what: str) -> None:
    with other_host(tmp_path, what) as other:
        holder = child(other)
        os.kill(holder, signal.SIGSTOP)
        folder = locks(tmp_path)
        with folder.setup("k") if what == "setup" else folder.use("k", shared=False):
            os.kill(holder, signal.SIGCONT)
            assert other.stdout
            said = other.stdout.read()
    assert said.startswith(f"{int(ExitCode.LOCK_NOT_HAD)} lock k.{'setup' if what == 'setup' else 'use'} was lost: ")
    assert "this process stood still for" in said or "another process" in said  # whoever notices first
    assert "run the same command again" in said


def test_a_lease_that_was_taken_away_stops_its_holder(tmp_path: Path) -> None:
    folder = locks(tmp_path)
    held = folder.setup("k")
    held.__enter__()
    (tmp_path / "k.setup.lease").unlink()
    deadline = time.monotonic() + 60
    while not folder.cancellation.requested and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(LockError, match=r"k\.setup was lost: its file was removed") as error:
        held.__exit__(None, None, None)
    with pytest.raises(LockError) as again:
        folder.cancellation.check()
    assert again.value is error.value


def test_the_note_of_a_host_that_is_gone_goes_with_its_lease(tmp_path: Path) -> None:
    with locks(tmp_path).setup("k"):
        pass
    gone = replace(Holder.this("k.setup", "dead", "run", LEASE), space="another", host="gone")
    note = gone.noted(tmp_path, "holder")
    assert [item.job for item in holders(tmp_path)] == ["dead"]
    os.utime(note, (time.time() - 60, time.time() - 60))
    assert holders(tmp_path) == []
    assert not note.exists()


def test_both_kinds_are_never_mixed_in_a_folder(tmp_path: Path) -> None:
    with locks(tmp_path, lease=None).setup("k"):
        pass
    assert json.loads((tmp_path / FILE_NAME).read_text())["lease"] == 0
    with pytest.raises(UsageError, match="are the kernel's, for one host, but `lock_lease` is 4 here") as error:
        locks(tmp_path).setup("k").__enter__()
    assert str(tmp_path / FILE_NAME) in str(error.value)
    (tmp_path / FILE_NAME).unlink()
    with locks(tmp_path).setup("k"):
        pass
    for other in (0.0, 60.0):
        with pytest.raises(UsageError, match="are leases of 4 s, but"):
            locks(tmp_path, lease=other).setup("k").__enter__()
    with locks(tmp_path, lease=None).setup("k"):
        assert (tmp_path / "k.setup.lease").exists(), "who was told nothing takes what is there"


def test_a_record_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("")
    assert agreed(tmp_path, LEASE) == LEASE
    assert agreed(tmp_path, None) == LEASE


def test_all_who_come_first_at_once_agree(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from exekutir.lock_kinds import agreed; input()\n"
    script += "try: print(agreed(Path(sys.argv[1]), float(sys.argv[2])))\nexcept Exception: print('refused')"
    commands = [[sys.executable, "-c", script, str(tmp_path), str(lease)] for lease in (0, 60) * 3]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    said = [process.communicate("\n")[0].strip() for process in processes]
    kept = json.loads((tmp_path / FILE_NAME).read_text())["lease"]
    assert said == [str(float(lease)) if lease == kept else "refused" for lease in (0, 60) * 3]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def on_another_file_system(folder: Path, mount: str, lease: str = "None") -> str:
    """What ``agreed`` says where ``folder`` is mounted as told."""
    script = f"from pathlib import Path; from exekutir.lock_kinds import *; p = Path({str(folder)!r})\n"
    script += f"try: print(file_system(p), agreed(p, {lease}))\nexcept Exception as error: print(error)"
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]
    command = [*own, "sh", "-c", f'{mount} && exec "$@"', "-", sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_file_system_is_looked_up_where_the_folder_is(tmp_path: Path) -> None:
    inner = tmp_path / "a folder" / "locks"
    inner.mkdir(parents=True)
    assert on_another_file_system(inner, f"mount -t tmpfs none '{inner.parent}' && mkdir '{inner}'") == "tmpfs 0.0"
    assert file_system(tmp_path) == file_system(tmp_path / "not there yet") != ""
    assert file_system(Path("/proc/self")) == "proc"


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("nfs4", True),
        ("cifs", True),
        ("9p", True),
        ("fuse.sshfs", True),
        ("fuse.fuse-overlayfs", False),
        ("ext4", False),
    ],
)
def test_leases_are_for_file_systems_that_hosts_may_share(
    tmp_path: Path, kind: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_kinds, "file_system", lambda _: kind)
    assert agreed(tmp_path, None) == (60.0 if shared else 0.0)
    (tmp_path / FILE_NAME).unlink()
    assert agreed(tmp_path, 0.0) == 0.0
    if shared:
        with pytest.raises(UsageError, match=f"but here it is on {kind}"):
            agreed(tmp_path, None)


def test_a_folder_that_can_not_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KommandirError, match="lock_dir"), locks(tmp_path / "file").setup("k"):
        pytest.fail("locked in a file")
