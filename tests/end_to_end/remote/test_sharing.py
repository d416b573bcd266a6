"""Many jobs at once on one kommandir: made once, shared, and destroyed once, by whoever leaves last."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.calls import Calls
from tests.kommandirs import containers, current, first, generations, job_of_commands

Make = Callable[..., Calls]
JOBS = 12


def told(calls: Calls, state: str) -> list[str]:
    """The kommandirs of which a job's events tell that state."""
    events = [event for event in calls.events() if event["event"] == "kommandir"]
    return [event["kommandir"] for event in events if event["state"] == state]


@pytest.mark.timeout(1500)
def test_twelve_jobs_share_one_kommandir_from_its_making_to_its_end(remote_calls: Make, tmp_path: Path) -> None:
    state = tmp_path / "state"
    job = job_of_commands(tmp_path / "job", setup="true", run="true", cleanup="true")
    jobs = [remote_calls(f"job{number}", job, state) for number in range(JOBS)]
    dice = random.Random(12)
    moments = [dice.uniform(0, 20) for _ in jobs]

    def life(calls: Calls, moment: float) -> None:
        time.sleep(moment)
        calls("setup")
        calls("run")

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(life, jobs, moments))
    assert [one["name"] for one in generations(state)] == [first(state)]
    assert containers(state) == [first(state)]
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(lambda calls: calls("cleanup", "-e", "stonith=true"), jobs))
    assert containers(state) == []
    assert [(one["name"], one["state"]) for one in generations(state)] == [(first(state), "destroyed")]
    for event, times in (("created", 1), ("set up", 1), ("destroyed", 1)):
        assert sum(len(told(calls, event)) for calls in jobs) == times
    for calls in jobs:
        assert calls.left() == []


@pytest.mark.timeout(900)
def test_a_retired_kommandir_serves_its_jobs_to_their_end_while_new_ones_get_another(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    state = kommandir_state
    job = job_of_commands(tmp_path / "job", setup="true", run="true", cleanup="true")
    old, new = remote_calls("old", job), remote_calls("new", job)
    old("setup")
    first_one = current(state)
    new("setup", "-e", "kommandir_max_age=0.000001")
    second = current(state)
    assert second != first_one
    assert {one["name"]: one["state"] for one in generations(state)}[first_one] == "retired"
    old("run")
    assert told(old, "found")[-1] == first_one
    assert sorted(containers(state)) == sorted((first_one, second))
    old("cleanup")
    assert containers(state) == [second]
    new("run")
    assert told(new, "found") == [second]
    new("cleanup", "-e", "kommandir_max_age=3")
    assert containers(state) == [second]
