"""Locks between real processes: order, sharing, waiting, and the death of a holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exekutir.locks import Holder, LockFolder, holders, lock_folder
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, LockError, StoppedError

HOLD = """
    import sys, time
    from pathlib import Path
    from exekutir.locks import LockFolder
    from kommandir.cancellation import Cancellation
    from kommandir.deadline import Deadline

    folder, what, job = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    locks = LockFolder(folder, job, "setup", Deadline.after(20), Cancellation(), lambda *_: None)
    hold = {"setup": lambda: locks.setup("k"), "shared": lambda: locks.use("k"),
            "alone": lambda: locks.use("k", shared=False)}[what]
    with hold():
        print("held", flush=True)
        time.sleep(60)
"""


@contextmanager
def holder(folder: Path, what: str, job: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder), what, job]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def locks(folder: Path, seconds: float, told: list[tuple[str, list[Holder]]] | None = None) -> LockFolder:
    def waiting(name: str, held_by: list[Holder]) -> None:
        if told is not None:
            told.append((name, held_by))

    return LockFolder(folder, "mine", "run", Deadline.after(seconds), Cancellation(), waiting)


def test_who_waits_is_told_for_whom_and_gives_up_in_time(tmp_path: Path) -> None:
    told: list[tuple[str, list[Holder]]] = []
    with (
        holder(tmp_path, "setup", "theirs") as other,
        pytest.raises(LockError, match=r"k\.setup was not had within 0\.4 s") as error,
        locks(tmp_path, 0.4, told).setup("k"),
    ):
        pytest.fail("two held an exclusive lock")
    assert "setup of job theirs" in str(error.value)
    assert f"process {other.pid}" in str(error.value)
    assert "lock_timeout" in str(error.value)
    assert told[0][1][0].job == "theirs"


def test_use_is_shared_by_jobs_but_not_with_who_destroys(tmp_path: Path) -> None:
    with holder(tmp_path, "shared", "a"), holder(tmp_path, "shared", "b"):
        with locks(tmp_path, 5).use("k"):
            assert {item.job for item in holders(tmp_path, "k.use")} == {"a", "b", "mine"}
        with pytest.raises(LockError), locks(tmp_path, 0.3).use("k", shared=False):
            pytest.fail("destroyed while it was used")
    with holder(tmp_path, "alone", "c"), pytest.raises(LockError), locks(tmp_path, 0.3).use("k"):
        pytest.fail("used while it was destroyed")


def test_a_killed_holder_frees_its_lock_at_once(tmp_path: Path) -> None:
    with holder(tmp_path, "setup", "dead") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with locks(tmp_path, 5).setup("k"):
            assert [item.job for item in holders(tmp_path, "k.setup")] == ["mine"]
    assert holders(tmp_path) == []


def test_names_of_kommandirs_do_not_meet(tmp_path: Path) -> None:
    with holder(tmp_path, "setup", "theirs"), locks(tmp_path, 5).setup("other"):
        assert {item.lock for item in holders(tmp_path)} == {"k.setup", "other.setup"}


def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    cancellation = Cancellation()
    folder = LockFolder(tmp_path, "mine", "run", Deadline.after(30), cancellation, lambda *_: cancellation.request(15))
    with holder(tmp_path, "setup", "theirs"), pytest.raises(StoppedError, match="SIGTERM"), folder.setup("k"):
        pytest.fail("two held an exclusive lock")


def test_a_pid_that_is_used_again_is_not_the_holder(tmp_path: Path) -> None:
    with holder(tmp_path, "setup", "theirs") as other:
        note = next(tmp_path.glob("k.setup.holder.*"))
        note.write_text(note.read_text().replace('"started": ', '"started": 1'))
        assert holders(tmp_path) == []
        assert other.poll() is None


def test_a_folder_that_can_not_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KommandirError, match="lock_dir"), locks(tmp_path / "file", 1).setup("k"):
        pytest.fail("locked in a file")


def test_the_folder_of_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lock_folder({"lock_dir": "/a/b"}) == Path("/a/b")
    monkeypatch.setenv("EXEKUTIR_STATE", str(tmp_path))
    assert lock_folder({}) == tmp_path / "locks"


def test_two_that_want_it_have_it_one_after_the_other(tmp_path: Path) -> None:
    with holder(tmp_path, "setup", "first") as first:
        started = time.monotonic()
        os.kill(first.pid, signal.SIGSTOP)  # a holder that hangs still holds
        with pytest.raises(LockError), locks(tmp_path, 0.3).setup("k"):
            pytest.fail("two held an exclusive lock")
        assert time.monotonic() - started >= 0.3
