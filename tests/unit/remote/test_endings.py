"""How a run ended, what an absent kommandir is given up with, whose clock counts, what passes to the other side."""

from __future__ import annotations

import datetime
import io
import os
import pty
import time
from pathlib import Path
from typing import Any

import pytest

from exekutir.remote import environment
from exekutir.remote.absence import Absence
from exekutir.remote.clock import Clock
from exekutir.remote.runs import RemoteRun
from exekutir.remote.verdicts import ending_of
from kommandir.cancellation import Cancellation
from kommandir.errors import ExitCode, KommandirError, StoppedError, UnreachableError, UsageError
from kommandir.events import EventStream
from kommandir.redaction import Redactor

RUN = RemoteRun(id="one", context="run", what="", host="g1", program="/k", runs="/runs")


class Told:
    """A stream of events and what it told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.stream = EventStream(None, Redactor(), "run")
        self.stream.subscribe(self.events.append)


def test_a_result_is_a_value() -> None:
    failure = {"step": "01-command", "message": "no", "log": "l", "host": "h", "of": "a later version"}
    ending = ending_of({"result": {"exit_code": 3, "outcome": 1, "failures": [failure], "warnings": ["w"]}}, RUN, "g1")
    assert (ending.result.exit_code, ending.result.outcome, ending.exit_code) == (3, ExitCode.TESTS_FAILED, 3)
    assert (ending.result.failures[0].message, ending.warnings) == ("no", ("w",))


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        ({"what": "wrong", "exit_code": 2, "hint": "mend it"}, UsageError, 2),
        ({"what": "away", "exit_code": 4}, UnreachableError, 4),
        ({"what": "odd", "exit_code": 99}, KommandirError, 5),
        ({"what": "stop", "exit_code": 143, "signal": 15}, StoppedError, 143),
    ],
)
def test_an_error_there_is_one_here(told: dict[str, Any], kind: type[Exception], code: int) -> None:
    ending = ending_of({"result": {"error": told}}, RUN, "g1")
    assert type(ending.error) is kind
    assert ending.exit_code == code


@pytest.mark.parametrize(
    "told",
    [
        {"died": "one", "why": "killed"},
        {"result": {"crash": "ValueError: x"}},
        {"result": {"exit_code": 0}},
        {"result": {"exit_code": 0, "outcome": 77, "failures": []}},
        {"result": {"exit_code": 0, "outcome": 0, "failures": ["x"]}},
        {"result": None},
    ],
)
def test_whatever_is_no_result_is_the_kommandirs_failure(told: dict[str, Any]) -> None:
    ending = ending_of(told, RUN, "g1")
    assert isinstance(ending.error, KommandirError)
    assert "/runs/one/crash.txt on g1" in str(ending.error)


def test_an_absence_is_told_once_in_a_while_and_given_up() -> None:
    told, error = Told(), UnreachableError("no connection", why="refused\nmore")
    absence = Absence("g1", RUN, told.stream, 0.5)
    absence.over()
    assert told.events == []
    while not absence.too_long:
        absence.wait(error, None)
    (waiting,) = told.events
    assert waiting["for"] == "g1 to answer again (no connection: refused)"
    said = str(absence.given_up(error))
    assert "times in 0.5 s" in said
    assert "`exekutir run --attach`" in said
    absence.over()
    assert "was lost for" in told.events[-1]["message"]
    assert not absence.too_long


def test_a_signal_ends_the_pause() -> None:
    cancellation = Cancellation()
    cancellation.request(15)
    absence = Absence("g1", RUN, Told().stream, 3600)
    for _ in range(200):
        absence.wait(UnreachableError("x"), cancellation)


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_wrong_is_told_once_and_corrected(days: int) -> None:
    told = Told()
    clock = Clock("g1", told.stream)
    clock.told(time.time() + days * 86400)
    clock.told(time.time() + days * 86400)
    (warning,) = told.events
    assert ("ahead" if days > 0 else "behind") in warning["message"]
    there = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    event = clock.corrected({"event": "output", "time": there.isoformat().replace("+00:00", "Z")})
    ours = datetime.datetime.fromisoformat(event["time"])
    assert abs((ours - datetime.datetime.now(datetime.UTC)).total_seconds()) < 60
    assert clock.corrected({"event": "output", "time": "?"}) == {"event": "output", "time": "?"}


def test_a_clock_that_is_nearly_right_is_left_alone() -> None:
    told = Told()
    clock = Clock("g1", told.stream)
    clock.told(None)
    clock.told(time.time() + 1)
    assert told.events == []
    assert clock.corrected({"time": "2026-01-01T00:00:00.000000Z"}) == {"time": "2026-01-01T00:00:00.000000Z"}


def test_only_what_is_named_passes() -> None:
    mine = {"TERM": "xterm", "LANG": "C", "LC_TIME": "C", "TZ": "UTC", "NO_COLOR": "1", "HOME": "/me", "SECRET": "x",
            "NAMED": "y", "EMPTY": "", "SSH_AUTH_SOCK": "/s"}  # fmt: skip
    found = environment.passed(["NAMED", "EMPTY", "UNSET"], mine, io.StringIO())
    assert found == {"TERM": "xterm", "LANG": "C", "LC_TIME": "C", "TZ": "UTC", "NO_COLOR": "1", "NAMED": "y"}


def test_the_size_of_a_terminal_passes_though_nobody_exports_it() -> None:
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        with os.fdopen(os.dup(theirs), "w") as terminal:
            assert environment.passed([], {}, terminal) == {"COLUMNS": "99", "LINES": "33"}
            assert environment.passed([], {"COLUMNS": "50"}, terminal) == {"COLUMNS": "50", "LINES": "33"}
    finally:
        os.close(ours)
        os.close(theirs)


def test_waiting_for_a_call_that_blocks(tmp_path: Path) -> None:
    import threading

    from exekutir.remote.waiting import waited
    from kommandir.deadline import Deadline
    from kommandir.errors import TimeOutError

    closed = threading.Event()
    late = threading.Event()

    class Closable:
        def close(self) -> None:
            closed.set()

    def slow() -> Closable:
        late.wait(60)
        return Closable()

    with pytest.raises(TimeOutError, match="waiting for something"):
        waited(slow, deadline=Deadline.after(0.2), cancellation=Cancellation(), doing="something")
    late.set()
    assert closed.wait(60), "what comes too late is closed"
    with pytest.raises(ZeroDivisionError):
        waited(lambda: 1 // 0, deadline=Deadline.never(), cancellation=Cancellation(), doing="x")
    assert waited(lambda: 7, deadline=Deadline.never(), cancellation=Cancellation(), doing="x") == 7
