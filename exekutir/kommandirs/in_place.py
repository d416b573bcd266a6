"""The exekutir as its own kommandir, in a directory of its own (``nocloud``)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exekutir import kommandirs
from exekutir import workspace as workspaces
from exekutir.job import Job
from exekutir.kommandirs import requests
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError
from kommandir.journal import PeonRecord
from kommandir.xn import XnRequest, XnResult


@dataclass(frozen=True, slots=True)
class InPlace:
    """This host; the workspace needs no copying."""

    lock: str
    workspace: Path

    def workspace_sent(self, job: Job) -> None:
        """Nothing: it is here."""

    def workspace_returned(self, job: Job) -> None:
        """Nothing: it is here."""

    def caches_shared(self, job: Job) -> None:
        """Nothing: each job has its own cache."""

    def run_xn(self, job: Job, *, file: Path | None = None, text: str | None = None, deadline: Deadline) -> XnResult:
        """Run an xn file, or the text of one, in this process; what came of it is a value."""
        from kommandir import xn

        extra = requests.extra_vars(job)
        return xn.run(
            XnRequest(
                context=job.context,
                workspace=self.workspace,
                file=self.workspace / file if file else None,
                text=text,
                optional=(),
                uuid=job.uuid,
                environment_pass=requests.environment_pass(job),
                extra_vars=extra if extra.exists() else None,
                limit=job.options.limit,
                verbosity=job.options.verbosity,
                deadline=deadline,
                cancellation=job.cancellation,
                events=job.events,
                check=job.options.check,
                durable=file is not None,
            )
        )

    def peons_released(self, job: Job, keep_until: int | None) -> list[PeonRecord]:
        """Done by the exekutir itself, which needs no kommandir for it."""
        return []

    def workspace_removed(self, job: Job) -> None:
        """Nothing: the workspace is the user's."""


@contextlib.contextmanager
def discovered(job: Job) -> Iterator[InPlace]:
    """This host; raises KommandirError when the workspace can't be written."""
    told: dict[str, object] = {
        "ansible_host": "localhost",
        "ansible_connection": "local",
        "host_name": kommandirs.NAME,
    }
    file = workspaces.kommandir_host_vars(job.workspace)
    try:
        workspaces.updated_host_vars(file, told)
    except OSError as error:
        raise KommandirError(
            f"the kommandir's host variables can't be kept in {file}: {error.strerror}",
            hint="free some space or make it writable, then run the same command again",
        ) from error
    if not os.access(job.workspace.kommandir, os.W_OK | os.X_OK):
        raise KommandirError(
            f"the kommandir's workspace {job.workspace.kommandir} can't be written",
            hint="make it writable, or set the job up again",
        )
    yield InPlace(kommandirs.lock_name(job), job.workspace.kommandir)
