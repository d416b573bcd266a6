"""What the exekutir remembers of remote runs: which one is taken up again, and from which event on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exekutir.remote import runs
from exekutir.remote.runs import RemoteRun
from kommandir.events import EventStream
from kommandir.journal import Journal
from kommandir.redaction import Redactor


def remote_run(name: str, context: str = "run", what: str = "file:job.xn") -> RemoteRun:
    return RemoteRun(id=name, context=context, what=what, host="g1", program="/k", runs="/runs")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def resumed(journal: Journal, what: str | None = None) -> str | None:
    run = runs.resumable(journal, "run", what)
    return run.id if run else None


def test_nothing_to_take_up(journal: Journal) -> None:
    assert resumed(journal) is None
    assert runs.open_runs(journal) == []


def test_a_run_whose_end_nobody_knows_is_taken_up(journal: Journal) -> None:
    journal.append("context_started", context="run")
    runs.begin(journal, remote_run("one"))
    assert resumed(journal) == "one"
    assert [run.id for run in runs.open_runs(journal)] == ["one"]
    journal.append("context_finished", context="run", exit_code=5)
    assert resumed(journal) == "one", "the exekutir gave up, the run did not"


def test_a_run_that_ended_is_taken_up_until_its_context_has_told(journal: Journal) -> None:
    runs.begin(journal, remote_run("one"))
    runs.end(journal, remote_run("one"), 0)
    assert resumed(journal) == "one"
    assert runs.open_runs(journal) == []
    journal.append("context_finished", context="run", exit_code=0)
    assert resumed(journal) is None


def test_another_context_and_another_file_are_another_matter(journal: Journal) -> None:
    runs.begin(journal, remote_run("one", "setup"))
    assert resumed(journal) is None
    runs.begin(journal, remote_run("two", what="text:1"))
    runs.end(journal, remote_run("two"), 0)
    runs.begin(journal, remote_run("three"))
    assert resumed(journal) == "three"
    assert resumed(journal, "file:job.xn") == "three"
    assert resumed(journal, "text:2") is None


def test_a_run_that_was_refused_leaves_the_one_that_is_alive(journal: Journal) -> None:
    runs.begin(journal, remote_run("alive"))
    journal.append("context_finished", context="run", exit_code=5)
    runs.begin(journal, remote_run("refused"))
    runs.end(journal, remote_run("refused"), None)
    journal.append("context_finished", context="run", exit_code=2)
    assert resumed(journal) == "alive"


def test_a_later_run_that_ended_proves_that_no_earlier_one_is_alive(journal: Journal) -> None:
    runs.begin(journal, remote_run("early"))
    journal.append("context_finished", context="run", exit_code=5)
    runs.begin(journal, remote_run("late"))
    runs.end(journal, remote_run("late"), 1)
    journal.append("context_finished", context="run", exit_code=1)
    assert resumed(journal) is None


def test_after_cleanup_all_is_past(journal: Journal) -> None:
    runs.begin(journal, remote_run("one"))
    journal.append("context_started", context="cleanup")
    assert resumed(journal) is None
    assert [run.id for run in runs.open_runs(journal)] == ["one"], "cleanup has to end it"


def test_names_differ_and_can_be_names_of_folders() -> None:
    from kommandir.detached.request import demand_id

    names = [runs.new_id("run") for _ in range(50)]
    assert len(set(names)) == 50
    assert all(demand_id(name) == name for name in names)


@given(
    places=st.lists(st.integers(1, 10**9), max_size=30),
    others=st.lists(st.integers(1, 10**9), max_size=5),
    torn=st.integers(0, 60),
)
def test_how_far_it_heard_is_the_last_whole_event(
    tmp_path_factory: pytest.TempPathFactory, places: list[int], others: list[int], torn: int
) -> None:
    """Whatever else is in the file, and wherever a killed process has torn its last line."""
    file = tmp_path_factory.mktemp("heard") / "events.jsonl"
    stream = EventStream(file, Redactor(), "run")
    for place in sorted(places):
        stream.relay(runs.marked({"event": "output", "line": "x"}, "mine", place))
        stream.emit("output", line="mine")
    for place in others:
        stream.relay(runs.marked({"event": "output", "line": 'says "remote": mine'}, "yours", place))
    last = json.dumps(runs.marked({"event": "output"}, "mine", 2 * 10**9))[:torn]
    with file.open("a") as stream_:
        stream_.write(last)
    expected = max(places, default=0)
    assert runs.heard(file, "mine") == expected
    again = EventStream(file, Redactor(), "run")
    again.relay(runs.marked({"event": "output", "line": "after"}, "mine", expected + 1))
    assert runs.heard(file, "mine") == expected + 1


def test_no_file_was_heard_from(tmp_path: Path) -> None:
    assert runs.heard(None, "x") == runs.heard(tmp_path / "none", "x") == 0


def test_the_words_of_a_command() -> None:
    found: list[Any] = runs.words("/opt/k", "/runs", "follow", "x", "--from", "3")
    assert found == ["/opt/k", "job", "follow", "--runs", "/runs", "x", "--from", "3"]
