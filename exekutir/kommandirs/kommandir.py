"""What a transition needs of a kommandir, wherever it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from exekutir.job import Job
    from kommandir.deadline import Deadline
    from kommandir.journal import PeonRecord
    from kommandir.xn import XnResult


class Kommandir(Protocol):
    """A kommandir that answers and is set up."""

    @property
    def lock(self) -> str:
        """The name of its ``use`` lock, without that ending."""

    def workspace_sent(self, job: Job) -> None:
        """Make its workspace equal to the exekutir's copy, which wins."""

    def workspace_returned(self, job: Job) -> None:
        """Make the exekutir's copy equal to its workspace, which wins; verified."""

    def run_xn(self, job: Job, *, file: Path | None = None, text: str | None = None, deadline: Deadline) -> XnResult:
        """Run a file of its workspace (a relative path), or the text of one, for the job's context."""

    def caches_shared(self, job: Job) -> None:
        """Have what ``git_cache_args`` and ``file_cache_args`` name for all of its jobs, as far as it can."""

    def peons_released(self, job: Job, keep_until: int | None) -> list[PeonRecord]:
        """Destroy every peon that the journal of its workspace knows of; those left over come back.

        With ``keep_until`` (seconds since the epoch) they are kept under a lease that ends then.
        """

    def workspace_removed(self, job: Job) -> None:
        """Remove what it has of the job, once nothing of the job needs it any more."""
