from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from typing import Any

from exekutir import display
from exekutir.display.output import Output
from exekutir.display.screen import Screen
from tests.event_streams import Told, good_job


class Noted:
    """A painter that notes what it is told, in which thread."""

    interval: float | None = None
    pause = 0.0

    def __init__(self, fault: Exception | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.threads: set[int] = set()
        self.closed = 0
        self._fault = fault

    def take(self, events: Sequence[dict[str, Any]]) -> None:
        self.threads.add(threading.get_ident())
        self.events += events
        if self._fault:
            raise self._fault

    def tick(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def test_every_event_is_shown_in_order_by_one_thread() -> None:
    painter = Noted()
    screen = Screen(painter, Output(io.StringIO()))
    for number in range(5000):
        screen({"event": "x", "number": number})
    screen.close()
    assert [event["number"] for event in painter.events] == list(range(5000))
    assert len(painter.threads) == 1
    assert threading.get_ident() not in painter.threads
    assert painter.closed == 1


def test_the_end_of_a_context_is_shown_before_the_job_goes_on() -> None:
    painter = Noted()
    screen = Screen(painter, Output(io.StringIO()))
    screen({"event": "x"})
    screen({"event": "context_finished"})
    assert [event["event"] for event in painter.events] == ["x", "context_finished"]
    screen.close()


def test_a_fault_of_the_display_is_told_once_and_the_job_goes_on() -> None:
    errors = io.StringIO()
    screen = Screen(Noted(ValueError("broke")), Output(errors))
    for _ in range(3):
        screen({"event": "context_finished"})
    screen.close()
    assert errors.getvalue().count("the display broke (ValueError('broke'))") == 1


def test_without_events_nothing_is_started() -> None:
    before = threading.active_count()
    with display.opened("auto", verbosity=0, stdout=io.StringIO(), stderr=io.StringIO(), environ={}):
        assert threading.active_count() == before


def test_an_error_inside_closes_the_display(told: Told) -> None:
    stream = io.StringIO()
    try:
        with display.opened("plain", verbosity=0, stdout=stream, stderr=stream, environ={}) as screen:
            told.subscriber = screen
            good_job(told)
            raise KeyError
    except KeyError:
        pass
    assert "cleanup: good after 1.1 s" in stream.getvalue()
    assert not [thread for thread in threading.enumerate() if thread.name == "display"]


def test_a_slow_reader_does_not_hold_up_the_job(told: Told) -> None:
    reader, writer = os.pipe()
    with (
        os.fdopen(writer, "w") as stream,
        display.opened("json", verbosity=0, stdout=stream, stderr=stream, environ={}) as screen,
    ):
        for number in range(2000):
            screen({"event": "output", "line": "x" * 200, "number": number})
        lines = b""
        while lines.count(b"\n") < 2000:
            lines += os.read(reader, 1 << 16)
    os.close(reader)
