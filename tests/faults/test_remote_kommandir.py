"""What becomes of a job when its remote kommandir, or the exekutir, is killed at a bad moment."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kommandir.journal import FILE_NAME, Journal
from tests.calls import PATIENCE, Calls
from tests.faults import cloud as clouds
from tests.faults.conftest import AWAY, HANGS, SLOW_RUN, job_with_peons, slow_run
from tests.kommandirs import (
    containers,
    current,
    generations,
    inside,
    job_of_commands,
    killed,
    lay_wire,
    lost,
    on_podman,
    registered,
    until,
    users,
    wait_for,
)

Make = Callable[..., Calls]

#: A file that every kommandir has, for the cache of a job.
EMPTY = {
    "url": "file:///dev/null",
    "checksum": f"sha256:{hashlib.sha256(b'').hexdigest()}",
    "cachepath": "empty",
}


def peon_states(calls: Calls) -> set[str]:
    return {peon.state for peon in Journal(calls.kommandir / FILE_NAME).peons().values()}


def peons_known(calls: Calls) -> bool:
    """Whether the exekutir has the records of both peons, and that they are up."""
    records = {path.stem for path in (calls.kommandir / "private").glob("*.yml")}
    return records >= {"one", "two"} and peon_states(calls) == {"up"}


@pytest.fixture
def cloud() -> Iterator[tuple[int, set[str]]]:
    with clouds.opened() as opened:
        yield opened


def ended_with_its_kommandir(calls: Calls, context: str, death: Callable[[Path, str], None], state: Path) -> None:
    """Start a context, let its kommandir die under ``job.xn``, and look what the exekutir makes of that."""
    call = calls.started(context)
    until(calls, "task_started", context=context, task="Time passes", call=call)
    wait_for(lambda: peons_known(calls), "what is known of peons comes back while the kommandir still lives")
    dying = current(state)
    death(state, dying)
    _, said = call.communicate(timeout=PATIENCE)
    assert (call.returncode, dying in said) == (5, True), said
    assert peons_known(calls)


@pytest.mark.timeout(1500)
def test_a_job_goes_on_when_its_kommandir_is_killed_and_when_it_is_lost(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path, cloud: tuple[int, set[str]]
) -> None:
    state = kommandir_state
    folder = job_with_peons(tmp_path / "job", SLOW_RUN)
    (folder / "peon_setup.yml").write_text(SLOW_RUN)
    calls = remote_calls("ws", folder)
    calls.environment |= on_podman(state, reconnect_timeout=3)
    ended_with_its_kommandir(calls, "setup", killed, state)
    own = current(state)

    (folder / "peon_setup.yml").write_text(slow_run(0))
    calls("setup", "-e", json.dumps({"file_cache_args": [EMPTY]}))
    assert current(state) == own, "its provider started it again"
    wire, net = f"y{os.getpid() % 100000}", f"10.214.{os.getpid() % 250}"
    port, hosts = cloud
    outside = remote_calls("outside", clouds.job(tmp_path / "outside_job", f"http://{net}.1:{port}"))
    lay_wire(state, own, wire, net)
    outside("setup")
    assert len(hosts) == 1
    ended_with_its_kommandir(calls, "run", lost, state)

    # A new one has the workspace and, filled again, the cache, but not the peons that were inside of the old one.
    calls("run", code=4)
    assert inside(state, current(state), "ls", f"/home/{calls.uuid}/cache") == "empty"
    lay_wire(state, current(state), wire, net)
    outside("cleanup")
    assert hosts == set(), "a peon that outlived the kommandir of its set-up is destroyed by the next one"
    calls("cleanup")
    assert peon_states(calls) == {"destroyed"}
    [retired] = [event for event in calls.events() if event["event"] == "kommandir" and event["state"] == "retired"]
    assert (retired["kommandir"], "told another host than before" in retired["message"]) == (own, True)
    assert containers(state) == [current(state)]
    assert users(state, current(state)) == set()


def test_a_provider_that_is_away_costs_no_kommandir(remote_calls: Make, tmp_path: Path, kommandir_state: Path) -> None:
    """What answers is used, also by a new job; what does not is replaced."""
    job = job_of_commands(tmp_path / "job", setup="true", run="true")
    remote_calls("first", job)("setup")
    own = current(kommandir_state)
    calls = remote_calls("second", job)
    calls("setup", "-e", AWAY)
    calls("run", "-e", AWAY)
    assert current(kommandir_state) == own
    warnings = [event["message"] for event in calls.events() if event["event"] == "warning"]
    assert [(own in told, "no cloud today" in told) for told in warnings] == [(True, True)] * 2
    calls("run", "-e", HANGS)
    assert current(kommandir_state) == own

    killed(kommandir_state, own)
    ended = calls("run", "-e", AWAY, code=3)
    assert "no cloud today" in ended.stderr
    assert [one["state"] for one in generations(kommandir_state) if one["name"] == own] == ["retired"]


@pytest.mark.timeout(900)
def test_an_exekutir_that_was_killed_takes_its_run_up_again(remote_calls: Make, tmp_path: Path) -> None:
    calls = remote_calls("ws", job_with_peons(tmp_path / "job", slow_run(6)))
    calls("setup")
    run = calls.started("run")
    until(calls, "task_started", task="Time passes")
    run.kill()
    run.communicate()
    assert "--attach" in calls("run", code=2).stderr
    calls("run", "--attach")
    assert (calls.workspace / "exekutir_run.exit").read_text() == "0\n"
    told = [(event["task"], event["host"]) for event in calls.events() if event["event"] == "task_result"]
    assert told.count(("Time passes", "one")) == 1
    calls("cleanup")
    assert peon_states(calls) == {"destroyed"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_there_in_order(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path, number: int, code: int
) -> None:
    calls = remote_calls("ws", job_with_peons(tmp_path / "job", SLOW_RUN))
    calls("setup")
    run = calls.started("run")
    until(calls, "task_started", task="Time passes")
    run.send_signal(number)
    run.communicate(timeout=PATIENCE)
    assert run.returncode == code
    calls("cleanup")
    assert peon_states(calls) == {"destroyed"}
    assert calls.uuid not in users(kommandir_state, containers(kommandir_state)[0])


#: Jobs that are killed side by side, and how often each.
JOBS, KILLS = 3, 10
#: Seconds after which the longest of a context's calls is killed; each takes a little more.
LONGEST = {"setup": 7.0, "run": 4.0, "cleanup": 5.0}


@pytest.mark.timeout(1500)
def test_thirty_kills_at_random_moments_leave_nothing(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    state = kommandir_state
    folder = job_with_peons(tmp_path / "job", slow_run(1))
    jobs = [remote_calls(f"ws{number}", folder) for number in range(JOBS)]

    def killed_often(calls: Calls) -> None:
        dice = random.Random(calls.workspace.name)
        for number in range(KILLS):
            context = tuple(LONGEST)[number % len(LONGEST)]
            call = calls.started(context)
            time.sleep(dice.uniform(0, LONGEST[context]))
            call.kill()
            call.communicate()
        calls("cleanup")

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(killed_often, jobs))
    assert users(state, current(state)) == set()
    assert containers(state) == [current(state)]
    for calls in jobs:
        assert peon_states(calls) <= {"destroyed"}
        assert calls.uuid
        assert calls.uuid not in registered(state)
        assert calls.left() == []
