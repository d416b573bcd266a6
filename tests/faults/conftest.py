"""Jobs that the faults happen to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

#: Further variables of a call whose provider of kommandirs can't be asked.
AWAY = json.dumps({"cloud_provisioning_command": {"command": "echo no cloud today >&2; exit 3"}})
#: The same where it does not answer at all.
HANGS = json.dumps({"cloud_provisioning_command": {"command": "sleep 1000"}, "kommandir_timeout": 15})
PEONS = """[peons]
one
two
"""

SLOW_RUN = """---
- name: Something that takes its time
  hosts: peons
  gather_facts: false
  vars_files: kommandir_vars.yml
  roles: [common]
  tasks:
    - name: Time passes
      ansible.builtin.command: sleep 15
      changed_when: false
"""


def slow_run(seconds: float) -> str:
    """The playbook of a run that takes so long."""
    return SLOW_RUN.replace("sleep 15", f"sleep {seconds:g}")


QUICK_RUN = slow_run(0.1)


def job_with_peons(folder: Path, run: str, peons: str = PEONS) -> Path:
    """Write a job with peons (two of namespaces), the default set-up and cleanup, and ``run`` as its playbook."""
    (folder / "inventory").mkdir(parents=True)
    (folder / "inventory" / "peons").write_text(peons)
    (folder / "run.yml").write_text(run)
    return folder


@pytest.fixture
def peons_job(tmp_path: Path) -> Path:
    """A job with two peons and a quick run."""
    return job_with_peons(tmp_path / "job", QUICK_RUN)


@pytest.fixture
def slow_job(peons_job: Path) -> Path:
    """The same with a run that takes its time."""
    (peons_job / "run.yml").write_text(SLOW_RUN)
    return peons_job
