"""The stream of events: other streams' events taken over, torn lines closed, the right file for plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kommandir import events
from kommandir.environment import JOB_TAG
from kommandir.events import FILE_VARIABLE, EventStream
from kommandir.redaction import Redactor


def test_an_event_of_another_stream_keeps_its_time_and_loses_its_secrets(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    stream = EventStream(tmp_path / "events.jsonl", Redactor(["hunter2secret"]), "run")
    stream.subscribe(told.append)
    stream.relay({"time": "2026-01-01T00:00:00.000000Z", "event": "output", "context": "run", "line": "hunter2secret"})
    expected = {"time": "2026-01-01T00:00:00.000000Z", "event": "output", "context": "run", "line": "[redacted]"}
    assert told == [expected]
    assert list(events.read(tmp_path / "events.jsonl")) == [expected]


def test_a_torn_line_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "whole"}\n{"event": "to')
    stream = EventStream(path, Redactor(), "run")
    stream.emit("first")
    stream.emit("second")
    assert [event["event"] for event in events.read(path)] == ["whole", "first", "second"]
    assert path.read_text().count("\n") == 4


def test_plugins_tell_where_their_job_listens(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    own = tmp_path / "results" / "events.jsonl"
    named = {FILE_VARIABLE: events.named_place("mine", tmp_path / "there:odd"), JOB_TAG: "mine"}
    assert events.place(tmp_path / "results", {}) == own
    assert events.place(tmp_path / "results", named) == tmp_path / "there:odd"
    assert events.place(tmp_path / "results", {**named, JOB_TAG: "inner"}) == own
    assert events.place(tmp_path / "none", {}) is None


def test_a_redactor_passes_its_secrets_on() -> None:
    first = Redactor(["hunter2secret", "päss wörd"])
    second = Redactor(first.secrets)
    text = f"hunter2secret {json.dumps('päss wörd')}"
    assert second.text(text) == first.text(text) == '[redacted] "[redacted]"'
