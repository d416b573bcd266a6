from __future__ import annotations

import io
import json
import re
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exekutir import display
from exekutir.display.lines import JsonLines, Lines
from exekutir.display.output import Output
from tests.event_streams import Told, broken_job, good_job, killed_and_resumed
from tests.unit.results.test_history import ANY_EVENT

TIMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (setup|run|cleanup): ")


def shown(log: TextIO, told: Told, job: Any, form: str = "auto", verbosity: int = 0, **environ: str) -> list[str]:
    with display.opened(form, verbosity=verbosity, stdout=log, stderr=log, environ=environ) as screen:
        told.subscriber = screen
        job(told)
    log.seek(0)
    return log.read().splitlines()


def without_times(lines: list[str]) -> list[str]:
    return [TIMED.sub(lambda found: f"{found.group(1)}: ", line) for line in lines]


def test_a_good_job_is_quiet(log: TextIO, told: Told) -> None:
    lines = shown(log, told, good_job)
    assert all(TIMED.match(line) for line in lines)
    assert without_times(lines)[:7] == [
        f"setup: results: {told.path}/results",
        "setup: started: job quickstart, uuid quickstart-3f9a, exekutir 0.1.0",
        "setup: step 2 of 2: playbook setup.yml started",
        "setup: one up after 0.5 s (namespace)",
        "setup: two up after 0.5 s (namespace)",
        "setup: playbook setup.yml good after 3.1 s (2 peons, 4 tasks)",
        "setup: good after 4.2 s: 2 peons, 4 tasks",
    ]
    assert without_times(lines)[-1] == "cleanup: good after 1.1 s: 2 peons"


def test_a_failure_is_told_when_it_happens(log: TextIO, told: Told) -> None:
    lines = without_times(shown(log, told, broken_job))
    at = lines.index("run: bad FAILED: checks : run the tests: non-zero return code")
    assert "    | E       assert 500 == 200" in lines[at:]
    assert "run: FAILED after 4.2 s: the tests said no (exit code 1)" in lines
    assert "run: warning: the uplink is off, so packages come from the cache" in lines


def test_a_call_that_goes_on_says_with_what(log: TextIO, told: Told) -> None:
    lines = without_times(shown(log, told, killed_and_resumed))
    assert "run: it was killed before and goes on: 1 step done; begun again: 2" in lines


@pytest.mark.parametrize(
    ("verbosity", "said"),
    [(1, "run: good1 ok: checks : run the tests"), (2, "run: task checks : run the tests (playbooks/x.yml:3)")],
)
def test_verbosity(log: TextIO, told: Told, verbosity: int, said: str) -> None:
    assert said in without_times(shown(log, told, broken_job, verbosity=verbosity))


def test_verbosity_1_does_not_say_what_2_says(log: TextIO, told: Told) -> None:
    lines = without_times(shown(log, told, broken_job, verbosity=1))
    assert not any(line.startswith("run: task ") for line in lines)


def test_output_of_commands_is_shown_with_v(log: TextIO, told: Told) -> None:
    def job(told: Told) -> None:
        told.started("run")
        told.emit("run", "step_started", step="1", kind="command", name="ls", index=1, total=1)
        told.emit("run", "output", step="1", stream="stdout", line="\x1b[2Ja\tb\x07")
        told.finished("run")

    assert "run: | a   b\ufffd" in without_times(shown(log, told, job, verbosity=1))


def test_a_command_that_fails_shows_its_last_lines(log: TextIO, told: Told) -> None:
    def job(told: Told) -> None:
        told.started("run")
        told.emit("run", "step_started", step="1", kind="command", name="ls", index=1, total=1)
        for number in range(9):
            told.emit("run", "output", step="1", stream="stdout", line=f"line {number}")
        ended = {"kind": "command", "name": "ls", "outcome": "failed", "exit_code": 2, "log": ""}
        told.emit("run", "step_finished", step="1", seconds=1, **ended)
        told.finished("run", 2)

    lines = without_times(shown(log, told, job))
    at = lines.index("run: command ls FAILED after 1.0 s: exit code 2")
    assert lines[at + 1 : at + 7] == [f"    | line {number}" for number in range(3, 9)]


def test_colours_only_where_they_are_forced(log: TextIO, told: Told) -> None:
    assert "\x1b[1;31m" in "\n".join(shown(log, told, broken_job, FORCE_COLOR="1"))


def test_a_lock_that_is_waited_for(log: TextIO, told: Told) -> None:
    def job(told: Told) -> None:
        told.emit("setup", "waiting", **{"for": "lock k.setup"}, holder="job b (pid 7)", since="12:00")

    assert without_times(shown(log, told, job)) == [
        "setup: waiting for lock k.setup, held by job b (pid 7), since 12:00"
    ]


def test_how_far_a_long_transfer_is(log: TextIO, told: Told) -> None:
    def job(told: Told) -> None:
        told.emit("setup", "transfer", doing="sending it", bytes=1_500_000_000, percent=45, speed="80.1MB/s")

    assert without_times(shown(log, told, job)) == ["setup: sending it: 45 %, 1500 MB, 80.1MB/s"]


def heard(events: list[tuple[str, dict[str, Any]]]) -> str:
    """What a heartbeat says after ``events``, when it comes after every moment of silence."""
    stream = io.StringIO()
    lines = Lines(Output(stream), verbosity=0, colour=False, heartbeat=0.0)
    lines.take([{"time": "2026-01-01T00:00:00Z", "context": "run", "event": kind} | data for kind, data in events])
    return stream.getvalue().splitlines()[-1].partition(" s: ")[2]


STEP = ("step_started", {"step": 1, "kind": "playbook", "name": "run.yml", "index": 1, "total": 1})
PEONS = [("peon", {"peon": name, "state": "creating"}) for name in ("one", "two")]
TASK = ("task_started", {"step": 1, "task": "install", "role": "service"})


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([("phase_started", {"phase": "kommandir"})], "kommandir"),
        ([STEP], "playbook run.yml"),
        ([STEP, ("output", {"step": 1, "line": "last words"})], "playbook run.yml: last words"),
        ([STEP, *PEONS], "playbook run.yml, peons: one and two"),
        ([STEP, *PEONS, TASK], 'playbook run.yml, task "service : install", not yet: one and two'),
        (
            [STEP, *PEONS, TASK, ("task_result", {"step": 1, "host": "one", "outcome": "ok"})],
            'playbook run.yml, task "service : install", not yet: two',
        ),
        ([STEP, ("waiting", {"for": "lock x", "holder": "b"})], "waiting for lock x, held by b"),
    ],
)
def test_a_heartbeat_says_what_it_waits_for(events: list[tuple[str, dict[str, Any]]], said: str) -> None:
    assert heard([("context_started", {}), *events]) == said


def test_no_heartbeat_after_the_end() -> None:
    assert "still at it" not in heard([("context_started", {}), ("context_finished", {"exit_code": 0, "seconds": 1})])


def test_json_is_the_events_and_nothing_else(log: TextIO, told: Told) -> None:
    lines = shown(log, told, broken_job, form="json", FORCE_COLOR="1")
    stored = (told.results / "events.jsonl").read_text().splitlines()
    # News of peons are read from the file as well and may come an instant before their neighbours.
    told_in_time = sorted((json.loads(line) for line in lines), key=lambda event: str(event["time"]))
    assert told_in_time == [json.loads(line) for line in stored]


@given(st.lists(ANY_EVENT, max_size=6), st.integers(0, 4))
def test_any_events_are_lines_that_control_nothing(events: list[dict[str, Any]], verbosity: int) -> None:
    stream = io.StringIO()
    Lines(Output(stream), verbosity=verbosity, colour=False).take(events)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", stream.getvalue())


@given(st.lists(ANY_EVENT, max_size=6))
def test_any_events_are_json_lines_that_every_reader_takes(events: list[dict[str, Any]]) -> None:
    def refused(name: str) -> None:
        raise AssertionError(name)

    stream = io.StringIO()
    JsonLines(Output(stream)).take(events)
    lines = stream.getvalue().split("\n")
    assert len(lines) == len(events) + 1
    for line in lines[:-1]:
        json.loads(line, parse_constant=refused)


@pytest.mark.parametrize(
    ("verbosity", "outcome", "said"),
    [
        (0, "ok", ["run: nothing is left"]),
        (0, "failed", []),
        (1, "failed", ["run: proof FAILED after 0.5 s: nothing is left"]),
    ],
)
def test_what_a_phase_has_to_say(log: TextIO, told: Told, verbosity: int, outcome: str, said: list[str]) -> None:
    def job(told: Told) -> None:
        told.emit("run", "phase_finished", phase="proof", seconds=0.5, outcome=outcome, detail="nothing is left")

    assert without_times(shown(log, told, job, verbosity=verbosity)) == said
