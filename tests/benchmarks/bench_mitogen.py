"""Ten small tasks on namespace peons: Ansible's own strategy against mitogen's, wall time and CPU of this side.

Both run the same xn file in the same workspace, in turns; only the variable `mitogen` differs. PEONS (default 16) and
ROUNDS (default 2) can be set in the environment. Where mitogen or the provider is missing, that is said instead.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from kommandir.journal import FILE_NAME, Journal
from kommandir.playbook import strategy
from kommandir.providers import registry

BIN = Path(sys.executable).parent
PEONS = int(os.environ.get("PEONS", "16"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
PROVIDER = "namespace"
PLAYBOOK = """---
- name: Ten small tasks
  hosts: peons
  gather_facts: false
  tasks:
    - name: Write a file
      ansible.builtin.copy:
        content: "{{ item }}\\n"
        dest: /tmp/file-{{ item }}
        mode: "0600"
      loop: [1, 2, 3, 4, 5]
    - name: Run a command
      ansible.builtin.command: cat /tmp/file-{{ item }}
      changed_when: false
      loop: [1, 2, 3, 4, 5]
"""
XN = """
- variable: {name: mitogen, value: %s}
- playbook: {filepath: play.yml, inventory: inventory.yml}
"""


@contextmanager
def peons(workspace: Path, uuid: str) -> Iterator[Mapping[str, object]]:
    """Host variables of peons by name; they are destroyed at the end."""
    key = workspace / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    names = [f"peon{number}-{uuid}" for number in range(PEONS)]
    lease = ["--uuid", uuid, "--expires", str(int(time.time()) + 1800)]

    def created(name: str) -> object:
        told = registry.called(PROVIDER, "create", name, *lease, "--public-key", f"{key}.pub")
        return {**yaml.safe_load(told), "ansible_ssh_private_key_file": str(key)}

    def destroyed(name: str) -> object:
        return registry.called(PROVIDER, "destroy", name, "--uuid", uuid)

    with ThreadPoolExecutor(8) as pool:
        try:
            yield dict(zip(names, pool.map(created, names), strict=True))
        finally:
            list(pool.map(destroyed, names))


def measured(workspace: Path, choice: str) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    (workspace / "job.xn").write_text(XN % choice)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [str(BIN / "kommandir"), "xn", "run", str(workspace), str(workspace / "job.xn")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"mitogen: {choice} failed with {ended.returncode}\n{ended.stderr[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(workspace: Path, hosts: Mapping[str, object]) -> None:
    """Run both, in turns, and print the medians."""
    (workspace / "inventory.yml").write_text(yaml.safe_dump({"peons": {"hosts": hosts}}))
    (workspace / "play.yml").write_text(PLAYBOOK)
    (workspace / "ansible.cfg").write_text(f"[defaults]\nforks = {PEONS}\n[ssh_connection]\npipelining = true\n")
    journal = Journal(workspace / FILE_NAME)
    for name in hosts:
        journal.append("peon_created", peon=name, provider=PROVIDER)
    if not strategy.environment(workspace, {"ANSIBLE_CONFIG": str(workspace / "ansible.cfg")}):
        print("mitogen is not installed, or too old: nothing to compare")
        return
    rounds = [{choice: measured(workspace, choice) for choice in ("never", "auto")} for _ in range(ROUNDS)]
    print(f"{'strategy':<12}{'wall s':>9}{'CPU s':>9}   medians of {ROUNDS}, {PEONS} peons, 10 tasks each")
    medians = {}
    for choice, name in (("never", "linear"), ("auto", "mitogen")):
        medians[choice] = [statistics.median(each[choice][side] for each in rounds) for side in (0, 1)]
        print(f"{name:<12}{medians[choice][0]:>9.1f}{medians[choice][1]:>9.1f}")
    ratios = [medians["never"][side] / medians["auto"][side] for side in (0, 1)]
    print(f"{'ratio':<12}{ratios[0]:>9.1f}{ratios[1]:>9.1f}   how many times as fast mitogen is")


def main() -> None:
    available = {info.name: info for info in registry.available_providers()}
    if not available[PROVIDER].available:
        print(f"nothing to compare: no namespace peons on this host: {available[PROVIDER].why}")
        return
    with tempfile.TemporaryDirectory(prefix="exekutir-bench-") as folder:
        workspace = Path(folder)
        with peons(workspace, f"bench{os.getpid()}") as hosts:
            compare(workspace, hosts)


if __name__ == "__main__":
    main()
