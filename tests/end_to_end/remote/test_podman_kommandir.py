"""The bundled jobs on a podman kommandir, with nothing but ``kommandir_groups`` changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from exekutir.generations import FILE_NAME as FILE_OF_GENERATIONS
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


def test_one_that_lives_on_another_worker_is_neither_used_nor_taken_for_lost(
    remote_calls: Make, kommandir_state: Path, tmp_path: Path
) -> None:
    first = remote_calls("one", "ci")
    first("setup")
    [file] = (kommandir_state / "locks").glob(f"*/{FILE_OF_GENERATIONS}")
    here = file.read_text()
    told = json.loads(here)
    told["generations"][-1]["maker"] = {"host": "worker-a", "machine": "0" * 32}
    file.write_text(json.dumps(told))
    try:
        second = remote_calls("two", "ci")
        refused = second("setup", code=2)
        assert "is on the host worker-a" in refused.stderr
        assert "lock_dir" in refused.stderr
        second("cleanup", "-e", "stonith=true")
        assert generations(kommandir_state)[-1]["state"] == "ready"
        assert len(containers(kommandir_state)) == 1
    finally:
        file.write_text(here)
    first("cleanup")
