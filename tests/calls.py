"""Calls of the real command on real workspaces, and the proof that nothing is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from exekutir import locks
from kommandir import process, yamlfile
from kommandir.environment import JOB_TAG

BIN = Path(sys.executable).parent
#: Seconds after which a call is taken for hung; a busy machine stretches everything by five.
PATIENCE = 280


@dataclass
class Calls:
    """Calls ``exekutir`` on one workspace with a state of its own."""

    workspace: Path
    state: Path
    job: Path | str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    program: Path = BIN / "exekutir"
    patience: float = PATIENCE

    @property
    def kommandir(self) -> Path:
        return self.workspace / "kommandir_workspace"

    @property
    def results(self) -> Path:
        return self.kommandir / "results"

    def command(self, context: str, *more: str) -> list[str]:
        job = ["-j", str(self.job)] if self.job and context in ("setup", "all") else []
        return [str(self.program), context, "-w", str(self.workspace), *job, *more]

    def surroundings(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "EXEKUTIR_STATE": str(self.state), "CI": "true", **self.environment, **(more or {})}

    def __call__(
        self, context: str, *more: str, code: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit code must be ``code`` where one is named."""
        ended = subprocess.run(
            self.command(context, *more),
            env=self.surroundings(options.pop("environment", None)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.patience,
            **options,
        )
        said = f"exekutir {context} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        assert code is None or ended.returncode == code, said
        assert "Traceback" not in ended.stderr, said
        return ended

    def started(self, context: str, *more: str) -> subprocess.Popen[str]:
        """Start and don't wait."""
        return subprocess.Popen(
            self.command(context, *more),
            env=self.surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def uuid(self) -> str:
        file = self.workspace / "exekutir_vars.yml"
        return str(yamlfile.mapping(file).value.get("uuid", "")) if file.exists() else ""

    def summary(self) -> Any:
        return json.loads((self.results / "summary.json").read_text())

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.results / "events.jsonl").read_text().splitlines()]

    def left(self) -> list[str]:
        """What is still there of the job: processes, mounts, hosts, holders of locks."""
        found = [f"process {pid}: {_command(pid)}" for pid in process.tagged(JOB_TAG, self.uuid)] if self.uuid else []
        found += [f"process {pid}: {_command(pid)}" for pid in _mentioning(str(self.state), str(self.workspace))]
        found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.state) in line]
        found += [str(holder) for holder in locks.holders(self.state / "locks")]
        found += [str(holder) for holder in locks.holders(self.workspace / ".locks")]
        found += [str(path) for path in self.state.glob("namespace/*")]
        return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _mentioning(*texts: str) -> Iterator[int]:
    """Processes whose command line or root names one of our folders."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            command = _command(int(entry.name))
            if any(text in command for text in texts) and "pytest" not in command:
                yield int(entry.name)


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    """A workspace that is not there yet; whatever the test leaves is cleaned up, and must then be gone."""
    calls = Calls(tmp_path / "ws", tmp_path / "state")
    yield calls
    if calls.workspace.is_dir() and (calls.workspace / "exekutir_vars.yml").exists():
        calls("cleanup", code=None)
    assert calls.left() == []
