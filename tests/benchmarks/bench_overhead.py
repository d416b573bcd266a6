"""What a job costs beside what its playbooks cost: CPU of three `exekutir` calls against three bare `ansible-playbook`.

The job has no peons; each of its three playbooks holds one debug task. Both sides run the same files with the same
configuration and inventory, in turns, several times; the medians are compared. The target is a ratio of at most 1.5.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
CONTEXTS = ("setup", "run", "cleanup")
#: What would change what is measured; without bytecode every start compiles everything anew, on neither side by choice.
_FOREIGN = ("ANSIBLE_", "EXEKUTIR_", "PYTHONDONTWRITEBYTECODE")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
TARGET = 1.5
PLAYBOOK = """---
- name: One task
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.debug:
        msg: hello
"""


def cpu(command: Sequence[str | Path], environment: dict[str, str], folder: Path) -> float:
    """User and system time, in seconds, of a command and all that it waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_round(folder: Path, environment: dict[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    """CPU by context: of our calls, and of Ansible alone on the workspace that they made."""
    job, workspace = folder / "job", folder / "workspace"
    job.mkdir()
    for context in CONTEXTS:
        (job / f"{context}.yml").write_text(PLAYBOOK)
    ours = {
        context: cpu([BIN / "exekutir", context, "-w", workspace, "-j", job, "--format", "plain"], environment, folder)
        for context in CONTEXTS
    }
    place = workspace / "kommandir_workspace"
    configured = {**environment, "ANSIBLE_CONFIG": str(place / "ansible.cfg")}
    bare = {
        context: cpu([BIN / "ansible-playbook", "-i", place / "inventory", f"{context}.yml"], configured, place)
        for context in CONTEXTS
    }
    return ours, bare


def main() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="exekutir-bench-") as folder:
            rounds.append(one_round(Path(folder), {**environment, "EXEKUTIR_STATE": f"{folder}/state"}))
    print(f"{'context':<10}{'exekutir':>10}{'ansible':>10}{'ratio':>8}   CPU seconds, medians of {ROUNDS}")
    totals = [0.0, 0.0]
    for context in CONTEXTS:
        ours, bare = (statistics.median(measured[side][context] for measured in rounds) for side in (0, 1))
        totals = [totals[0] + ours, totals[1] + bare]
        print(f"{context:<10}{ours:>10.3f}{bare:>10.3f}{ours / bare:>8.2f}")
    ratio = totals[0] / totals[1]
    print(f"{'all':<10}{totals[0]:>10.3f}{totals[1]:>10.3f}{ratio:>8.2f}   target: at most {TARGET}")


if __name__ == "__main__":
    main()
