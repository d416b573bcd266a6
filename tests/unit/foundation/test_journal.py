"""The journal survives being torn, shared, and written by nobody else."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.errors import KommandirError
from kommandir.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_nothing_was_written_yet(journal: Journal) -> None:
    assert list(journal.entries()) == []
    assert journal.peons() == {}


def test_only_its_owner_reads_it(journal: Journal) -> None:
    journal.append("peon_intent", peon="a")
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_the_last_state_of_a_peon_counts(journal: Journal) -> None:
    journal.append("peon_intent", peon="a", provider="namespace", peon_name="a-x1", uuid="x1", expires=7)
    journal.append("peon_intent", peon="b", provider="podman")
    journal.append("peon_created", peon="a")
    journal.append("peon_destroyed", peon="b")
    peons = journal.peons()
    assert list(peons) == ["a", "b"]
    assert (peons["a"].state, peons["a"].peon_name, peons["a"].expires, peons["a"].may_exist) == (
        "created",
        "a-x1",
        7,
        True,
    )
    assert not peons["b"].may_exist


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_line_torn_anywhere_loses_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    journal = Journal(tmp_path_factory.mktemp("torn") / "journal.jsonl")
    for number in range(3):
        journal.append("step", number=number, text="ä" * 20)
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[: len(data) - min(cut, len(data))])
    whole = [entry.data["number"] for entry in journal.entries()]
    assert whole == list(range(len(whole)))
    journal.append("after")
    assert [entry.action for entry in journal.entries()] == ["step"] * len(whole) + ["after"]


def _append_many(path: Path, who: int) -> None:
    for number in range(50):
        Journal(path).append("line", who=who, number=number)


def test_several_processes_may_append_at_once(journal: Journal) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(journal.path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = list(journal.entries())
    assert len(entries) == 150
    for who in range(3):
        assert [entry.data["number"] for entry in entries if entry.data["who"] == who] == list(range(50))


def test_contexts_that_were_killed_have_no_exit_code(journal: Journal) -> None:
    journal.append("context_started", context="setup")
    journal.append("context_finished", context="setup", exit_code=0)
    journal.append("context_started", context="run")
    assert journal.contexts() == {"setup": 0, "run": None}


def test_what_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(KommandirError, match="journal can't be written"):
        Journal(tmp_path / "missing" / "journal.jsonl").append("x")
