from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kommandir import provisioning
from kommandir.cloud_command import CloudCommand
from kommandir.deadline import Deadline

UUID = "job-1"
Create = Callable[..., dict[str, Any]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A kommandir's workspace as the exekutir lays it, as far as provisioning uses it."""
    place = tmp_path / "kommandir_workspace"
    for folder in ("inventory/host_vars", "results", "ssh", "private"):
        (place / folder).mkdir(parents=True)
    (place / "private").chmod(0o700)
    return place


@pytest.fixture
def create(workspace: Path) -> Create:
    """Creates the peon `one` by a shell command; the defaults of everything else can be replaced."""

    def created(text: str, *, seconds: float = 60, peon: str = "one", **more: Any) -> dict[str, Any]:
        told = {"environment": {}, "destruction": CloudCommand(command="true"), "provider": "", "uuid": UUID, **more}
        deadline = Deadline.after(seconds)
        keys = {key: told.pop(key) for key in ("chdir", "executable", "creates", "removes") if key in told}
        return provisioning.create(
            workspace, peon, CloudCommand(command=text, **keys), deadline=deadline, expires=4_000_000_000, **told
        )

    return created
