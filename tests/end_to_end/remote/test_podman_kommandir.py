"""The bundled jobs on a podman kommandir, with nothing but ``kommandir_groups`` changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from kommandir.journal import FILE_NAME, Journal
from tests.calls import Calls
from tests.kommandirs import containers, generations, users

Make = Callable[..., Calls]


def test_quickstart_runs_on_a_remote_kommandir(remote_calls: Make, kommandir_state: Path) -> None:
    calls = remote_calls("one")
    calls("setup")
    assert calls.uuid in users(kommandir_state, containers(kommandir_state)[0])
    assert not (calls.workspace / "kommandir_workspace" / ".ansible").exists()
    calls("run")
    suites = ElementTree.parse(calls.results / "junit.xml").getroot()
    assert len(list(suites.iter("testcase"))) >= 2
    assert not list(suites.iter("failure"))
    calls("cleanup")
    assert calls.uuid not in users(kommandir_state, containers(kommandir_state)[0])
    peons = Journal(calls.kommandir / FILE_NAME).peons().values()
    assert {peon.state for peon in peons} == {"destroyed"}


def test_a_second_job_finds_the_kommandir_of_the_first(remote_calls: Make, kommandir_state: Path) -> None:
    first, second = remote_calls("one", "ci"), remote_calls("two", "ci")
    first("setup")
    known = generations(kommandir_state)
    second("setup")
    assert [one["name"] for one in generations(kommandir_state)] == [one["name"] for one in known]
    assert len(containers(kommandir_state)) == 1
    first("cleanup")
    second("cleanup")
    assert len(containers(kommandir_state)) == 1
