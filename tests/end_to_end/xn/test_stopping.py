"""Signals and deadlines in the middle of a step: what ran is ended, all of it, and the exit code says why."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kommandir.cancellation import Cancellation
from kommandir.errors import ExitCode
from kommandir.strays import STEP_TAG

from .conftest import Job

#: Starts processes in sessions of their own, as Ansible's workers and daemons are, and says so.
HANG = "#!/bin/bash\ntrap '' TERM\nsetsid sleep 300 &\nsetsid nohup bash -c 'trap \"\" TERM; sleep 301; sleep 302' &\n"
HANG += 'touch "$1"\nsleep 303\nsleep 304\n'
PLAY = (
    "- hosts: all\n  gather_facts: false\n  tasks:\n"
    "    - name: Hang\n"
    "      ansible.builtin.command: '{{ workspace }}/hang {{ workspace }}/hangs-{{ inventory_hostname }}'\n"
)
NEXT = "- command: {filepath: /usr/bin/touch, arguments: y}\n"
STEPS = {
    "command": "- command: {filepath: hang, arguments: $WORKSPACE/hangs-x}\n" + NEXT,
    "playbook": "- playbook: {filepath: play.yml, inventory: inventory}\n" + NEXT,
}


@pytest.fixture(params=list(STEPS))
def hanging(request: pytest.FixtureRequest, job: Job) -> str:
    """The text of an xn file whose first step hangs."""
    job.write("hang", HANG).chmod(0o755)
    job.write("play.yml", PLAY)
    host = job.read("inventory").partition(" ")[2]
    job.write("inventory", f"a {host}b {host}")
    return STEPS[request.param]


def awaited(what: Callable[[], bool]) -> None:
    """Wait, as long as a busy machine may need."""
    for _ in range(2000):
        if what():
            return
        time.sleep(0.03)
    raise AssertionError("it did not come to pass")


def ended(pid: int) -> None:
    """End a process that is nobody's child any more, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    awaited(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def hangs(job: Job) -> bool:
    return any(job.workspace.glob("hangs-*"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_a_signal_ends_everything(job: Job, hanging: str, number: signal.Signals, code: ExitCode) -> None:
    job.write("job.xn", hanging)
    running = job.start("run", "job.xn")
    awaited(lambda: hangs(job))
    running.send_signal(number)
    _out, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert "interrupted" in err
    assert not (job.workspace / "y").exists()


def test_a_deadline_ends_everything(job: Job, hanging: str) -> None:
    # Ansible needs its time to get as far as the task, more of it on a busy machine.
    seconds = 2 if "playbook" not in hanging else 15
    result = job.run(hanging, timeout=seconds)
    assert (result.exit_code, result.outcome) == (7, ExitCode.TIMED_OUT)
    assert f"took longer than {seconds} s" in result.failures[0].message
    assert [item["outcome"] for item in job.of("step_finished")] == ["interrupted"]
    assert hangs(job)
    assert not (job.workspace / "y").exists()


def test_an_exitfile_does_not_swallow_a_deadline(job: Job) -> None:
    result = job.run(
        "- command: {filepath: /bin/sleep, arguments: '60', exitfile: code}\n- command: {filepath: /bin/true}",
        timeout=0.5,
    )
    assert (result.outcome, job.read("code")) == (ExitCode.TIMED_OUT, "7")
    assert len(job.of("step_finished")) == 1


def test_a_job_that_is_stopped_already_starts_nothing(job: Job) -> None:
    stopped = Cancellation()
    stopped.request(signal.SIGTERM)
    result = job.run("- command: {filepath: /usr/bin/touch, arguments: y}", cancellation=stopped)
    assert result.outcome == ExitCode.TERMINATED
    assert not (job.workspace / "y").exists()


def test_a_service_that_a_step_starts_lives_on(job: Job) -> None:
    result = job.run(
        "- command: {filepath: /bin/bash, arguments: \"-c 'setsid sleep 300 >/dev/null 2>&1 & echo $! > pid'\"}"
    )
    assert result.exit_code == 0
    service = int(job.read("pid"))
    awaited(lambda: Path(f"/proc/{service}/cmdline").read_bytes().startswith(b"sleep"))
    ended(service)


def test_a_peon_that_a_step_starts_is_spared_by_a_signal(job: Job) -> None:
    job.write(
        "peon", "#!/bin/bash\nenv -u EXEKUTIR_JOB setsid sleep 300 >/dev/null 2>&1 &\necho $! > pid\nsleep 60\n"
    ).chmod(0o755)
    job.write("job.xn", "- command: {filepath: peon}")
    running = job.start("run", "job.xn")
    awaited(lambda: (job.workspace / "pid").exists() and bool(job.read("pid")))
    peon = int(job.read("pid"))
    awaited(lambda: Path(f"/proc/{peon}/cmdline").read_bytes().startswith(b"sleep"))
    running.terminate()
    running.communicate(timeout=60)
    assert STEP_TAG.encode() in Path(f"/proc/{peon}/environ").read_bytes()
    ended(peon)
