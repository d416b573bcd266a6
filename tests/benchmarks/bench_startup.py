"""What it costs to start: CPU time of `exekutir --version` and of importing the engine, beside a bare Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
ROUNDS = 15
CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "exekutir --version": [str(BIN / "exekutir"), "--version"],
    "import narval_engine": [sys.executable, "-c", "import narval_engine"],
}


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Print the best of some rounds, and the ratio against the floor."""
    best = {name: min(cpu_seconds(command) for _ in range(ROUNDS)) for name, command in CASES.items()}
    floor = best["python -c pass"]
    for name, seconds in best.items():
        print(f"{name:<24} {seconds * 1000:6.0f} ms CPU  {seconds / floor if floor else 0:5.1f} times a bare Python")


if __name__ == "__main__":
    main()
