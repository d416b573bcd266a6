from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

from exekutir import display
from exekutir.display.follower import Follower
from exekutir.display.output import Output
from exekutir.display.screen import Screen
from kommandir.events import FILE_NAME, EventStream
from kommandir.redaction import Redactor
from tests.event_streams import Told


def started(told: Told, follower: Follower) -> None:
    events: list[dict[str, Any]] = []
    told.subscriber = events.append
    told.started("setup")
    assert follower.merged(events, follower.news()) == events


def another_process(told: Told) -> EventStream:
    return EventStream(told.results / FILE_NAME, Redactor(), "setup")


def test_news_of_peons_come_from_other_processes(told: Told) -> None:
    follower = Follower()
    started(told, follower)
    other = another_process(told)
    other.emit("peon", peon="one", state="creating", provider="p", message="", seconds=0)
    other.emit("task_result", host="one")
    other.emit("peon", peon="one", state="up", provider="p", message="", seconds=1)
    assert [(event["peon"], event["state"]) for event in follower.news()] == [("one", "creating"), ("one", "up")]
    assert follower.news() == []


def test_own_news_are_told_once(told: Told) -> None:
    follower = Follower()
    started(told, follower)
    own: list[dict[str, Any]] = []
    told.streams["setup"].subscribe(own.append)
    told.emit("setup", "peon", peon="one", state="up", provider="p", message="", seconds=1)
    assert follower.merged(own, follower.news()) == own
    assert follower.news() == []


def test_own_news_that_the_file_told_first_are_told_once(told: Told) -> None:
    follower = Follower()
    started(told, follower)
    own: list[dict[str, Any]] = []
    told.streams["setup"].subscribe(own.append)
    told.emit("setup", "peon", peon="one", state="up", provider="p", message="", seconds=1)
    assert follower.news() == own
    assert follower.merged(own, follower.news()) == []


def test_a_line_is_read_when_it_is_whole(told: Told) -> None:
    follower = Follower()
    started(told, follower)
    with (told.results / FILE_NAME).open("a") as stream:
        stream.write('{"event": "peon", "peon": "one", ')
        stream.flush()
        assert follower.news() == []
        stream.write('"state": "up"}\n{"event": "peon", torn\n')
        stream.flush()
        assert [event["state"] for event in follower.news()] == ["up"]


def test_earlier_news_are_not_told_again(told: Told) -> None:
    another_process(told).emit("peon", peon="old", state="up", provider="p", message="", seconds=1)
    follower = Follower()
    started(told, follower)
    assert follower.news() == []


def test_a_file_that_vanishes_does_not_matter(told: Told) -> None:
    follower = Follower()
    started(told, follower)
    (told.results / FILE_NAME).unlink()
    assert follower.news() == []
    assert follower.merged([{"event": "context_started", "workspace": "\0"}], [])


def test_people_see_them_in_their_order(told: Told) -> None:
    stream = io.StringIO()
    with display.opened("plain", verbosity=0, stdout=stream, stderr=stream, environ={}) as screen:
        told.subscriber = screen
        told.started("setup")
        told.playbook("setup")
        screen.settle(10)
        another_process(told).emit("peon", peon="one", state="up", provider="p", message="", seconds=1)
        told.playbook_ended("setup")
        told.finished("setup")
    said = [line.partition("setup: ")[2] for line in stream.getvalue().splitlines()]
    assert said.index("one up after 1.0 s (p)") < said.index("playbook setup.yml good after 3.1 s")


def test_a_display_that_lags_shows_them_in_their_order_too(told: Told) -> None:
    """Own news of peons are in the file before the events between them are taken from the queue."""
    shown: list[dict[str, Any]] = []

    class Slow:
        interval, pause = None, 0.0

        def take(self, events: Sequence[dict[str, Any]]) -> None:
            time.sleep(0.002)
            shown.extend(events)

        def tick(self) -> None:
            raise AssertionError("there is no interval")

        def close(self) -> None:
            pass

    screen = Screen(Slow(), Output(None))
    told.subscriber = screen
    told.started("setup")
    for number in range(3000):
        told.emit("setup", "output", step="1", stream="stdout", line=str(number))
        told.emit("setup", "peon", peon=f"peon{number}", state="up", provider="p", message="", seconds=1)
    told.finished("setup")
    screen.close()
    assert shown == [json.loads(line) for line in (told.results / FILE_NAME).read_text().splitlines()]
