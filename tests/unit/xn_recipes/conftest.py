"""Recipes run for real in a workspace, with programs of this host instead of peons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kommandir import events, xn
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.redaction import Redactor
from kommandir.xn import XnRequest, XnResult


class Runs:
    """Runs texts of ``job.xn`` in one workspace and keeps what was told."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.told: list[events.Event] = []

    def __call__(
        self,
        text: str,
        *,
        context: str = "run",
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
        on_event: Callable[[events.Event], None] | None = None,
        **more: Any,
    ) -> XnResult:
        stream = events.EventStream(None, Redactor(), context)
        self.told = []
        stream.subscribe(self.told.append)
        if on_event is not None:
            stream.subscribe(on_event)
        return xn.run(
            XnRequest(
                context=context,
                workspace=self.workspace,
                text=text,
                deadline=Deadline.after(timeout),
                cancellation=cancellation or Cancellation(),
                events=stream,
                **more,
            )
        )

    def ended(self) -> list[tuple[str, str]]:
        """Step and outcome of every end that was told, in order."""
        return [(item["step"].removeprefix("stdin-"), item["outcome"]) for item in self.told if _is_end(item)]

    def lines(self) -> list[str]:
        return [item["line"] for item in self.told if item["event"] == "output"]


def _is_end(item: events.Event) -> bool:
    return bool(item["event"] == "step_finished")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)
