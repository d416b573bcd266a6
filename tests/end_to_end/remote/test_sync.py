"""Workspaces to and fro over a real SSH server: who wins, what stays where it is, what a cut or a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exekutir.remote import peon_state
from exekutir.remote import rsync as rsyncs
from exekutir.remote.control import ConnectionLostError
from exekutir.remote.host import RemoteHost
from exekutir.remote.host_keys import HostKeyError
from exekutir.remote.multiplexing import multiplexed
from exekutir.remote.rsync import StrangerError
from exekutir.remote.sync import Sync
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, StoppedError, TimeOutError, UnreachableError
from kommandir.events import EventStream
from kommandir.redaction import Redactor
from tests.remote_hosts import NAME, Server, Wire

OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to that")


class Two:
    """A workspace here, and the home of its job there."""

    def __init__(self, folder: Path, server: Server, host: RemoteHost) -> None:
        self.here, self.there = folder / "kommandir_workspace", folder / "home"
        self.here.mkdir(mode=0o700)
        self.there.mkdir(mode=0o700)
        self.server, self.host, self.log = server, host, folder / "sync.log"

    def sync(self, **changes: Any) -> Sync:
        told = Sync(
            host=self.host,
            local=self.here,
            remote=str(self.there),
            deadline=Deadline.after(120),
            cancellation=Cancellation(),
            log=self.log,
        )
        return replace(told, **changes)

    def lay(self, files: dict[str, str], *, there: bool = False) -> None:
        for name, text in files.items():
            path = (self.there if there else self.here) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def names(self, folder: Path) -> set[str]:
        found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
        return {str(path) for path in found if path.name != ".exekutir-sync"}


@pytest.fixture
def two(tmp_path: Path, server: Server) -> Iterator[Two]:
    with multiplexed(server.host()) as host:  # a login takes a second on a busy machine
        yield Two(tmp_path, server, host)


WORKSPACE = {
    "job.xn": "- variable: {x: 1}\n",
    "roles/mine/tasks/main.yml": "---\n",
    "journal.jsonl": "{}\n",
    "private/extra_vars.yml": "password: hidden\n",
    "private/laid.json": "[]",
    "private/gone.yml": "name: gone\n",
    "ssh/kommandir_key": "our secret\n",
    "ssh/known_hosts": "",
    "results/events.jsonl": "ours\n",
    "inventory/host_vars/kept.yml": "a: 1\n",
}


def test_the_exekutirs_copy_wins_on_the_way_there(two: Two) -> None:
    two.lay(WORKSPACE)
    two.lay({"job.xn": "older", "stray": "", "roles/old/tasks/main.yml": ""}, there=True)
    own = {".bashrc": "", ".ssh/authorized_keys": "key", ".ansible/tmp/x": "", ".cache/y": "", "cache/image": "big"}
    own |= {"ssh/made_there": "secret of the job", "private/tmp123/env": "secret"}
    two.lay({**own, "private/long_gone.yml": "name: long_gone\n"}, there=True)
    report = two.sync().push()
    travelled = set(WORKSPACE) - {"private/laid.json", "results/events.jsonl"}
    assert two.names(two.there) == travelled | set(own)
    assert (two.there / "job.xn").read_text() == WORKSPACE["job.xn"]
    assert (report.files, report.deleted > 0) == (len(travelled), True)
    assert two.there.stat().st_mode & 0o777 == 0o700
    again = two.sync().push()
    assert (again.files, again.bytes, again.deleted) == (0, 0, 0), "nothing but changes travels"


def test_the_kommandirs_copy_wins_on_the_way_back(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    done = {"job.xn": "rewritten there", "results/peon/facts.json": "{}", "journal.jsonl": '{"peon": 1}\n'}
    done |= {"ssh/known_hosts": "peon key\n", "inventory/host_vars/peon.yml": "ansible_host: 10.0.0.9\n"}
    done |= {"private/peon.yml": "name: peon\n"}
    secret = {"private/extra_vars.yml": "changed there", "ssh/kommandir_key": "changed there", "ssh/made_there": "x"}
    own = {".bash_history": "", ".local/x": "", "cache/image": "big", "private/tmp1/env": ""}
    own |= {"results/events.jsonl": "not ours"}
    two.lay({**done, **secret, **own}, there=True)
    (two.there / "private/peon.yml").chmod(0o600)
    (two.there / "private/gone.yml").unlink()
    (two.there / "inventory/host_vars/kept.yml").unlink()
    two.sync().pull()
    gone = {"private/gone.yml", "inventory/host_vars/kept.yml"}
    assert two.names(two.here) == (set(WORKSPACE) | set(done)) - gone
    for name, text in {**WORKSPACE, **done}.items():
        assert name in gone or (two.here / name).read_text() == text, name
    assert (two.here / "private/peon.yml").stat().st_mode & 0o777 == 0o600


def test_the_state_of_the_peons_comes_alone_and_fast(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    state = {"private/peon.yml": "name: peon\n", "journal.jsonl": "more\n", "inventory/host_vars/peon.yml": "b: 2\n"}
    two.lay({**state, "results/big": "x" * 100_000, "job.xn": "rewritten"}, there=True)
    assert two.sync().pull_state().files == len(state)
    assert {name: (two.here / name).read_text() for name in state} == state
    assert (two.here / "job.xn").read_text() == WORKSPACE["job.xn"]
    assert not (two.here / "results/big").exists()


def test_links(two: Two) -> None:
    two.lay({"a/file": "inside", "job.xn": ""})
    outside = two.here.parent / "outside"
    outside.mkdir()
    (outside / "data").write_text("from outside")
    (two.here / "a/inside").symlink_to("file")
    (two.here / "a/out").symlink_to(outside / "data")
    (two.here / "a/folder").symlink_to(outside)
    (two.here / "a/no [where]*").symlink_to("/not/there")
    (two.here / "a/not_yet").symlink_to("made/later")
    two.lay({"stray": ""}, there=True)
    report = two.sync().push()
    assert report.dangling == ("a/no [where]*",)
    assert (two.there / "a/inside").readlink() == Path("file")
    assert (two.there / "a/not_yet").readlink() == Path("made/later")
    assert (two.there / "a/out").read_text() == (two.there / "a/folder/data").read_text() == "from outside"
    assert not (two.there / "a/out").is_symlink()
    assert not (two.there / "stray").exists(), "a link to nothing kept rsync from deleting"
    (two.there / "results").mkdir()
    (two.there / "results/passwd").symlink_to("/etc/passwd")
    (two.there / "results/nowhere").symlink_to("/not/there")
    assert two.sync().pull().dangling == ("results/nowhere",)
    assert not (two.here / "results/passwd").is_symlink()


def test_names_of_all_kinds_and_the_users_excludes(two: Two) -> None:
    names = ["with blank", "ünïcode", "quote'\"", "-dash", "new\nline", "star*[x]", "$(id)", "#hash"]
    two.lay({f"results/{name}": name for name in names})
    two.lay({"big/iso": "", "deep/down/x.iso": "", "deep/y": "", "big.txt": ""})
    excludes = ["big", "deep/**.iso"]
    two.sync(excludes=excludes).push()
    assert two.names(two.there) == {f"results/{name}" for name in names} | {"deep/y", "big.txt"}
    two.lay({"big/there": "", "results/new": ""}, there=True)
    two.sync(excludes=excludes).pull()
    assert (two.here / "big/iso").exists()
    assert not (two.here / "big/there").exists()
    assert two.sync(excludes=excludes).verified() == ()


@pytest.mark.parametrize("skew", [-86400.0, 86400.0])
def test_a_clock_that_is_off_by_a_day_hides_no_change(two: Two, skew: float) -> None:
    two.lay({"results/state": "bad\n", "results/same": "0\n", "job.xn": ""})
    two.sync().push()
    moment = (two.here / "results/state").stat().st_mtime_ns
    two.lay({"results/state": "ok!\n", "results/same": "1\n"}, there=True)
    os.utime(two.there / "results/state", ns=(moment, moment + int(skew * 1e9)))
    os.utime(two.there / "results/same", ns=(moment, moment + 1))  # the same second, the same size
    two.sync().pull()
    assert (two.here / "results/state").read_text() == "ok!\n"
    assert (two.here / "results/same").read_text() == "1\n"
    assert two.sync().verified() == ()
    two.lay({"results/state": "bad\n"})
    os.utime(two.here / "results/state", ns=(moment, moment - int(skew * 1e9)))
    two.sync().push()
    assert (two.there / "results/state").read_text() == "bad\n"


def test_a_corrupted_copy_is_noticed_and_mended(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    two.lay({"results/p/adept_result.txt": "failed\n", "journal.jsonl": "x\n"}, there=True)
    two.sync().pull()
    assert two.sync().verified() == ()
    kept = (two.here / "results/p/adept_result.txt").stat()
    (two.here / "results/p/adept_result.txt").write_text("passed\n")
    os.utime(two.here / "results/p/adept_result.txt", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (two.here / "journal.jsonl").unlink()
    (two.here / "results/only_here").write_text("")
    found = {"results/p/adept_result.txt", "journal.jsonl", "results/only_here"}
    assert set(two.sync().verified()) == found
    assert (two.here / "results/p/adept_result.txt").read_text() == "failed\n"
    assert two.sync().verified() == ()


def test_a_copy_that_stays_another_one_is_an_error(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    script = f"i=0; while sleep 0.005; do i=$((i+1)); echo $i >{two.there}/results/busy.new; "
    script += f"mv {two.there}/results/busy.new {two.there}/results/busy; done"
    with subprocess.Popen(["sh", "-c", script]) as writer:
        try:
            with pytest.raises(KommandirError, match="are not what they are there") as error:
                two.sync().verified()
        finally:
            writer.kill()
    assert "results/busy" in str(error.value)


def test_nothing_is_brought_back_from_a_home_that_is_another_one(two: Two) -> None:
    two.lay(WORKSPACE)
    with pytest.raises(StrangerError):
        two.sync().pull()
    two.sync().push()
    two.there.rename(two.there.with_name("old"))
    two.there.mkdir(mode=0o700)
    for what in (two.sync().pull, two.sync().pull_state, two.sync().verified):
        with pytest.raises(StrangerError, match="is not the one that was sent there") as error:
            what()
        assert NAME in str(error.value)
    assert two.names(two.here) == set(WORKSPACE)
    two.sync().push()
    two.sync().pull()


def test_what_a_killed_exekutir_did_not_bring_back_is_not_overwritten(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    done = {"journal.jsonl": "a peon\n", "private/peon.yml": "name: peon\n", "results/r": "1"}
    done |= {"inventory/host_vars/peon.yml": "c: 1\n"}
    two.lay({**done, "job.xn": "rewritten there"}, there=True)
    two.lay({"job.xn": "the user's new one"})
    two.sync().push(laid=True)
    for name, text in done.items():
        laid = name.startswith("inventory")
        assert laid or (two.here / name).read_text() == (two.there / name).read_text() == text
        assert not laid or not (two.here / name).exists()
    assert (two.there / "job.xn").read_text() == "the user's new one"
    two.lay({"inventory/host_vars/peon.yml": "c: 2\n"}, there=True)
    two.sync().push()
    assert (two.here / "inventory/host_vars/peon.yml").read_text() == "c: 2\n"
    two.sync().verified()
    (two.here / "private/peon.yml").unlink()
    two.sync().push()
    assert not (two.there / "private/peon.yml").exists(), "what was brought back and destroyed here is gone there"


def test_all_commands_share_a_connection_that_is_closed_at_the_end(two: Two, wire: Wire) -> None:
    two.lay(WORKSPACE)
    with multiplexed(replace(two.server.host(), port=wire.port)) as host:
        socket = Path(next(word for word in host.options if word.startswith("ControlPath=")).partition("=")[2])
        sync = two.sync(host=host)
        sync.push()
        wire.down = True
        sync.pull()
        assert sync.verified() == ()
        assert socket.exists()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()
    processes = subprocess.run(["pgrep", "-f", str(socket)], capture_output=True, text=True, check=False)
    assert processes.stdout == ""


def test_a_cut_leaves_old_files_and_the_next_try_goes_on_where_it_stopped(two: Two, wire: Wire) -> None:
    two.lay({"results/a": "old", "results/big": "old", "results/only": "here", "job.xn": ""})
    two.sync().push()
    (two.there / "results/big").write_bytes(os.urandom(8_000_000))
    (two.there / "results/only").unlink()
    two.lay({"results/a": "new"}, there=True)
    wire.budget = 4_000_000
    far = replace(two.server.host(), port=wire.port)
    with pytest.raises(ConnectionLostError, match="the connection broke"):
        two.sync(host=far).pull()
    assert {name: (two.here / "results" / name).read_text() for name in ("a", "big", "only")} == {
        "a": "old",
        "big": "old",
        "only": "here",
    }
    report = two.sync(host=far).pull()
    assert (two.here / "results/big").read_bytes() == (two.there / "results/big").read_bytes()
    assert (two.here / "results/a").read_text() == "new"
    assert report.wire < 6_000_000, "what had come already came again"
    assert two.names(two.here) == {"results/a", "results/big", "job.xn"}, "something was left behind"


def test_a_connection_that_breaks_is_made_again(two: Two, wire: Wire) -> None:
    two.lay({"results/x": "", "job.xn": ""})
    two.sync().push()
    (two.there / "results/big").write_bytes(os.urandom(4_000_000))
    wire.budget = 1_000_000
    far = replace(two.server.host(), port=wire.port)
    report = two.sync(host=far, reconnect_timeout=60).pull()
    assert wire.cuts >= 1
    assert (two.here / "results/big").stat().st_size == 4_000_000
    assert report.files >= 1


def killed_in_the_middle(two: Two, call: str) -> None:
    """Kill a process, and all it started, in the middle of a transfer."""
    script = f"""
        import os, threading
        from pathlib import Path
        from exekutir.remote.host import RemoteHost
        from exekutir.remote.sync import Sync
        from kommandir.cancellation import Cancellation
        from kommandir.deadline import Deadline
        host = RemoteHost(name={NAME!r}, address="127.0.0.1", port={two.server.port}, user={two.server.host().user!r},
            key=Path({str(two.server.host().key)!r}), known_hosts=Path({str(two.server.known_hosts)!r}))
        print("ready", flush=True)
        Sync(host=host, local=Path({str(two.here)!r}), remote={str(two.there)!r}, deadline=Deadline.after(60),
            cancellation=Cancellation()).{call}()
    """
    environment = {**os.environ, "PATH": f"{two.here.parent / 'bin'}:{os.environ['PATH']}"}
    slow = two.here.parent / "bin" / "rsync"
    slow.parent.mkdir(exist_ok=True)
    # 3 MB a second, so that there is a middle; it ends as our own child would: killed.
    slow.write_text(f'#!/bin/sh\necho $$ >{two.here.parent}/rsync.pid\nexec /usr/bin/rsync --bwlimit=3000 "$@"\n')
    slow.chmod(0o755)
    target = two.here if call.startswith("pull") else two.there
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment) as process:
        for _ in range(6000):
            if any(path.stat().st_size > 0 for path in target.rglob(".big.*")):
                break
            threading.Event().wait(0.01)
        process.kill()
        group = int((two.here.parent / "rsync.pid").read_text())
        os.killpg(group, 9)


@pytest.mark.parametrize("call", ["push", "pull"])
def test_a_kill_leaves_old_files_and_the_next_call_mends_it(two: Two, call: str) -> None:
    two.lay({"results/big": "old", "results/a": "old", "job.xn": ""})
    two.sync().push()
    two.sync().verified()
    source, target = (two.here, two.there) if call == "push" else (two.there, two.here)
    (source / "results/big").write_bytes(os.urandom(6_000_000))
    (source / "results/a").write_text("new")
    killed_in_the_middle(two, call)
    assert (target / "results/a").read_text() == (target / "results/big").read_text() == "old"
    if call == "push":
        with pytest.raises(StrangerError):
            two.sync().pull()
    getattr(two.sync(), call)()
    assert two.names(two.here) == two.names(two.there) == {"results/big", "results/a", "job.xn"}
    assert (target / "results/big").read_bytes() == (source / "results/big").read_bytes()


def small_disk_there(two: Two) -> None:
    """Give every connection a disk of its own for the home, with little room."""
    unshared = " ".join(OWN_MOUNTS)
    inside = f'mount -t tmpfs -o size=1m none {two.there}; eval \\"$SSH_ORIGINAL_COMMAND\\"'
    key = (two.server.folder / "key.pub").read_text()
    (two.server.folder / "authorized").write_text(f"command=\"{unshared} sh -c '{inside}'\" {key}")


def test_a_full_disk_there_is_said(two: Two) -> None:
    two.lay({"job.xn": ""})
    (two.here / "big").write_bytes(os.urandom(3_000_000))
    small_disk_there(two)
    with pytest.raises(KommandirError, match="no space left for") as error:
        two.sync().push()
    assert f"{two.there} on {NAME}" in str(error.value)
    assert "No space left on device" in str(error.value)
    assert "stonith" in str(error.value)
    assert "No space left" in two.log.read_text()


def test_a_full_disk_here_is_said_and_nothing_is_lost(two: Two) -> None:
    two.lay({"job.xn": "old", "results/x": "old"})
    two.sync().push()
    (two.there / "results/big").write_bytes(os.urandom(3_000_000))
    two.lay({"results/x": "new"}, there=True)
    host = two.server.host()
    script = f"""
        from pathlib import Path
        from exekutir.remote.host import RemoteHost
        from exekutir.remote.sync import Sync
        from kommandir.cancellation import Cancellation
        from kommandir.deadline import Deadline
        host = RemoteHost(name={NAME!r}, address="127.0.0.1", port={host.port}, user={host.user!r},
            key=Path({str(host.key)!r}), known_hosts=Path({str(host.known_hosts)!r}))
        try:
            Sync(host=host, local=Path({str(two.here)!r}), remote={str(two.there)!r}, deadline=Deadline.after(60),
                cancellation=Cancellation()).pull()
        except Exception as error:
            print(type(error).__name__, error)
        print(Path({str(two.here)!r}, "results/x").read_text())
    """
    mount = f"cp -a {two.here} {two.here}.saved && mount -t tmpfs -o size=1m none {two.here} && "
    mount += f'cp -a {two.here}.saved/. {two.here} && exec {sys.executable} -c "$1"'
    ended = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount, "-", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert "KommandirError" in ended.stdout, ended.stderr
    assert f"no space left for {two.here} on this host" in ended.stdout
    assert ended.stdout.endswith("old\n"), "half of it was brought back"


def another_key(two: Two) -> None:
    two.server._keyed("other")
    two.server.stop()
    two.server.start("other")


def no_login(two: Two) -> None:
    (two.server.folder / "authorized").write_text("")


def nobody_listens(two: Two) -> None:
    two.server.stop()


def no_rsync(two: Two) -> None:
    key = (two.server.folder / "key.pub").read_text()
    (two.server.folder / "authorized").write_text(f'command="PATH=/nowhere; eval \\"$SSH_ORIGINAL_COMMAND\\"" {key}')


@pytest.mark.parametrize(
    ("break_it", "kind", "said"),
    [
        (another_key, HostKeyError, "its key is not the one that is known"),
        (no_login, UnreachableError, "can't log in with the key"),
        (nobody_listens, ConnectionLostError, "Connection refused"),
        (no_rsync, KommandirError, "rsync is missing there"),
    ],
)
def test_what_is_wrong_is_said(two: Two, break_it: Callable[[Two], None], kind: type[Exception], said: str) -> None:
    two.lay(WORKSPACE)
    break_it(two)
    with pytest.raises(kind) as error:
        two.sync().push()
    assert type(error.value) is kind
    assert NAME in str(error.value)
    assert said in str(error.value)
    assert str(two.log) in str(error.value)
    assert "next:" in str(error.value)


def test_a_file_that_can_not_be_read_is_said(two: Two) -> None:
    two.lay({"job.xn": "", "results/good": ""})
    for one, other in (("a", "b"), ("b", "a")):
        (two.here / f"results/loop_{one}").symlink_to(two.here / f"results/loop_{other}")
    with pytest.raises(KommandirError, match="exit code 23") as error:
        two.sync().push()
    assert "loop_a" in str(error.value)
    assert "sync_excludes" in str(error.value)
    assert (two.there / "results/good").exists()
    with pytest.raises(StrangerError):
        two.sync().pull()


def test_a_file_that_vanishes_is_no_failure(two: Two) -> None:
    two.lay({f"results/{number}/{name}": "x" * 2000 for number in range(30) for name in range(100)})
    two.sync().push()
    script = "while :; do for i in 1 2 3 4 5 6 7 8 9; do : >t$i; done; rm t?; done"
    with subprocess.Popen(["sh", "-c", script], cwd=two.there / "results/29") as writer:
        try:
            for _ in range(5):
                two.sync().pull()
        finally:
            writer.kill()


def test_a_signal_and_a_deadline_end_it(two: Two, wire: Wire) -> None:
    two.lay(WORKSPACE)
    wire.deaf = True
    far = replace(two.server.host(), port=wire.port)
    with pytest.raises(TimeOutError, match="was stopped: it took longer"):
        two.sync(host=far, deadline=Deadline.after(0.5)).push()
    cancellation = Cancellation()
    timer = threading.Timer(0.5, cancellation.request, (15,))
    timer.start()
    with pytest.raises(StoppedError, match="SIGTERM"):
        two.sync(host=far, cancellation=cancellation).push()


def test_a_long_transfer_tells_how_far_it_is(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsyncs, "TELL_EVERY", 0.0)
    (two.here / "big").write_bytes(os.urandom(20_000_000))
    path = two.here.parent / "events.jsonl"
    two.sync(events=EventStream(path, Redactor([]), "setup")).push()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert told
    assert {item["event"] for item in told} == {"transfer"}
    assert told[-1]["percent"] == 100
    assert "sending the workspace" in told[-1]["doing"]
    assert "%" not in two.log.read_text().partition("Number of files")[2]


def test_the_peons_of_a_run_are_known_here_while_it_goes_on(two: Two, wire: Wire) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    events = EventStream(None, Redactor([]), "setup")
    far = replace(two.server.host(), port=wire.port)
    with peon_state.followed(two.sync(host=far), events):
        two.lay({"private/first.yml": "name: first\n", "journal.jsonl": "first\n"}, there=True)
        events.emit("peon", peon="first", state="creating")
        until(lambda: (two.here / "private/first.yml").exists() and (two.here / "journal.jsonl").stat().st_size > 3)
        wire.down = True
        wire.cut()
        two.lay({"private/second.yml": "name: second\n"}, there=True)
        events.emit("peon", peon="second", state="creating")
        threading.Event().wait(1)
        wire.down = False
        until((two.here / "private/second.yml").exists)
    two.lay({"private/third.yml": ""}, there=True)
    events.emit("peon", peon="third", state="creating")
    assert not [thread for thread in threading.enumerate() if thread.name == "state of the peons"]


def test_peons_that_can_not_be_known_here_are_warned_of_once(two: Two) -> None:
    two.lay(WORKSPACE)
    told: list[dict[str, Any]] = []
    events = EventStream(None, Redactor([]), "setup")
    events.subscribe(told.append)
    with peon_state.followed(two.sync(), events):
        events.emit("peon", peon="first", state="creating")
        until(lambda: len(told) > 1)
        events.emit("peon", peon="second", state="creating")
    assert [item["event"] for item in told] == ["peon", "warning", "peon"]
    assert "peons may be left" in told[1]["message"]
