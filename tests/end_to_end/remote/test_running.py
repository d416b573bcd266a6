"""A run on a remote kommandir, over a real SSH server: what it brings, what a lost connection does not do to it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exekutir.remote import control, pursuit, running
from exekutir.remote import runs as known
from exekutir.remote.host_keys import HostKeyError
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExitCode, KommandirError, StoppedError, UnreachableError, UsageError
from tests.detached_runs import KOMMANDIR, Runs, items, left
from tests.end_to_end.remote.pursued import Exekutir, descriptors
from tests.patience import until
from tests.remote_hosts import Server, Wire

#: Something is told for about six seconds.
TALKATIVE = items("for i in $(seq 300); do echo $i; sleep 0.02; done")
ALL_LINES = [str(number) for number in range(1, 301)]
#: Cleans up when it is told to end.
TRAPPED = items("trap 'echo cleaned >cleaned; exit 0' TERM; echo ready; sleep 120 & wait")


@pytest.fixture
def exekutir(tmp_path: Path, server: Server, wire: Wire, runs: Runs) -> Exekutir:
    (tmp_path / "exekutir").mkdir()
    return Exekutir(tmp_path / "exekutir", server, wire.port, runs)


@pytest.fixture
def quickly_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed within seconds; heartbeats come every three."""
    monkeypatch.setattr(control, "PULSE", 0.5)
    monkeypatch.setattr(control, "SILENCE", 3.0)
    monkeypatch.setattr(pursuit, "SILENCE", 8.0)


def ready(exekutir: Exekutir) -> None:
    until(lambda: any(event.get("line") == "ready" for event in list(exekutir.told)))


def test_a_run_brings_its_events_and_its_result(exekutir: Exekutir) -> None:
    result = exekutir.run(items("echo one", "echo two >&2; exit 5"))
    assert (result.exit_code, result.outcome) == (5, ExitCode.TESTS_FAILED)
    assert result.failures[0].step == "stdin-02-command"
    assert "two" in result.failures[0].message
    assert exekutir.told == exekutir.stored()
    assert exekutir.lines() == ["one", "two"]
    kinds = [event["event"] for event in exekutir.told]
    assert kinds == ["step_started", "output", "step_finished"] * 2
    assert len({json.dumps(event["remote"]) for event in exekutir.told}) == 6
    actions = [entry.action for entry in exekutir.journal.entries()]
    assert actions == ["remote_run_started", "remote_run_ended"]
    before = descriptors()
    for _ in range(3):
        exekutir.run(items("true"))
    until(lambda: descriptors() <= before)


def test_what_is_wrong_in_job_xn_is_the_users_mistake(exekutir: Exekutir) -> None:
    with pytest.raises(UsageError, match="filepaht"):
        exekutir.run("- command: {filepaht: x}\n")


def test_the_environment_passes_and_secrets_stay(exekutir: Exekutir, runs: Runs) -> None:
    environment = {"TERM": "vt100", "COLUMNS": "77", "WORD": "hunter2secret", "NOT_NAMED": "x"}
    exekutir.run(items("env"), environment=environment, environment_pass=("WORD",))
    lines = exekutir.lines()
    assert {"TERM=vt100", "COLUMNS=77", "WORD=[redacted]"} <= set(lines)
    assert not any(line.startswith("NOT_NAMED") for line in lines)
    for file in (exekutir.folder / "journal.jsonl", exekutir.file, *(runs.workspace / "results").rglob("*.log")):
        assert "hunter2secret" not in file.read_text(), file


def test_nothing_is_lost_or_doubled_when_the_connection_is_cut(exekutir: Exekutir, wire: Wire) -> None:
    pursued = exekutir.in_thread(TALKATIVE)
    dice = random.Random(int(os.environ.get("CUT_SEED", "0")) or time.time_ns())
    while pursued.thread.is_alive():
        if wire.budget is None and wire.cuts < 10:
            wire.budget = dice.randrange(2500, 9000)
        pursued.thread.join(0.05)
    assert pursued.result().outcome == ExitCode.GOOD
    assert wire.cuts >= 3
    assert exekutir.lines() == ALL_LINES
    assert [event["line"] for event in exekutir.kinds("output")] == ALL_LINES
    assert any("nothing of the run is missing" in event["message"] for event in exekutir.kinds("warning"))


def test_a_start_whose_answer_is_lost_starts_one_run(exekutir: Exekutir, wire: Wire, runs: Runs) -> None:
    """Whatever byte of the way to the answer was the last, before the login and after it."""
    for number, budget in enumerate([1, 2300, 2700, 2900, 3100]):
        wire.budget = budget
        assert exekutir.run(items(f"echo x >>count-{number}")).exit_code == 0
        assert (runs.workspace / f"count-{number}").read_text() == "x\n"
    assert wire.cuts >= 4


def test_killed_sessions_do_not_kill_the_run(exekutir: Exekutir, server: Server) -> None:
    pursued = exekutir.in_thread(TALKATIVE)
    for _ in range(3):
        until(lambda: bool(server.sessions()) or not pursued.thread.is_alive())
        time.sleep(0.7)
        for session in server.sessions():
            os.kill(session, signal.SIGKILL)
    assert pursued.result().outcome == ExitCode.GOOD
    assert exekutir.lines() == ALL_LINES


@pytest.mark.usefixtures("quickly_deaf")
def test_a_half_dead_connection_is_noticed(exekutir: Exekutir, wire: Wire) -> None:
    pursued = exekutir.in_thread(items("echo ready; sleep 2; echo meanwhile; sleep 4; echo after"))
    ready(exekutir)
    wire.deafen()
    assert pursued.result().outcome == ExitCode.GOOD
    assert exekutir.lines() == ["ready", "meanwhile", "after"]
    (waited,) = exekutir.kinds("waiting")
    assert "to answer again" in waited["for"]


def test_a_kommandir_that_is_away_for_long_is_given_up_and_its_run_taken_up_again(
    exekutir: Exekutir, wire: Wire, runs: Runs
) -> None:
    pursued = exekutir.in_thread(items("echo ready; sleep 3; echo more", "echo last; exit 3"), reconnect_timeout=2)
    ready(exekutir)
    wire.down = True
    wire.cut()
    with pytest.raises(KommandirError, match="does not answer since") as caught:
        pursued.result()
    assert caught.value.exit_code == ExitCode.KOMMANDIR_FAILED
    assert "run --attach" in str(caught.value)
    assert "exekutir cleanup" in str(caught.value)
    wire.down = False
    until(lambda: runs.run(exekutir.run_id()).state == "ended")
    result = exekutir.attach()
    assert (result.exit_code, result.outcome) == (3, ExitCode.TESTS_FAILED)
    assert exekutir.lines() == ["ready", "more", "last"]


def test_a_kommandir_that_never_answered_is_unreachable(exekutir: Exekutir, wire: Wire) -> None:
    wire.down = True
    with pytest.raises(UnreachableError):
        exekutir.run(items("true"), reconnect_timeout=1)
    assert known.resumable(exekutir.journal, "run") is None


def test_a_killed_run_is_the_kommandirs_failure(exekutir: Exekutir, runs: Runs) -> None:
    pursued = exekutir.in_thread(items("echo ready; sleep 120"))
    ready(exekutir)
    os.kill((runs.run(exekutir.run_id()).record or {})["pid"], signal.SIGKILL)
    with pytest.raises(KommandirError, match="kommandir failed: the run ended without a result") as caught:
        pursued.result()
    assert "SIGKILL" in str(caught.value)
    assert left(exekutir.run_id()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(exekutir: Exekutir, runs: Runs, number: signal.Signals) -> None:
    pursued = exekutir.in_thread(TRAPPED)
    ready(exekutir)
    exekutir.cancellation.request(number)
    result = pursued.result()
    assert result.outcome == (ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)
    assert (runs.workspace / "cleaned").exists()
    assert ended(exekutir) == "interrupted"
    assert left(exekutir.run_id()) == []


def ended(exekutir: Exekutir) -> str:
    """How the last step ended; a note on a connection that was made again may come after it."""
    return str([event["outcome"] for event in exekutir.told if "outcome" in event][-1])


@pytest.mark.parametrize("how", ["cut", "deaf"])
@pytest.mark.usefixtures("quickly_deaf")
def test_a_signal_ends_the_run_though_the_connection_is_dead(
    exekutir: Exekutir, wire: Wire, runs: Runs, how: str
) -> None:
    pursued = exekutir.in_thread(TRAPPED)
    ready(exekutir)
    if how == "cut":
        wire.down = True
        wire.cut()
    else:
        wire.deafen()
    exekutir.cancellation.request(signal.SIGTERM)
    time.sleep(1)
    wire.down = False
    assert pursued.result().outcome == ExitCode.TERMINATED
    assert (runs.workspace / "cleaned").exists()
    assert ended(exekutir) == "interrupted"
    assert left(exekutir.run_id()) == []


def test_a_signal_at_any_moment_of_the_start(exekutir: Exekutir, runs: Runs) -> None:
    for number in range(6):
        exekutir.cancellation = Cancellation()
        pursued = exekutir.in_thread(items(f"echo ready; sleep 120; touch never-{number}"))
        time.sleep(0.12 * number)
        exekutir.cancellation.request(signal.SIGINT)
        with contextlib.suppress(StoppedError):  # where nothing had been sent yet
            assert pursued.result().outcome == ExitCode.INTERRUPTED
        assert left(exekutir.run_id()) == []
        assert all(run.state == "ended" for run in runs.folder.all())


def test_a_kommandir_that_can_not_be_told_to_stop_is_named(
    exekutir: Exekutir, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pursuit, "GRACE", 1.0)
    monkeypatch.setattr(pursuit, "STOP_PATIENCE", 1.0)
    pursued = exekutir.in_thread(TRAPPED)
    ready(exekutir)
    wire.down = True
    wire.cut()
    exekutir.cancellation.request(signal.SIGTERM)
    with pytest.raises(StoppedError, match="which does not answer: it may go on there"):
        pursued.result()
    assert "exekutir cleanup" in exekutir.kinds("warning")[-1]["message"]


def test_a_deadline_ends_the_run(exekutir: Exekutir) -> None:
    result = exekutir.run(items("sleep 120"), seconds=2)
    assert (result.outcome, result.exit_code) == (ExitCode.TIMED_OUT, 7)


def test_a_run_that_is_deaf_to_its_deadline_is_ended(
    exekutir: Exekutir, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pursuit, "LATE", 0.5)
    monkeypatch.setattr(pursuit, "GRACE", 1.0)
    pursued = exekutir.in_thread(items("echo ready; sleep 120"), seconds=4)
    ready(exekutir)
    os.kill((runs.run(exekutir.run_id()).record or {})["pid"], signal.SIGSTOP)
    result = pursued.result()
    assert (result.outcome, result.exit_code) == (ExitCode.TIMED_OUT, 7)
    assert left(exekutir.run_id()) == []


def test_one_run_at_a_time_and_cleanup_ends_it(exekutir: Exekutir, wire: Wire, runs: Runs) -> None:
    pursued = exekutir.in_thread(items("echo ready; sleep 120"), reconnect_timeout=1)
    ready(exekutir)
    wire.down = True
    wire.cut()
    with pytest.raises(KommandirError):
        pursued.result()
    wire.down = False
    first = exekutir.run_id()
    with pytest.raises(UsageError, match="another run of this job is alive") as caught:
        exekutir.run(items("true"))
    assert first in str(caught.value)
    assert "--attach" in str(caught.value)
    still = known.resumable(exekutir.journal, "run")
    assert still is not None
    assert still.id == first
    assert exekutir.run(items("true"), context="cleanup").exit_code == 0
    assert left(first) == []
    assert runs.run(first).state == "ended"


def test_stop_ends_whatever_runs(exekutir: Exekutir, wire: Wire, server: Server) -> None:
    pursued = exekutir.in_thread(TRAPPED, reconnect_timeout=1)
    ready(exekutir)
    wire.down = True
    wire.cut()
    with pytest.raises(KommandirError):
        pursued.result()
    place: dict[str, Any] = {"program": KOMMANDIR, "folder": str(exekutir.runs.path), "journal": exekutir.journal}
    place |= {"deadline": Deadline.after(120), "cancellation": Cancellation()}
    assert running.stop(server.host(), **place) == [exekutir.run_id()]
    assert known.open_runs(exekutir.journal) == []
    assert running.stop(server.host(), **place) == []


def test_a_host_key_that_changes_in_mid_run_is_refused(exekutir: Exekutir, server: Server, wire: Wire) -> None:
    pursued = exekutir.in_thread(items("echo ready; sleep 120"))
    ready(exekutir)
    server.stop()
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(server.folder / "new")]
    subprocess.run(command, check=True)
    server.start("new")
    wire.cut()
    with pytest.raises(HostKeyError, match="key has changed"):
        pursued.result()


def test_there_is_nothing_to_attach_to(exekutir: Exekutir) -> None:
    exekutir.run(items("true"))
    run = known.RemoteRun(
        id="nobody", context="run", what="", host="x", program=KOMMANDIR, runs=str(exekutir.runs.path)
    )
    with pytest.raises(UsageError, match="there is no run to attach to"):
        running.attach(exekutir.server.host(), run, **exekutir.common(60, 60))


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {checkout!r})
from tests.end_to_end.remote.pursued import Exekutir
from tests.detached_runs import Runs
from tests.remote_hosts import Server

server = object.__new__(Server)
server.folder, server.port = Path({host!r}), {port}
exekutir = Exekutir(Path({folder!r}), server, {port}, Runs(Path({runs!r}), Path({workspace!r}), {uuid!r}))
exekutir.attach() if {attach} else exekutir.run({text!r})
"""


def test_a_killed_exekutirs_run_goes_on_and_is_taken_up_again(
    exekutir: Exekutir, server: Server, runs: Runs, checkout: Path
) -> None:
    """However often it is killed, each event is stored once."""
    dice = random.Random(int(os.environ.get("KILL_SEED", "0")) or time.time_ns())
    places = {"host": str(server.folder), "port": server.port, "folder": str(exekutir.folder), "runs": str(runs.path)}
    more = {"workspace": str(runs.workspace), "uuid": runs.uuid, "text": TALKATIVE, "checkout": str(checkout)}
    for number in range(3):
        script = KILLED.format(**places, **more, attach=number > 0)
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        before = len(exekutir.lines())
        until(lambda: len(exekutir.lines()) > before or process.poll() is not None)  # noqa: B023  called at once
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.wait()
    result = exekutir.attach()
    assert result.outcome == ExitCode.GOOD
    assert exekutir.lines() == ALL_LINES
    assert exekutir.attach().outcome == ExitCode.GOOD
    assert exekutir.lines() == ALL_LINES
