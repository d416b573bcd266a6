"""mitogen's strategy: used where it is installed and the job has peons, never where anybody names another."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from kommandir.journal import FILE_NAME, Journal

from .conftest import Job
from .test_stopping import HANG, PLAY, awaited, hangs

SHOW = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {dest: shown, mode: "0600", content: "{{ lookup('config', 'DEFAULT_STRATEGY') }}"}
"""


def with_peon(job: Job, state: str = "peon_created") -> None:
    Journal(job.workspace / FILE_NAME).append(state, peon="alpha", provider="namespace")


@pytest.mark.parametrize(
    ("state", "before", "config", "strategy"),
    [
        ("peon_created", "kommandir_vars", "", "linear"),
        ("peon_destroyed", "", "", "linear"),
        ("peon_created", "- variable: {name: mitogen, value: never}\n", "", "linear"),
        ("peon_created", "", "strategy = free\n", "free"),
        ("peon_created", "", "forks = 3\n", "mitogen_linear"),
    ],
)
def test_which_strategy_is_used(job: Job, state: str, before: str, config: str, strategy: str) -> None:
    with_peon(job, state)
    job.write("ansible.cfg", f"[defaults]\n{config}")
    job.write("play.yml", SHOW)
    if before == "kommandir_vars":
        job.write("kommandir_vars.yml", "mitogen: never\n")
        before = ""
    result = job.run(f"{before}- playbook: {{filepath: play.yml, inventory: inventory}}")
    assert result.exit_code == 0, result
    assert job.read("shown") == strategy


def test_no_process_is_pinned_to_a_processor(job: Job) -> None:
    """Of several playbooks at a time all would be pinned to the same one."""
    with_peon(job)
    say = "{{ lookup('pipe', 'grep Cpus_allowed_list /proc/self/status') }}"
    job.write("play.yml", SHOW.replace("{{ lookup('config', 'DEFAULT_STRATEGY') }}", say))
    result = job.run("- playbook: {filepath: play.yml, inventory: inventory}\n" * 2)
    assert result.exit_code == 0, result
    status = Path("/proc/self/status").read_text()
    (mine,) = [line for line in status.splitlines() if line.startswith("Cpus_allowed_list")]
    assert job.read("shown") == mine


def test_failures_are_told_in_the_same_way(job: Job) -> None:
    with_peon(job)
    result = job.play(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - block:\n        - name: Rescued\n          ansible.builtin.command: ls /nope\n"
        "      rescue:\n        - name: Rescue\n          ansible.builtin.command: echo rescue\n"
        "    - name: Last\n      ansible.builtin.shell: echo why >&2; exit 3\n"
    )
    assert job.results() == [("Rescued", "rescued"), ("Rescue", "changed"), ("Last", "failed")]
    assert [failure.message for failure in result.failures] == ["exit code 3\nwhy"]


def test_a_signal_ends_everything(job: Job) -> None:
    with_peon(job)
    job.write("hang", HANG).chmod(0o755)
    job.write("play.yml", PLAY)
    job.write("job.xn", "- playbook: {filepath: play.yml, inventory: inventory}\n")
    running = job.start("run", "job.xn")
    awaited(lambda: hangs(job))
    running.send_signal(signal.SIGTERM)
    _out, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
