"""Playbooks forked from a process that has Ansible imported: each is as one that was started by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from kommandir import process, strays
from kommandir.environment import JOB_TAG
from kommandir.errors import ExitCode
from kommandir.playbook import zygotes
from kommandir.playbook.zygotes import Zygotes
from kommandir.strays import STEP_TAG, marks

from .conftest import Job

SCRIPT = Path("/bin/ansible-playbook")
PLAY = """---
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        dest: "{{ playbook_dir }}/of-{{ lookup('env', 'PEON') }}"
        content: "{{ lookup('pipe', 'ps -o args= -p $(ps -o ppid= -p $PPID)') }}"
    - ansible.builtin.command: "{{ lookup('env', 'RUN') }}"
"""


@pytest.fixture
def kept(job: Job) -> Iterator[Zygotes]:
    """Zygotes; what a killed playbook left is ended with them, as cleanup does."""
    with closing(Zygotes()) as made:
        yield made
    strays.end_tagged(JOB_TAG, job.uuid)


def surroundings(job: Job, **more: str) -> dict[str, str]:
    found = {"PATH": os.environ["PATH"], "HOME": str(job.workspace), "LANG": "C.UTF-8", "RUN": "true", **more}
    return found | marks(job.uuid)


def started(job: Job, kept: Zygotes, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    command = [*kept.command(environment, job.workspace, SCRIPT), "--inventory", "inventory", "play.yml"]
    return subprocess.Popen(
        command,
        env=dict(environment),
        cwd=job.workspace,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(child: subprocess.Popen[str]) -> str:
    said, _ = child.communicate(timeout=120)
    return said


def until_tagged(mark: str, wanted: bytes) -> int:
    """The process of a step whose command line has ``wanted``, once there is one."""
    moment = time.monotonic() + 120
    while time.monotonic() < moment:
        for pid in process.tagged(STEP_TAG, mark):
            try:
                if wanted in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"nothing of {mark} has {wanted!r}")


def test_playbooks_of_several_peons_have_one_zygote_and_their_own_surroundings(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    commands = set()
    for peon in ("a", "b"):
        environment = surroundings(job, PEON=peon)
        child = started(job, kept, environment)
        said = ended(child)
        assert child.returncode == 0, said
        assert "PLAY RECAP" in said
        commands.add(job.read(f"of-{peon}"))
    (command,) = commands
    assert "zygote.py" in command


def test_its_end_is_that_of_the_playbook(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    child = started(job, kept, surroundings(job, RUN="false"))
    said = ended(child)
    assert child.returncode == 2, said
    assert "non-zero return code" in said


def test_what_differs_only_by_run_shares_a_zygote(job: Job, kept: Zygotes) -> None:
    def name(**more: str) -> str:
        return kept.command(surroundings(job, **more), job.workspace, SCRIPT)[4]

    first = name(PEON="a")
    assert name(PEON="b") == first
    assert name(PEON="a", ANSIBLE_STRATEGY="free") != first
    job.write("elsewhere.cfg", "[defaults]\n")
    elsewhere = surroundings(job, ANSIBLE_CONFIG=str(job.workspace / "elsewhere.cfg"))
    assert len({kept.command(elsewhere, folder, SCRIPT)[4] for folder in (job.workspace, Path("/"))}) == 1
    relative = {**elsewhere, "ANSIBLE_ROLES_PATH": "roles"}
    assert len({kept.command(relative, folder, SCRIPT)[4] for folder in (job.workspace, Path("/"))}) == 2
    job.write("ansible.cfg", "[defaults]\nroles_path = $PEON\n")
    assert name(PEON="a") not in (first, name(PEON="b"))


def test_a_step_that_is_killed_takes_its_playbook_along_and_no_other(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    children = {}
    for peon in ("a", "b"):
        environment = surroundings(job, PEON=peon, RUN="sleep 60" if peon == "a" else "sleep 3")
        children[peon] = started(job, kept, environment), environment[STEP_TAG]
    until_tagged(children["a"][1], b"sleep\x0060")
    forked = until_tagged(children["a"][1], b"zygote.py")
    os.killpg(children["a"][0].pid, signal.SIGKILL)
    ended(children["a"][0])
    moment = time.monotonic() + 60
    while Path(f"/proc/{forked}").exists():
        assert time.monotonic() < moment
        time.sleep(0.05)
    assert "PLAY RECAP" in ended(children["b"][0])
    assert children["b"][0].returncode == 0


def test_calls_that_break_off_do_it_no_harm(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    environment = surroundings(job, PEON="a")
    name = kept.command(environment, job.workspace, SCRIPT)[4]
    for said in (b"", b"x", struct.pack("q", 100) + b"not all of it"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(f"\0{name}")
            stranger.sendall(said)
    child = started(job, kept, environment)
    assert "PLAY RECAP" in ended(child)
    assert "zygote.py" in job.read("of-a")


def test_steps_that_are_ended_whole_leave_the_others_alone(job: Job, kept: Zygotes) -> None:
    """Who waits and what runs are killed at the same moment, as a deadline does it, again and again."""
    job.write("play.yml", PLAY)
    living = surroundings(job, PEON="living", RUN="sleep 8")
    other = started(job, kept, living)
    until_tagged(living[STEP_TAG], b"sleep\x008")
    for _ in range(3):
        environment = surroundings(job, PEON="a", RUN="sleep 60")
        child = started(job, kept, environment)
        until_tagged(environment[STEP_TAG], b"sleep\x0060")
        for pid in list(process.tagged(STEP_TAG, environment[STEP_TAG])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended(child)
    assert "PLAY RECAP" in ended(other)
    assert other.returncode == 0


def test_a_playbook_that_is_killed_is_told_as_killed(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    environment = surroundings(job, RUN="sleep 60")
    child = started(job, kept, environment)
    until_tagged(environment[STEP_TAG], b"sleep\x0060")
    os.kill(until_tagged(environment[STEP_TAG], b"zygote.py"), signal.SIGKILL)
    ended(child)
    assert child.returncode == -signal.SIGKILL


def test_without_a_zygote_ansible_starts_from_nothing(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    environment = surroundings(job, PEON="a")
    command = kept.command(environment, job.workspace, SCRIPT)
    kept.close()
    ran = subprocess.run(
        [*command, "-i", "inventory", "play.yml"], env=environment, cwd=job.workspace, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert str(zygotes.LAUNCHER) in job.read("of-a")


def test_when_the_zygote_dies_its_playbooks_do(job: Job, kept: Zygotes) -> None:
    job.write("play.yml", PLAY)
    environment = surroundings(job, RUN="sleep 60")
    child = started(job, kept, environment)
    until_tagged(environment[STEP_TAG], b"sleep\x0060")
    forked = until_tagged(environment[STEP_TAG], b"zygote.py")
    zygote = int(Path(f"/proc/{forked}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(zygote, signal.SIGKILL)
    ended(child)
    assert child.returncode == -signal.SIGKILL
    # The next one finds another zygote.
    again = started(job, kept, surroundings(job, PEON="a"))
    assert "PLAY RECAP" in ended(again)
    assert "zygote.py" in job.read("of-a")


MODULE = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={{}}).exit_json(changed=False, said="{}")
"""
OWN = """---
- hosts: localhost
  gather_facts: false
  tasks:
    - greet:
      register: greeting
    - ansible.builtin.assert: {that: greeting.said == "%s", fail_msg: "{{ greeting.said }}"}
"""


def test_modules_of_a_job_are_those_of_each_playbook(job: Job) -> None:
    """They are packed anew, as Ansible tells packed modules apart by name alone."""
    for folder in ("one", "two"):
        job.write(f"{folder}/library/greet.py", MODULE.format(folder))
        job.write(f"{folder}/play.yml", OWN % folder)
    job.write("swapped/play.yml", OWN % "three")
    job.write("swapped/library/greet.py", MODULE.format("two"))
    job.write("greet.py", MODULE.format("three"))
    result = job.run(
        "- playbook: {filepath: one/play.yml, inventory: inventory}\n"
        "- playbook: {filepath: two/play.yml, inventory: inventory}\n"
        "- playbook: {filepath: swapped/play.yml, inventory: inventory, exitfile: said-no}\n"
        "- command: {filepath: /bin/cp, arguments: greet.py swapped/library/greet.py}\n"
        "- playbook: {filepath: swapped/play.yml, inventory: inventory}\n"
    )
    assert result.outcome == ExitCode.GOOD, result
    assert job.read("said-no") == "2"


def test_a_configuration_that_changes_between_playbooks_holds(job: Job) -> None:
    play = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.include_role: {name: here}}]\n"
    job.write("play.yml", play)
    job.write("first/here/tasks/main.yml", "- ansible.builtin.debug: {msg: first}\n")
    job.write("second/here/tasks/main.yml", "- ansible.builtin.debug: {msg: second}\n")
    job.write("ansible.cfg", "[defaults]\nroles_path = first\n")
    result = job.run(
        "- playbook: {filepath: play.yml, inventory: inventory}\n"
        "- command: {filepath: /bin/sed, arguments: -i s/first/second/ ansible.cfg}\n"
        "- playbook: {filepath: play.yml, inventory: inventory}\n"
    )
    assert result.outcome == ExitCode.GOOD, result
    said = [item["message"] for item in job.of("task_result") if item["message"]]
    assert said == ["first", "second"]
