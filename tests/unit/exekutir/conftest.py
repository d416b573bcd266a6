"""A job as a context has it, without a context."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exekutir.job import Job
from exekutir.options import Options
from exekutir.workspace import Workspace
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.events import EventStream
from kommandir.redaction import Redactor


@pytest.fixture
def job_of(tmp_path: Path) -> Callable[..., Job]:
    """Makes a job in ``cleanup`` with these variables; its events go to subscribers alone, without ``secrets``."""

    def make(*secrets: str, **variables: Any) -> Job:
        return Job(
            context="cleanup",
            options=Options(),
            workspace=Workspace(tmp_path),
            variables={"uuid": "mine", **variables},
            extra={},
            deadline=Deadline.never(),
            cancellation=Cancellation(),
            events=EventStream(None, Redactor(secrets), "cleanup"),
        )

    return make
