"""What it costs to start: CPU time of `exekutir --version` and of importing the engine, beside a bare Python."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
ROUNDS = 15
#: Bytecode is written by default; a machine that forbids it compiles everything at every start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "exekutir --version": [str(BIN / "exekutir"), "--version"],
    "import narval_engine": [sys.executable, "-c", "import narval_engine"],
}


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run, the mean of some, since clocks of the kernel tick slowly."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(ROUNDS):
        subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / ROUNDS


def main() -> None:
    """Print the means, and the ratio against the floor."""
    means = {name: cpu_seconds(command) for name, command in CASES.items()}
    floor = means["python -c pass"]
    for name, seconds in means.items():
        print(f"{name:<24} {seconds * 1000:6.0f} ms CPU  {seconds / floor if floor else 0:5.1f} times a bare Python")


if __name__ == "__main__":
    main()
