"""A virtual machine as a kommandir: a whole job, kills while it is made and while it works, a clock that is wrong.

Without KVM each boot and each set-up takes its time, so one machine serves all questions but those of its successor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exekutir.remote.host import RemoteHost
from kommandir import image
from kommandir.journal import FILE_NAME, Journal
from kommandir.providers import qemu_vm, vm_template
from tests.calls import Calls
from tests.end_to_end.providers.callers import running
from tests.faults.conftest import job_with_peons
from tests.kommandirs import current, generations, prefix, registered, until, wait_for

#: Seconds that a call may take on a busy host without KVM.
PATIENCE = 900.0
#: The same for one that works on a machine inside a machine.
PATIENCE_INSIDE = 2400.0
ATTEMPTS_INSIDE = 3
#: What no failure of such a machine may end with: a mistake of the user, something left behind.
BLAMED = {2, 9}
DAY = 86400
pytestmark = pytest.mark.timeout(4200)
PEONS = """[peons]
one peon_groups='["namespace"]'
"""
#: A machine in a machine; without KVM its kernel runs under one that QEMU emulates.
MACHINE_INSIDE = """[peons]
one peon_groups='["qemu"]' peon_memory=512 peon_cpus=1
"""
RUN = """---
- name: Ask the peon, and take the time that the job was told to take
  hosts: peons
  gather_facts: false
  vars_files: kommandir_vars.yml
  roles: [common]
  tasks:
    - name: Time passes
      ansible.builtin.shell: hostname; cat /proc/1/comm; sleep {{ nap | default(0) }}
      changed_when: false
      register: said
    - name: What it said is kept
      ansible.builtin.copy:
        content: "{{ said.stdout }}"
        dest: "{{ workspace }}/results/said"
        mode: "0644"
      delegate_to: localhost
"""


class Machine:
    """The kommandir of a state folder, as its provider knows it."""

    def __init__(self, calls: Calls) -> None:
        self.calls, self.state = calls, calls.state

    def folders(self) -> list[str]:
        """The names of all machines, whole or half."""
        return sorted(path.name for path in (self.state / "qemu").glob("*") if not path.name.startswith("."))

    def record(self) -> dict[str, Any]:
        """What its provider knows of the current one; empty where there is none."""
        try:
            known = json.loads((self.state / "qemu" / current(self.state) / "peon.json").read_text())
        except (FileNotFoundError, StopIteration):
            return {}
        assert isinstance(known, dict)
        return known

    def said(self, command: str) -> str:
        """Run a line of shell as its root; what it said."""
        [known] = [one for one in generations(self.state) if one["name"] == current(self.state)]
        host = RemoteHost.from_host_vars(
            str(known["name"]),
            known["host_vars"],
            key=self.state / "locks" / f"{prefix(self.state)}-kommandir" / "key",
            known_hosts=self.calls.workspace / "ssh" / "known_hosts",
        )
        words = [*host.ssh(), command]
        surroundings = {**os.environ, "SHELL": "/bin/sh"}
        done = subprocess.run(words, capture_output=True, text=True, env=surroundings, timeout=self.calls.patience)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def turn_clock(self, seconds: int) -> None:
        """Put its clock off by so much, whatever it was before."""
        self.said(f"date -u -s @{time.time() + seconds:.0f}")

    def lost(self) -> None:
        """Kill it, and take away its disk, so that its provider can't start it again."""
        record = self.record()
        os.kill(record["pid"], signal.SIGKILL)
        (self.state / "qemu" / record["name"] / "disk.qcow2").unlink()


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    """Calls of a job with one namespace peon, with a qemu kommandir; nothing of it all is left."""
    vm_template.ensure(qemu_vm.machine_of(str(image.build())))
    state, job = tmp_path / "state", job_with_peons(tmp_path / "job", RUN, PEONS)
    variables = {"kommandir_groups": ["qemu"], "kommandir_name_prefix": prefix(state), "reconnect_timeout": 3}
    calls = Calls(tmp_path / "ws", state, job, {"EXEKUTIR_EXTRA_VARS": json.dumps(variables)}, patience=PATIENCE)
    yield calls
    for one in (_with_machine_inside(calls), calls):
        if (one.workspace / "exekutir_vars.yml").exists():
            one("cleanup", "-e", "stonith=true", code=None)
    assert Machine(calls).folders() == []
    assert calls.left() == []


def test_a_job_on_a_virtual_machine(calls: Calls) -> None:
    machine = Machine(calls)
    _killed_while_it_is_created(calls, machine)
    process_of_it = _killed_while_it_is_set_up(calls, machine)

    calls("setup")
    assert machine.record()["pid"] == process_of_it, "what was made and answers is finished, not made again"
    assert [one["state"] for one in generations(calls.state)] == ["ready"]
    assert _peons(calls) == {"up"}
    assert calls.uuid in machine.said("ls /home")

    machine.turn_clock(DAY)
    before = len(calls.events())
    calls("run")
    _told_by_our_clock(calls, before, "ahead")
    assert (calls.results / "said").read_text().split() == ["one", "python3"]

    machine.turn_clock(-DAY)
    before = len(calls.events())
    _lost_in_the_middle_of_a_run(calls, machine)
    _told_by_our_clock(calls, before, "behind")
    calls("cleanup")
    assert _peons(calls) == {"destroyed"}
    assert [one["state"] for one in generations(calls.state)] == ["destroyed", "ready"]

    _another_job_has_a_machine_inside_it(calls, machine)
    assert {one["state"] for one in generations(calls.state)} == {"destroyed"}
    assert registered(calls.state) == set()
    assert machine.folders() == []
    assert calls.left() == []


def _killed_while_it_is_created(calls: Calls, machine: Machine) -> None:
    """The exekutir and its provisioning command are killed as soon as the machine's process is there."""
    setup = calls.started("setup")
    wait_for(lambda: bool(machine.record().get("pid")), "no machine was started")
    setup.kill()
    setup.communicate()
    for pid in _with_words("kommandir.providers.qemu", "create", current(calls.state)):
        os.kill(pid, signal.SIGKILL)
    assert machine.record()["state"] == "forming"
    assert [one["state"] for one in generations(calls.state)] == ["creating"]


def _with_words(*words: str) -> Iterator[int]:
    """The processes that have all these words on their command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if {word.encode() for word in words} <= set((entry / "cmdline").read_bytes().split(b"\0")):
                    yield int(entry.name)


def _killed_while_it_is_set_up(calls: Calls, machine: Machine) -> int:
    """The exekutir alone is killed, in the longest step; the number of the machine's process."""
    half = machine.record()["pid"]
    setup = calls.started("setup")
    until(calls, "task_started", task="It is installed beside older releases")
    setup.kill()
    setup.communicate()
    assert machine.folders() == [current(calls.state)]
    assert running({half}) == set(), "the half-made machine was replaced"
    return int(machine.record()["pid"])


def _with_machine_inside(calls: Calls) -> Calls:
    """Calls of another job on the same kommandir."""
    folder = calls.workspace.with_name("inner")
    return dataclasses.replace(calls, workspace=folder / "ws", job=folder / "job", patience=PATIENCE_INSIDE)


def _another_job_has_a_machine_inside_it(calls: Calls, machine: Machine) -> None:
    """A whole job, with nothing else said than the group of its peon and a small size; it takes the kommandir with it.

    A KVM that QEMU emulates, for want of a real one, now and then hangs, and so does the machine that has it: the job
    fails then, says why, leaves nothing, and works with another kommandir.
    """
    inner = _with_machine_inside(calls)
    job_with_peons(inner.workspace.with_name("job"), RUN, MACHINE_INSIDE)
    emulated = machine.record()["accelerator"] == "tcg"
    codes: list[int] = []
    while not codes or (emulated and codes[-1] and len(codes) < ATTEMPTS_INSIDE):
        codes.append(inner("all", "-e", "stonith=true", code=None).returncode)
        assert _peons(inner) == {"destroyed"}
    assert codes[-1] == 0
    assert not BLAMED & set(codes)
    assert (inner.results / "said").read_text().split() == ["one", "systemd"]
    made = (inner.results / "one" / "creation_result.yml").read_text()
    assert ("booting a template" in made) is not emulated, made


def _peons(calls: Calls) -> set[str]:
    return {peon.state for peon in Journal(calls.kommandir / FILE_NAME).peons().values()}


def _told_by_our_clock(calls: Calls, before: int, word: str) -> None:
    """What came from the kommandir is in order and of the present, and its clock was complained of."""
    events = calls.events()[before:]
    times = [event["time"] for event in events]
    today = {time.strftime("%Y-%m-%d", time.gmtime(time.time() - past)) for past in (0, 3600)}
    assert {moment[:10] for moment in times} <= today
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert any(f"s {word}; times of events are ours" in message for message in warnings)


def _lost_in_the_middle_of_a_run(calls: Calls, machine: Machine) -> None:
    """It is the kommandir that failed; what was brought back before is kept."""
    before = len(calls.events())
    run = calls.started("run", "-e", "nap=600")
    until(calls, "task_started", after=before, task="Time passes")
    machine.lost()
    _, said = run.communicate(timeout=calls.patience)
    assert run.returncode == 5, said
    assert _peons(calls) == {"up"}
    assert (calls.kommandir / "private" / "one.yml").exists()
    assert (calls.results / "said").exists()
    assert yaml.safe_load((calls.kommandir / "inventory" / "host_vars" / "one.yml").read_text())["ansible_host"]
