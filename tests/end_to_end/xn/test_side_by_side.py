"""Playbooks that start at nearly the same moment, in a process that has run none before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .conftest import Job

#: A plugin of ansible-runner that takes its time to be loaded: so long the package is imported, but not whole.
PLUGIN = """
import pathlib, time
pathlib.Path(__file__).with_name("loading").touch()
time.sleep(2)


def event_handler(_config, _data):
    pass


def status_handler(_config, _data):
    pass
"""

RECIPE = """
recipe:
  group: job
  name: main
  steps:
    start: {target: job.nothing}
    one: {target: ansible.playbook, arguments: [{playbook: {filepath: play.yml, inventory: inventory}}]}
    loading:
      target: command.run
      arguments: [{command: {filepath: /bin/sh, arguments: "-c 'until test -e slow/loading; do sleep 0.05; done'"}}]
    two: {target: ansible.playbook, arguments: [{playbook: {filepath: play.yml, inventory: inventory}}]}
    end: {target: job.nothing}
  transitions:
    - {in: start, out: [one, loading]}
    - {in: loading, out: two}
    - {in: [one, two], out: end}
"""


def test_none_of_them_uses_ansible_runner_before_it_is_whole(job: Job, tmp_path: Path) -> None:
    job.write("slow/slow_plugin.py", PLUGIN)
    job.write("slow/slow_plugin-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: slow-plugin\nVersion: 1\n")
    job.write("slow/slow_plugin-1.dist-info/entry_points.txt", "[ansible_runner.plugins]\nslow = slow_plugin\n")
    job.write("play.yml", "- name: Nothing\n  hosts: localhost\n  gather_facts: false\n  tasks: []\n")
    job.write("job.xn", RECIPE)
    kommandir = Path(sys.executable).parent / "kommandir"
    ended = subprocess.run(
        [kommandir, "xn", "run", tmp_path, "job.xn"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "slow")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
