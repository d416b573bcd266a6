"""What a job costs on a warm remote kommandir: the overhead of each context, and eight jobs at once against one alone.

The kommandir is a container of podman; the job has no peons, and each of its playbooks holds one debug task. Overhead
is the wall time of a call less that of the job's own playbook; the target is at most 3 s a context. CPU is that of the
whole machine, kommandir and all, so run it on a quiet one; the target is at most 1.2 times as much a job.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
CONTEXTS = ("setup", "run", "cleanup")
_FOREIGN = ("ANSIBLE_", "EXEKUTIR_", "PYTHONDONTWRITEBYTECODE")
_KEPT = "EXEKUTIR_CACHE"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
AT_ONCE = 8
OVERHEAD, RATIO = 3.0, 1.2
PLAYBOOK = """---
- name: One task
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.debug:
        msg: hello
"""


def busy() -> float:
    """Seconds that all processors of this machine have worked since its boot."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Bench:
    """A folder with a job and a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.job = folder, folder / "job"
        self.job.mkdir()
        for context in CONTEXTS:
            (self.job / f"{context}.yml").write_text(PLAYBOOK)
        variables = {"kommandir_groups": ["podman"], "kommandir_name_prefix": f"bench{os.getpid()}"}
        known = {name: value for name, value in os.environ.items() if name == _KEPT or not name.startswith(_FOREIGN)}
        self.environment = {
            **known,
            "EXEKUTIR_STATE": str(folder / "state"),
            "EXEKUTIR_EXTRA_VARS": json.dumps(variables),
            "CI": "true",
        }

    def call(self, workspace: str, context: str, *more: str) -> float:
        """The wall time of a call, in seconds."""
        command = [BIN / "exekutir", context, "-w", self.folder / workspace, "-j", self.job, *more]
        began = time.monotonic()
        subprocess.run(
            list(map(str, command)),
            env=self.environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        return time.monotonic() - began

    def whole(self, workspace: str) -> None:
        """All contexts of a job."""
        for context in CONTEXTS:
            self.call(workspace, context)

    def events(self, workspace: str, context: str) -> list[dict[str, Any]]:
        """What a context of a job told."""
        lines = (self.folder / workspace / "results" / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event.get("context") == context]


def overheads(bench: Bench) -> None:
    """Print the wall time of the contexts, and where it goes."""
    print(f"{'context':<10}{'call':>8}{'playbook':>10}{'overhead':>10}   seconds, medians of {ROUNDS}; phases")
    walls: dict[str, list[float]] = {context: [] for context in CONTEXTS}
    for number in range(ROUNDS):
        for context in CONTEXTS:
            walls[context].append(bench.call(f"warm{number}", context))
    for context in CONTEXTS:
        told = [bench.events(f"warm{number}", context) for number in range(ROUNDS)]
        own = statistics.median(seconds(events, "step_finished", "name", f"{context}.yml") for events in told)
        names = dict.fromkeys(str(event["phase"]) for event in told[0] if event["event"] == "phase_finished")
        phases = {
            name: statistics.median(seconds(events, "phase_finished", "phase", name) for events in told)
            for name in names
        }
        wall = statistics.median(walls[context])
        shown = ", ".join(f"{name} {took:.2f}" for name, took in phases.items() if took >= 0.05)
        print(f"{context:<10}{wall:>8.2f}{own:>10.2f}{wall - own:>10.2f}   {shown}")
    print(f"target: an overhead of at most {OVERHEAD:g} s a context")


def seconds(events: list[dict[str, Any]], kind: str, key: str, value: str) -> float:
    """The seconds of all events of a kind that have a value."""
    return sum(float(event["seconds"]) for event in events if event["event"] == kind and event.get(key) == value)


def at_once(bench: Bench) -> None:
    """Print the CPU of a job alone and of one among several."""
    before = busy()
    bench.whole("alone")
    alone = busy() - before
    before = busy()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: bench.whole(f"together{number}"), range(AT_ONCE)))
    together = (busy() - before) / AT_ONCE
    print(f"CPU of a job, all three contexts: alone {alone:.2f} s, one of {AT_ONCE} at once {together:.2f} s: ", end="")
    print(f"x{together / alone:.2f} (target: at most {RATIO:g})")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="exekutir-bench-") as name:
        bench = Bench(Path(name))
        began = time.monotonic()
        bench.call("first", "setup")
        print(f"first job: kommandir made and set up, setup ends after {time.monotonic() - began:.1f} s")
        try:
            overheads(bench)
            at_once(bench)
        finally:
            bench.call("first", "cleanup", "-e", "stonith=true")


if __name__ == "__main__":
    main()
