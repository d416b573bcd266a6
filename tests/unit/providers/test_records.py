"""What providers write down: one step, found again, held by one at a time, and whose it is."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

from kommandir.providers import records
from kommandir.providers.faults import ProviderUsageError
from kommandir.providers.records import Records


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.setenv("EXEKUTIR_STATE", str(tmp_path / "state"))
    return Records("any")


def test_a_record_comes_back_and_goes(store: Records) -> None:
    with store.held("web"):
        directory = Path(store.form("web", {"uuid": "u1", "n": 1}))
        store.write("web", {"uuid": "u1", "n": 2})
        (directory / "other").write_text("x")
        (directory / "folder").mkdir()
        assert store.read("web") == {"uuid": "u1", "n": 2}
        assert store.names() == ["web"]
        store.discard("web")
    assert store.names() == []
    assert store.read("web") is None
    assert list(Path(store.directory).iterdir()) == []


def test_state_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert records.state_directory() == f"{tmp_path}/exekutir"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert records.state_directory() == "/home/somebody/.local/state/exekutir"


@pytest.mark.parametrize(
    ("name", "record", "mine"),
    [
        ("web", '{"uuid": "u1"}', True),
        ("web", '{"uuid": "u2"}', False),
        ("web", "{", False),
        ("web", "[]", False),
        ("web-u1", "{", True),
        ("web-u1", '{"uuid": "u2"}', False),
        ("web-u2", "{", False),
        ("u1-g1", "", True),
        ("u1-g12", "{", True),
        ("u1-g1", '{"uuid": "u2"}', False),
        ("u1-g", "{", False),
        ("u1-g1x", "{", False),
        ("u10-g1", "{", False),
        ("my-u1-g1", "{", False),
    ],
)
def test_only_what_bears_the_uuid_is_owned(store: Records, name: str, record: str, mine: bool) -> None:
    directory = Path(store.path(name))
    directory.mkdir(parents=True)
    (directory / records.RECORD).write_text(record)
    if mine:
        assert store.owned(name, "u1") is not None
    else:
        with pytest.raises(ProviderUsageError, match="left alone"):
            store.owned(name, "u1")


def test_a_record_is_on_the_disk_before_it_has_its_name_and_before_any_effect(store: Records) -> None:
    calls: list[str] = []

    def watch(_frame: object, event: str, function: object) -> None:
        if event == "c_call" and function in (os.fsync, os.rename):
            calls.append(getattr(function, "__name__", ""))

    with store.held("web"):
        sys.setprofile(watch)
        try:
            store.form("web", {"uuid": "u1"})
            store.write("web", {"uuid": "u1", "n": 2})
        finally:
            sys.setprofile(None)
    written = ["fsync", "rename", "fsync"]
    assert calls == [*written, "rename", "fsync", *written]


_CHANGES = ("os.mkdir", "open", "os.rename", "os.remove", "os.rmdir")


def _ended_before(store: Records, change: int) -> None:
    """Form a peon and discard it, but end without a word before the given change of the disk."""
    changes = itertools.count()

    def watch(event: str, _arguments: object) -> None:
        if event in _CHANGES and next(changes) == change:
            os._exit(9)

    sys.addaudithook(watch)
    with store.held("web"):
        store.form("web", {"uuid": "u1"})
        store.discard("web")
    os._exit(0)


def test_whoever_is_killed_leaves_a_record_that_says_whose_it_is_or_nothing_that_is_listed(store: Records) -> None:
    seen = set()
    for change in itertools.count():
        child = multiprocessing.get_context("fork").Process(target=_ended_before, args=(store, change))
        child.start()
        child.join()
        listed = [(name, store.owned(name, "u1")) for name in store.names()]
        assert listed in ([], [("web", {"uuid": "u1"})])
        seen.add(len(listed))
        with store.held("web"):
            store.discard("web")
        assert list(Path(store.directory).iterdir()) == []
        if not child.exitcode:
            break
    assert seen == {0, 1}


def _hold(store: Records, seconds: float, log: Path) -> None:
    with store.held("web"):
        with log.open("a") as file:
            file.write("in ")
        time.sleep(seconds)
        with log.open("a") as file:
            file.write("out ")


def test_one_at_a_time_holds_a_peon(store: Records, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_hold, args=(store, 0.05, log)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert log.read_text().split() == ["in", "out"] * 4
    assert list(Path(store.directory).iterdir()) == []


def test_a_killed_holder_is_no_obstacle(store: Records, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = multiprocessing.get_context("fork").Process(target=_hold, args=(store, 60, log))
    child.start()
    while not log.exists() or log.read_text() != "in ":
        time.sleep(0.01)
    child.kill()
    child.join()
    with store.held("web"):
        assert log.read_text() == "in "  # it never came out by itself
