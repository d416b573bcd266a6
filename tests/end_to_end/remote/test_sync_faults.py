"""What a cut, a kill, a full disk or a wrong host does to workspaces on their way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exekutir.remote import peon_state
from exekutir.remote import rsync as rsyncs
from exekutir.remote.control import ConnectionLostError
from exekutir.remote.host_keys import HostKeyError
from exekutir.remote.multiplexing import multiplexed
from exekutir.remote.rsync import StrangerError
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, StoppedError, TimeOutError, UnreachableError
from kommandir.events import EventStream
from kommandir.redaction import Redactor
from tests.patience import until
from tests.remote_hosts import NAME, Wire
from tests.two_workspaces import WORKSPACE, Two

OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]


def test_a_cut_leaves_old_files_and_the_next_try_goes_on_where_it_stopped(two: Two, wire: Wire) -> None:
    two.lay({"results/a": "old", "results/big": "old", "results/only": "here", "job.xn": ""})
    two.sync().push()
    (two.there / "results/big").write_bytes(os.urandom(8_000_000))
    (two.there / "results/only").unlink()
    two.lay({"results/a": "new"}, there=True)
    wire.budget = 4_000_000
    far = replace(two.server.host(), port=wire.port)
    with (
        multiplexed(far) as shared,
        pytest.raises(ConnectionLostError, match="the connection broke"),
    ):
        two.sync(host=shared).pull()
    found = {name: (two.here / "results" / name).read_text() for name in ("a", "big", "only")}
    assert found in ({"a": state, "big": "old", "only": "here"} for state in ("old", "new"))
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
    with multiplexed(far) as shared:
        report = two.sync(host=shared, reconnect_timeout=60).pull()
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
    assert (target / "results/big").read_text() == "old"
    assert (target / "results/a").read_text() in ("old", "new")
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
    assert "NoSpaceError" in ended.stdout, ended.stderr
    assert f"no space left for {two.here} on this host" in ended.stdout
    assert ended.stdout.endswith(("old\n", "new\n"))


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
