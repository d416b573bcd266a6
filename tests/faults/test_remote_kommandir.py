"""What becomes of a job when its remote kommandir, or the exekutir, is killed at a bad moment."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kommandir.journal import FILE_NAME, Journal
from tests.calls import BIN, PATIENCE, Calls
from tests.faults.conftest import SLOW_RUN, job_with_peons
from tests.kommandirs import containers, first, generations, killed, on_podman, until, users

Make = Callable[..., Calls]


def peon_states(calls: Calls) -> set[str]:
    return {peon.state for peon in Journal(calls.kommandir / FILE_NAME).peons().values()}


@pytest.mark.timeout(1500)
def test_a_job_goes_on_with_a_new_kommandir_whenever_its_own_was_killed(remote_calls: Make, tmp_path: Path) -> None:
    state = tmp_path / "state"
    folder = job_with_peons(tmp_path / "job", SLOW_RUN)
    (folder / "peon_setup.yml").write_text(SLOW_RUN)
    calls = remote_calls("ws", folder, state)
    calls.environment |= on_podman(state, reconnect_timeout=3)

    setup = calls.started("setup")
    until(calls, "task_started", task="Time passes")
    time.sleep(5)
    killed(state, first(state))
    _, said = setup.communicate(timeout=PATIENCE)
    assert setup.returncode == 5, said
    assert peon_states(calls) == {"up"}, "what is known of peons comes back while the kommandir still lives"
    assert {path.stem for path in (calls.kommandir / "private").glob("*.yml")} >= {"one", "two"}

    calls("setup")
    run = calls.started("run")
    until(calls, "task_started", context="run", task="Time passes")
    second = next(str(one["name"]) for one in generations(state) if one["state"] == "ready")
    killed(state, second)
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 5, said
    assert second in said

    calls("cleanup", "-e", "stonith=true")
    assert peon_states(calls) == {"destroyed"}
    assert containers(state) == []
    assert calls.left() == []


@pytest.mark.timeout(900)
def test_an_exekutir_that_was_killed_takes_its_run_up_again(remote_calls: Make, tmp_path: Path) -> None:
    calls = remote_calls("ws", job_with_peons(tmp_path / "job", SLOW_RUN))
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


KILLS = 30


@pytest.mark.timeout(3000)
def test_thirty_kills_at_random_moments_leave_nothing(remote_calls: Make, tmp_path: Path) -> None:
    state = tmp_path / "state"
    calls = remote_calls("ws", job_with_peons(tmp_path / "job", SLOW_RUN.replace("sleep 15", "sleep 1")), state)
    calls("setup")
    dice = random.Random(30)
    for number in range(KILLS):
        context = ("setup", "run", "cleanup")[number % 3]
        call = calls.started(context)
        time.sleep(dice.uniform(0, 8))
        call.kill()
        call.communicate()
    calls("cleanup", "-e", "stonith=true")
    assert peon_states(calls) <= {"destroyed"}
    assert {one["state"] for one in generations(state)} == {"destroyed"}
    assert containers(state) == []
    assert calls.left() == []


FICKLE = """---
cloud_provisioning_command:
  command: >-
    name={peon}; test ! -e {flag} || name=$name-other; {kommandir} provider call podman create $name --kommandir
    --uuid {uuid} --expires {expires} --public-key {key}
cloud_destruction_command:
  command: >-
    for name in {peon} {peon}-other; do {kommandir} provider call podman destroy $name --uuid {uuid} || exit 1; done
"""


@pytest.mark.timeout(1500)
def test_a_command_that_tells_another_host_than_before_gets_a_new_generation(
    remote_calls: Make, tmp_path: Path
) -> None:
    state, flag = tmp_path / "state", tmp_path / "flag"
    folder = job_with_peons(tmp_path / "job", SLOW_RUN)
    shutil.rmtree(folder / "inventory")
    (folder / "inventory" / "group_vars").mkdir(parents=True)
    (folder / "run.yml").write_text("---\n- name: Nothing\n  hosts: localhost\n  gather_facts: false\n")
    text = FICKLE.format(
        peon="{{ peon_name }}",
        uuid="{{ uuid }}",
        expires="{{ peon_expires }}",
        key="{{ inventory_dir | dirname }}/ssh/kommandir_key.pub",
        flag=flag,
        kommandir=BIN / "kommandir",
    )
    (folder / "inventory" / "group_vars" / "fickle.yml").write_text(text)
    calls = remote_calls("ws", folder, state)
    calls.environment = on_podman(state, kommandir_groups=["fickle"])
    calls("setup")
    assert containers(state) == [first(state)]
    flag.touch()
    calls("run")
    assert [one["state"] for one in generations(state)] == ["retired", "ready"]
    told = [(event["kommandir"], event["state"]) for event in calls.events() if event["event"] == "kommandir"]
    assert (first(state), "retired") in told
    assert told[-1][0] != first(state)
    calls("cleanup", "-e", "stonith=true")
    assert containers(state) == []
    assert {one["state"] for one in generations(state)} == {"destroyed"}
