"""Peons that never come, die in the middle, or can't be destroyed: told apart, told why, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from kommandir import yamlfile
from tests.calls import BIN, Calls
from tests.faults.test_signals import step_started
from tests.patience import until

GOOD_YAML = "{ansible_host: 127.0.0.1, ansible_connection: local, host_name: one}"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job with one peon whose commands the test writes."""
    folder = tmp_path / "job"
    (folder / "inventory").mkdir(parents=True)
    (folder / "inventory" / "peons").write_text("[peons]\none\n")
    return folder


def commanded(job: Path, create: str, destroy: str = "true", **more: str) -> None:
    host_vars = job / "inventory" / "host_vars"
    host_vars.mkdir(exist_ok=True)
    variables: dict[str, object] = {
        "cloud_provisioning_command": {"command": create},
        "cloud_destruction_command": {"command": destroy},
        "ansible_python_interpreter": "/usr/bin/python3",
        **more,
    }
    (host_vars / "one.yml").write_text(yamlfile.dump(variables))


@pytest.mark.parametrize(
    ("create", "code", "said"),
    [
        ("sleep 60", 3, ["longer than 2 s"]),
        ("true", 3, ["nothing"]),
        ("echo '- a list'", 3, ["mapping", "a list"]),
        ("echo 'a: [junk'", 3, ["junk"]),
        ("echo so far so good; echo no more room >&2; exit 3", 3, ["exit code 3", "no more room"]),
        ("echo 'ansible_host: 127.0.0.1'; exit 1", 3, ["exit code 1"]),
        ("echo 'ansible_host: 127.0.0.1'; kill -9 $$", 3, ["SIGKILL"]),
    ],
)
def test_provisioning_commands_that_go_wrong(calls: Calls, job: Path, create: str, code: int, said: list[str]) -> None:
    commanded(job, create, cloud_timeout="2")
    calls.job = job
    ended = calls("setup", code=code)
    for text in (*said, "one", "creation_result.yml"):
        assert text in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    kept = (calls.results / "one" / "creation_result.yml").read_text()
    assert create.split("'", maxsplit=1)[0].split(";", maxsplit=1)[0] in kept
    calls("cleanup")
    assert calls.left() == []


def test_ssh_that_never_comes(calls: Calls, job: Path) -> None:
    """The port answers to nobody; the job gives up in time and says what it waited for."""
    commanded(
        job,
        "printf 'ansible_host: 127.0.0.1\\nansible_port: 9\\nansible_connection: ssh\\nssh_host_key: null\\n'",
        wait_for_timeout="3",
    )
    calls.job = job
    ended = calls("setup", code=4)
    assert "one" in ended.stdout + ended.stderr
    calls("cleanup")


def test_a_peon_killed_in_the_middle_of_a_test(calls: Calls, slow_job: Path) -> None:
    calls.job = slow_job
    calls("setup")
    process = calls.started("run")
    until(lambda: step_started(calls, "run"))
    listed = subprocess.run(
        [str(BIN / "kommandir"), "provider", "list"],
        env=calls.surroundings(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "namespace" in listed.stdout
    until(lambda: bool(killed_peon(calls, "one")))
    (slow_job / "run.yml").write_text("[]")
    process.send_signal(signal.SIGTERM) if process.poll() is None and not died(process, 100) else None
    _, said = process.communicate(timeout=120)
    assert process.returncode == 4, said
    calls("cleanup")
    assert calls.left() == []


def died(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def killed_peon(calls: Calls, peon: str) -> list[int]:
    """Kill the first process of a namespace peon, and so all of it; what was killed comes back."""
    records = [path for path in calls.state.glob("namespace/*/peon.json") if path.parent.name.startswith(f"{peon}-")]
    killed = [int(json.loads(record.read_text())["pid"]) for record in records]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    return killed


def test_a_peon_that_can_not_be_destroyed_is_left_behind_and_said(calls: Calls, job: Path) -> None:
    commanded(job, f"echo '{GOOD_YAML}'", destroy="echo still busy >&2; exit 4")
    calls.job = job
    calls("setup")
    ended = calls("cleanup", code=None)
    assert ended.returncode in (3, 9)
    assert "still busy" in ended.stdout + ended.stderr
    assert "exekutir cleanup" in ended.stderr
    assert "1 alive" in calls("status").stdout
    for file in (calls.kommandir / "private" / "one.yml", calls.kommandir / "inventory" / "host_vars" / "one.yml"):
        file.write_text(file.read_text().replace("exit 4", "exit 0"))
    calls("cleanup")
    assert "0 alive" in calls("status").stdout


def test_a_cleanup_that_takes_too_long_still_destroys(calls: Calls, peons_job: Path) -> None:
    calls.job = peons_job
    (peons_job / "job.xn").write_text(
        "- playbook:\n    contexts: [setup]\n    filepath: setup.yml\n    inventory: inventory\n"
        "- command:\n    contexts: [cleanup]\n    filepath: /bin/sleep\n    arguments: '60'\n"
    )
    calls("setup")
    assert "7" in calls("cleanup", "--timeout", "2s", code=7).stdout
    assert calls.left() == []
    (calls.kommandir / "job.xn").write_text("[]\n")  # for the cleanup after the test
