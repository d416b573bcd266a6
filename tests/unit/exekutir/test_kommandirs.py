"""Which of a kommandir's groups makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exekutir import kommandirs
from exekutir.job import Job
from exekutir.options import Options
from exekutir.workspace import Workspace
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.events import EventStream
from kommandir.redaction import Redactor


@pytest.mark.parametrize(
    ("groups", "provider"),
    [(["podman"], "podman"), (["lab", "podman"], "podman"), (["qemu", "lab"], "qemu"), (["mycloud", "lab"], "mycloud")],
)
def test_the_one_that_has_the_name_of_a_provider_makes_it(tmp_path: Path, groups: list[str], provider: str) -> None:
    job = Job(
        context="setup",
        options=Options(),
        workspace=Workspace(tmp_path),
        variables={"uuid": "mine", "kommandir_groups": groups},
        extra={},
        deadline=Deadline.never(),
        cancellation=Cancellation(),
        events=EventStream(None, Redactor([]), "setup"),
    )

    assert kommandirs.provider(job) == provider
