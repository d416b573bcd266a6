"""ansible-runner's events, turned into ours, and what failed kept for the verdict."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kommandir.events import EventStream
from kommandir.failure import Failure
from kommandir.playbook import messages
from kommandir.step_log import StepLog, plain

#: Roles of ours: where one of them fails, the infrastructure did, not the tests.
INFRASTRUCTURE = frozenset({"peon_created", "peon_up", "peon_common", "peon_destroyed", "rebooted", "common"})

#: Lines outside of tasks that are kept to see why Ansible broke.
KEPT_LINES = 200

_Data = Mapping[str, Any]


class Translation:
    """Takes every event of one run of a playbook, in order."""

    def __init__(self, step: str, workspace: Path, events: EventStream, log: StepLog) -> None:
        self.step, self.workspace, self.events, self.log = step, workspace, events, log
        #: All failures that were neither ignored nor rescued.
        self.failures: list[Failure] = []
        #: Whether any play began.
        self.started = False
        #: Whether Ansible came to its end and counted.
        self.counted = False
        #: What Ansible said outside of tasks.
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        #: Gets the text of every event as well, and whether it is a warning or an error.
        self.listener: Callable[[str, bool], None] | None = None
        self._handlers: dict[str, Callable[[_Data], None]] = {
            "playbook_on_play_start": self._play,
            "playbook_on_task_start": self._task,
            "playbook_on_stats": self._counts,
            "runner_on_ok": lambda data: self._result(data, "changed" if _of(data).get("changed") else "ok"),
            "runner_on_skipped": lambda data: self._result(data, "skipped"),
            "runner_on_failed": self._failed,
            "runner_on_unreachable": self._unreachable,
        }

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Take one event; False tells ansible-runner to keep no file of it."""
        self._text(str(event.get("stdout") or ""), bool(event.get("event_data")))
        handler = self._handlers.get(str(event.get("event")))
        data = event.get("event_data")
        if handler and isinstance(data, Mapping):
            handler(data)
        return False

    def _text(self, text: str, of_task: bool) -> None:
        text = plain(text).rstrip("\n")
        if not text.strip():
            return
        self.log.write(text)
        warning = not of_task and bool(re.match(r"\s*\[?(WARNING|ERROR|DEPRECATION WARNING)", text))
        if not of_task:
            self.lines.extend(text.splitlines())
        if warning and text.startswith("[WARNING]"):
            self.events.emit("output", step=self.step, stream="stderr", line=text)
        if self.listener:
            self.listener(text, warning)

    def _play(self, data: _Data) -> None:
        self.started = True
        self.events.emit("play_started", step=self.step, play=str(data.get("name") or data.get("play") or ""))

    def _task(self, data: _Data) -> None:
        self.events.emit("task_started", **self._common(data))

    def _counts(self, data: _Data) -> None:
        self.counted = True

    def _common(self, data: _Data) -> dict[str, Any]:
        return {
            "step": self.step,
            "play": str(data.get("play") or ""),
            "task": str(data.get("task") or ""),
            "role": str(data.get("role") or "").rpartition(".")[2],
            "path": self._place(str(data.get("task_path") or "")),
        }

    def _place(self, path: str) -> str:
        """``file:line``, the file relative to the workspace where it lies in it."""
        return path.removeprefix(f"{self.workspace}/")

    def _failed(self, data: _Data) -> None:
        if data.get("ignore_errors"):
            self._result(data, "ignored")
        elif data.get("rescued"):
            self._result(data, "rescued")
        else:
            self._result(data, "failed")
            self._remember(data)

    def _unreachable(self, data: _Data) -> None:
        if data.get("ignored"):
            self._result(data, "ignored")
            return
        self._result(data, "unreachable")
        self._remember(data, unreachable=True)

    def _remember(self, data: _Data, *, unreachable: bool = False) -> None:
        common = self._common(data)
        self.failures.append(
            Failure(
                step=self.step,
                message=self.events.redactor.text(messages.message(_of(data))),
                log=self.log.name,
                play=common["play"],
                task=common["task"],
                role=common["role"],
                host=str(data.get("host") or ""),
                unreachable=unreachable,
                infrastructure=common["role"] in INFRASTRUCTURE,
            )
        )

    def _result(self, data: _Data, outcome: str) -> None:
        result, common = _of(data), self._common(data)
        wrong = outcome in ("failed", "unreachable", "ignored", "rescued")
        self.events.emit(
            "task_result",
            **common,
            host=str(data.get("host") or ""),
            outcome=outcome,
            seconds=round(float(data.get("duration") or 0.0), 3),
            message=plain(messages.message(result) if wrong else messages.said(result)),
            stdout=plain(messages.tail(result, "stdout")),
            stderr=plain(messages.tail(result, "stderr")),
            infrastructure=common["role"] in INFRASTRUCTURE,
        )


def _of(data: _Data) -> Mapping[str, Any]:
    result = data.get("res")
    return result if isinstance(result, Mapping) else {}
