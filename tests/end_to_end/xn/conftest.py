"""A workspace of a kommandir, and xn files run in it for real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kommandir import events, process, xn
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.environment import JOB_TAG
from kommandir.redaction import Redactor
from kommandir.xn import XnRequest, XnResult

#: The interpreter is named: discovery may find one that a version manager only pretends to have.
INVENTORY = f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"


class Job:
    """Writes files into a workspace, runs xn texts there and reads what came of them."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        workspace.mkdir(exist_ok=True)
        self.uuid = f"xntest{abs(hash(workspace)) % 10**10}"
        self.told: list[events.Event] = []
        self.write("inventory", INVENTORY)

    def write(self, name: str, text: str) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        return (self.workspace / name).read_text()

    def run(self, text: str | None, *, context: str = "run", timeout: float | None = None, **more: Any) -> XnResult:
        """Run ``text``; ``on_event`` and the fields of a request may be given besides."""
        stream = events.EventStream(self.workspace / events.FILE_NAME, Redactor(), context)
        self.told = []
        stream.subscribe(self.told.append)
        if on_event := more.pop("on_event", None):
            stream.subscribe(on_event)
        more.setdefault("cancellation", Cancellation())
        return xn.run(
            XnRequest(
                context=context,
                workspace=self.workspace,
                text=text,
                uuid=self.uuid,
                deadline=Deadline.after(timeout),
                events=stream,
                **more,
            )
        )

    def play(self, playbook: str, keys: str = "inventory: inventory", **more: Any) -> XnResult:
        """Run one playbook that has this text."""
        self.write("play.yml", playbook)
        return self.run(f"- playbook: {{filepath: play.yml, {keys}}}", **more)

    def of(self, event: str) -> list[events.Event]:
        return [item for item in self.told if item["event"] == event]

    def results(self) -> list[tuple[str, str]]:
        """Task and outcome of every task that was run."""
        return [(item["task"], item["outcome"]) for item in self.of("task_result")]

    def everything_written(self) -> str:
        """All files of the workspace in one text."""
        files = [path for path in self.workspace.rglob("*") if path.is_file()]
        return "\n".join(path.read_text(errors="replace") for path in files)

    def start(self, context: str, file: str, *arguments: str) -> subprocess.Popen[str]:
        """The real command on a file of the workspace, in the background."""
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "kommandir"), "xn", context, str(self.workspace), file, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job of its own; nothing of it runs when the test is over."""
    made = Job(tmp_path)
    made.write("kommandir_vars.yml", f"uuid: {made.uuid}\n")
    yield made
    left = list(process.tagged(JOB_TAG, made.uuid))
    assert left == [], [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
    assert [path.name for path in (tmp_path / "private").glob("*") if not path.name.startswith("job.sqlite")] == []
