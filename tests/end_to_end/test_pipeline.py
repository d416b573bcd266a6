"""Each peon goes from created to tested on its own, on real peons; what fails is kept, collected, tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.calls import BIN, Calls
from tests.patience import until

#: ``slow`` is only prepared once ``fast`` has been tested: with barriers that would never be. ``twice`` needs a second
#: host, ``killed`` loses its host in the middle, ``broken`` has tests that say no.
JOB = """---
recipe:
  group: job
  name: main
  steps:
    peons: {target: peon.list}
    pipelines: {target: peon.pipelines, contexts: [run], arguments: [{pipeline: {recipe: job.peon}}]}
    after:
      target: command.run
      contexts: [run]
      arguments: [{command: {filepath: /usr/bin/touch, arguments: results/after}}]
    destroy: {target: peon.destroy, contexts: [cleanup], foreach: peon}
  transitions:
    - {in: peons, out: pipelines}
    - {in: pipelines, out: after, when: elmt.type == "pipelines"}
    - {in: after, out: destroy}
recipes:
  - group: job
    name: peon
    end_step: end
    steps:
      first: {target: job.try, type: recipe}
      destroy_first: {target: peon.destroy}
      again: {target: job.try, type: recipe}
      test: {target: peon.playbook, arguments: [{playbook: {filepath: run.yml}}]}
      keep: {target: peon.keep, arguments: [{lease: {hours: 1}}]}
      logs: {target: peon.logs, arguments: [{logs: {paths: /etc/hostname}}]}
      fail: {target: job.fail}
      tested: {target: peon.command, arguments: [{command: {filepath: /usr/bin/touch, arguments: results/$PEON.ok}}]}
      destroy: {target: peon.destroy}
      end: {target: job.nothing}
    transitions:
      - {in: first, out: test}
      - {in: {error: first}, out: destroy_first}
      - {in: destroy_first, out: again}
      - {in: again, out: test}
      - {in: test, out: tested}
      - {in: tested, out: destroy}
      - {in: destroy, out: end}
      - {in: {error: test}, out: keep}
      - {in: keep, out: logs}
      - {in: logs, out: fail}
      - {in: {error: logs}, out: fail}
      - {in: fail, out: end}
  - group: job
    name: try
    steps:
      create: {target: peon.create}
      prepare: {target: peon.command, arguments: [{command: {filepath: prepare.sh, arguments: $PEON}}]}
    transitions:
      - {in: create, out: prepare}
"""

#: The same in the manual's XML, smaller.
JOB_IN_XML = """<?xml version="1.0"?>
<al:cookbook xmlns:al="http://www.logilab.org/namespaces/Narval/1.2">
  <al:recipe group="job" name="main">
    <al:step id="peons" type="action" target="peon.list"/>
    <al:step id="pipelines" type="action" target="peon.pipelines" contexts="run">
      <al:arguments><pipeline recipe="job.peon"/></al:arguments>
    </al:step>
    <al:step id="destroy" type="action" target="peon.destroy" contexts="cleanup" foreach="peon"/>
    <al:transition id="t1"><al:in idref="peons"/><al:out idref="pipelines"/></al:transition>
    <al:transition id="t2"><al:in idref="pipelines"/><al:out idref="destroy"/></al:transition>
  </al:recipe>
  <al:recipe group="job" name="peon" end_step="end">
    <al:step id="create" type="action" target="peon.create"/>
    <al:step id="test" type="action" target="peon.playbook">
      <al:arguments><playbook filepath="run.yml"/></al:arguments>
    </al:step>
    <al:step id="keep" type="action" target="peon.keep"><al:arguments><lease hours="1"/></al:arguments></al:step>
    <al:step id="fail" type="action" target="job.fail"/>
    <al:step id="end" type="action" target="job.nothing"/>
    <al:transition id="created"><al:in idref="create"/><al:out idref="test"/></al:transition>
    <al:transition id="good"><al:in idref="test"/><al:out idref="end"/></al:transition>
    <al:transition id="bad">
      <al:in idref="test" on_error="yes"/>
      <al:out idref="keep"/>
      <al:condition><al:match>elmt.type == "tests_failed"</al:match></al:condition>
    </al:transition>
    <al:transition id="kept"><al:in idref="keep"/><al:out idref="fail"/></al:transition>
    <al:transition id="last"><al:in idref="fail"/><al:out idref="end"/></al:transition>
  </al:recipe>
</al:cookbook>
"""

PREPARE = """#!/bin/sh
case $1 in
  slow) while ! test -e results/fast.ok; do sleep 0.1; done ;;
  twice) test -e results/tried || { touch results/tried; exit 5; } ;;
esac
"""

RUN = """---
- name: Test the peon
  hosts: peons
  gather_facts: false
  vars_files: [kommandir_vars.yml]
  roles: [common]
  tasks:
    - name: This host is new
      ansible.builtin.command: mkdir /root/tested
      changed_when: true

    - name: It stays long enough to be killed
      ansible.builtin.command: sleep 60
      when: inventory_hostname == "killed"
      changed_when: false

    - name: The tests say no
      ansible.builtin.assert:
        that: inventory_hostname != "broken"
"""


def job_of(folder: Path, *peons: str) -> Path:
    (folder / "inventory").mkdir(parents=True)
    (folder / "inventory" / "peons").write_text("[peons]\n" + "\n".join(peons) + "\n")
    (folder / "job.xn").write_text(JOB)
    (folder / "run.yml").write_text(RUN)
    (folder / "prepare.sh").write_text(PREPARE)
    (folder / "prepare.sh").chmod(0o755)
    return folder


def place(events: list[dict[str, Any]], **wanted: str) -> int:
    """Where the first event is that has all of this."""
    found = [number for number, item in enumerate(events) if all(item.get(key) == to for key, to in wanted.items())]
    assert found, wanted
    return found[0]


def ended(events: list[dict[str, Any]], step: str) -> list[str]:
    return [item["outcome"] for item in events if item["event"] == "step_finished" and item["step"] == step]


def test_none_waits_for_the_slowest_and_errors_are_handled(calls: Calls, tmp_path: Path) -> None:
    calls.job = job_of(tmp_path / "job", "slow", "fast", "twice", "broken")
    calls("setup")
    calls("run", code=1)
    events = calls.events()
    fast_tested = place(events, event="step_finished", step="test-fast", outcome="ok")
    assert fast_tested < place(events, event="step_finished", step="prepare-slow", outcome="ok")
    assert ended(events, "test-slow") == ["ok"]
    # Another host of the same name: on the first one the directory would be there from nothing, too.
    assert (ended(events, "prepare-twice"), ended(events, "prepare-twice-2")) == (["swallowed"], ["ok"])
    assert ended(events, "test-twice") == ["ok"]
    assert [item["state"] for item in events if item["event"] == "peon" and item["peon"] == "twice"] == (
        ["creating", "created", "up", "destroyed"] * 2
    )
    # The broken one is there still, with its logs.
    assert ended(events, "test-broken") == ["swallowed", "failed"]
    assert place(events, event="peon", peon="broken", state="kept")
    with tarfile.open(calls.results / "broken" / "logs.tar.gz") as archive:
        hostname = archive.extractfile("etc/hostname")
        assert hostname is not None
        assert hostname.read() == b"broken\n"
    calls.environment["SHELL"] = "/bin/sh"  # in which ssh starts what connects it: no file of the user is read
    assert calls("login", "broken", "hostname").stdout == "broken\n"
    # What waits for all of them comes last.
    assert place(events, event="step_started", step="after") > place(events, event="step_finished", step="test-slow")
    assert calls.summary()["exit_code"] == 1
    calls("cleanup")
    assert calls.left() == []


def seen(calls: Calls, **wanted: str) -> bool:
    try:
        return any(all(item.get(key) == to for key, to in wanted.items()) for item in calls.events())
    except (OSError, ValueError):
        return False


def test_a_killed_peon_fails_alone(calls: Calls, tmp_path: Path) -> None:
    calls.job = job_of(tmp_path / "job", "killed", "fast")
    process = calls.started("all")
    until(lambda: seen(calls, event="task_started", step="test-killed", task="It stays long enough to be killed"))
    until(lambda: bool(kill_peon(calls, "killed")))
    _, said = process.communicate(timeout=200)
    assert process.returncode == 4, said
    events = calls.events()
    assert ended(events, "test-fast") == ["ok"]
    # Its logs can not be had either; `job.fail` fails with what came first all the same.
    assert (ended(events, "test-killed"), ended(events, "logs-killed")) == (["swallowed", "failed"], ["swallowed"])
    assert calls.left() == []


def kill_peon(calls: Calls, peon: str) -> list[int]:
    """Kill the first process of a namespace peon, as its record names it."""
    records = [json.loads(file.read_text()) for file in calls.state.glob(f"namespace/{peon}-*/peon.json")]
    pids = [int(record["pid"]) for record in records if record.get("pid")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


@pytest.mark.parametrize("step", ["create-fast", "prepare-slow"])
def test_a_signal_ends_all_pipelines_and_leaves_nothing(calls: Calls, tmp_path: Path, step: str) -> None:
    # Alone, `slow` waits for what never comes.
    calls.job = job_of(tmp_path / "job", *(("slow",) if step == "prepare-slow" else ("fast", "broken")))
    process = calls.started("all")
    until(lambda: seen(calls, event="step_started", step=step))
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 143, said
    assert ended(calls.events(), step) == ["interrupted"]
    assert calls.left() == []


def test_a_job_in_xml(calls: Calls, tmp_path: Path) -> None:
    calls.job = job_of(tmp_path / "job", "fast", "broken")
    (calls.job / "job.xn").write_text(JOB_IN_XML)
    calls("setup")
    assert f"run peon.pipelines ({calls.job}/job.xn:6)" in calls("run", "--check").stderr
    calls("run", code=1)
    events = calls.events()
    assert (ended(events, "test-fast"), ended(events, "test-broken")) == (["ok"], ["swallowed", "failed"])
    assert place(events, event="peon", peon="broken", state="kept")
    assert "[!] test (peon.playbook)  error" in drawn(calls.workspace)
    assert "job.peon of peon fast: done" in drawn(calls.workspace)
    calls("cleanup")
    assert "[+] destroy (peon.destroy)  done" in drawn(calls.kommandir)
    assert calls.left() == []


def drawn(workspace: Path) -> str:
    """The plans of the last context, as text."""
    command = [str(BIN / "narval"), "graph", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_bundled_job(calls: Calls) -> None:
    calls.job = "pipeline"
    calls("all", code=1)
    events = calls.events()
    passed = {item["step"] for item in events if item["event"] == "step_finished" and item["outcome"] == "ok"}
    assert {f"test-{name}" for name in ("amber", "birch", "cedar", "dune", "slow")} <= passed
    assert ended(events, "test-broken") == ["swallowed", "failed"]
    assert calls.left() == []
