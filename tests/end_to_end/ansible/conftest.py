"""Ansible by hand, in a kommandir's workspace: what `ansible-playbook` does there without our CLI."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from exekutir import workspace
from kommandir import process, provisioning, yamlfile
from kommandir.deadline import Deadline
from kommandir.journal import Journal

BIN = Path(sys.executable).parent
#: The variable by which all that a hand started is found, Ansible's workers too.
HAND_TAG = "EXEKUTIR_TEST_HAND"


@dataclass
class Hand:
    """A person with a workspace and a shell."""

    #: The kommandir's workspace.
    place: Path
    environment: dict[str, str]
    uuid: str

    def start(self, *arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
        """`ansible-playbook` with these arguments, in the workspace."""
        return subprocess.Popen(
            [str(BIN / "ansible-playbook"), *arguments],
            cwd=folder or self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(self, *arguments: str, code: int = 0, folder: Path | None = None) -> str:
        """The output of `ansible-playbook`, which must end with ``code``."""
        started = self.start(*arguments, folder=folder)
        output = started.communicate(timeout=240)[0]
        assert started.returncode == code, output
        return output

    def host_vars(self, peon: str) -> dict[str, Any]:
        return dict(yaml.safe_load((self.place / f"inventory/host_vars/{peon}.yml").read_text()))

    def result(self, peon: str, file: str = "adept_result.txt") -> str:
        return (self.place / "results" / peon / file).read_text()

    def states(self) -> dict[str, str]:
        return {name: record.state for name, record in Journal(self.place / "journal.jsonl").peons().items()}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """An empty job."""
    place = tmp_path / "job"
    (place / "inventory").mkdir(parents=True)
    (place / "kommandir_vars.yml").write_text("---\n")
    return place


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lays the workspace of a job, and sees to it that nothing of it remains after the test."""
    hands: list[Hand] = []
    state = tmp_path / "state"
    monkeypatch.setenv("EXEKUTIR_STATE", str(state))

    def laid(job: Path, uuid: str = "by-hand", **variables: Any) -> Hand:
        made = workspace.opened(tmp_path / f"workspace-{uuid}", create=True)
        workspace.made(made, job)
        given = yamlfile.mapping(made.kommandir_vars).value
        forced = {"uuid": uuid, "job_name": job.name, "job_path": str(job), **variables}
        made.kommandir_vars.write_text(yamlfile.dump({**given, **forced}))
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "EXEKUTIR_STATE": str(state)}
        environment[HAND_TAG] = str(made.kommandir)
        hands.append(Hand(made.kommandir, environment, uuid))
        return hands[-1]

    yield laid
    for hand in hands:
        left = provisioning.destroy_all(hand.place, deadline=Deadline.after(60), uuid=hand.uuid)
        assert left == []
        assert list(process.tagged("EXEKUTIR_JOB", hand.uuid)) == []
