"""Runs of job.xn started by the real command, as an exekutir does it over a connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kommandir import process, strays
from kommandir.detached.folder import RUN_TAG, RunFolder, RunsFolder
from tests.patience import until

KOMMANDIR = str(Path(sys.executable).parent / "kommandir")


def items(*commands: str) -> str:
    """A job.xn of shell commands."""
    return json.dumps(
        [{"command": {"filepath": "/bin/sh", "arguments": f"-c {json.dumps(each)}"}} for each in commands]
    )


@dataclass
class Runs:
    """The runs of a job, and its workspace."""

    path: Path
    workspace: Path
    uuid: str

    @property
    def folder(self) -> RunsFolder:
        return RunsFolder(self.path)

    def run(self, name: str) -> RunFolder:
        return self.folder.run(name)

    def request(self, name: str, text: str, **more: Any) -> str:
        told = {"id": name, "context": "run", "workspace": str(self.workspace), "text": text, "uuid": self.uuid}
        return json.dumps({**told, **more})

    def command(self, *words: str) -> list[str]:
        return [KOMMANDIR, "job", words[0], "--runs", str(self.path), *words[1:]]

    def call(self, *words: str, told: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(self.command(*words), input=told, capture_output=True, text=True, timeout=120)
        assert ended.returncode == code, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def start(self, name: str, text: str, **more: Any) -> dict[str, Any]:
        told = json.loads(self.call("start", told=self.request(name, text, **more)).stdout)
        assert isinstance(told, dict)
        return told

    def lines(self, name: str, offset: int = 0) -> list[dict[str, Any]]:
        """All that ``follow`` says from a place on, to the end of the run."""
        said = self.call("follow", name, "--from", str(offset)).stdout
        return [json.loads(line) for line in said.splitlines()]

    def stop(self, name: str, *more: str) -> dict[str, Any]:
        told = json.loads(self.call("stop", *more, name).stdout)
        assert isinstance(told, dict)
        return told

    def outputs(self, lines: list[dict[str, Any]]) -> list[str]:
        return [each["event"]["line"] for each in lines if each.get("event", {}).get("event") == "output"]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """No run yet; whatever a test leaves is ended, and must then be gone."""
    workspace = tmp_path / "workspace"
    (workspace / "results").mkdir(parents=True)
    found = Runs(tmp_path / "run", workspace, f"t{os.urandom(5).hex()}")
    yield found
    subprocess.run(found.command("stop", "--grace", "5"), capture_output=True, timeout=120)
    # One that has told its result may still be on its way out.
    until(lambda: not list(process.tagged("EXEKUTIR_JOB", found.uuid)), 30)


def left(name: str) -> list[int]:
    """The processes of a run."""
    return list(strays.alive(RUN_TAG, name))
