"""A job of an exekutir whose kommandir is behind a wire."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exekutir.remote import running, runs
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.detached.request import RunRequest
from kommandir.events import EventStream
from kommandir.journal import Journal
from kommandir.redaction import Redactor
from kommandir.xn import XnResult
from tests.detached_runs import KOMMANDIR, Runs
from tests.remote_hosts import Server


@dataclass
class Exekutir:
    """Asks for runs over a port, and keeps what it is told."""

    folder: Path
    server: Server
    port: int
    runs: Runs
    told: list[dict[str, Any]] = field(default_factory=list)
    cancellation: Cancellation = field(default_factory=Cancellation)

    @property
    def journal(self) -> Journal:
        return Journal(self.folder / "journal.jsonl")

    @property
    def file(self) -> Path:
        return self.folder / "events.jsonl"

    def stream(self, context: str = "run") -> EventStream:
        stream = EventStream(self.file, Redactor(["hunter2secret"]), context)
        stream.subscribe(self.told.append)
        return stream

    def request(self, text: str, **more: Any) -> RunRequest:
        told = {"context": "run", "workspace": str(self.runs.workspace), "uuid": self.runs.uuid, "text": text, **more}
        return RunRequest(id=runs.new_id(told["context"]), **told)

    def common(self, seconds: float | None, reconnect_timeout: float) -> dict[str, Any]:
        return {
            "journal": self.journal,
            "events": self.stream(),
            "deadline": Deadline.after(seconds),
            "cancellation": self.cancellation,
            "reconnect_timeout": reconnect_timeout,
        }

    def run(self, text: str, *, seconds: float | None = 240, reconnect_timeout: float = 120, **more: Any) -> XnResult:
        host = self.server.host(self.port)
        where: dict[str, Any] = {"program": KOMMANDIR, "folder": str(self.runs.path)}
        return running.run_remotely(
            host, self.request(text, **more), **where, **self.common(seconds, reconnect_timeout)
        )

    def attach(self, *, seconds: float | None = 240, reconnect_timeout: float = 120) -> XnResult:
        run = runs.resumable(self.journal, "run")
        assert run is not None
        return running.attach(self.server.host(self.port), run, **self.common(seconds, reconnect_timeout))

    def in_thread(self, text: str, **more: Any) -> Pursued:
        return Pursued(self, text, more)

    def stored(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def kinds(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.told if event["event"] in kinds]

    def lines(self) -> list[str]:
        """The output of the job as the file has it."""
        return [event["line"] for event in self.stored() if event["event"] == "output"]

    def run_id(self) -> str:
        return [str(entry.data["id"]) for entry in self.journal.entries() if entry.action == runs.STARTED][-1]


class Pursued:
    """A run that is pursued while the test does something."""

    def __init__(self, exekutir: Exekutir, text: str, more: dict[str, Any]) -> None:
        self._result: list[XnResult] = []
        self._error: list[BaseException] = []

        def work() -> None:
            try:
                self._result.append(exekutir.run(text, **more))
            except BaseException as error:  # noqa: BLE001  it is raised where the result is wanted
                self._error.append(error)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def result(self) -> XnResult:
        self.thread.join(240)
        assert not self.thread.is_alive(), "it never ended"
        if self._error:
            raise self._error[0]
        return self._result[0]


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
