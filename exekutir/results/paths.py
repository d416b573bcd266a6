"""Files that events name: found below the results, and nowhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from exekutir.results.cleaning import tail
from exekutir.results.record import Job

#: Bytes at the end of a log that are looked at.
_END = 8192
_LINES = 30


def inside(results: Path, path: str) -> Path | None:
    """The file or folder that ``results/...`` names, where it is there; None for all that lies elsewhere."""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] != "results" or ".." in parts:
        return None
    place = Path(results, *parts[1:])
    try:
        return place if place.exists() else None
    except (OSError, ValueError):
        return None


def add_tails(job: Job, results: Path) -> None:
    """Give each step that failed the tail of its log, which has more than the events of its output."""
    for context in job.contexts.values():
        for step in context.steps.values():
            log = inside(results, step.log) if step.failure else None
            lines = _tail(log) if log else []
            if step.failure and lines:
                told = step.failure._replace(output="\n".join(lines))
                context.failures = [told if failure is step.failure else failure for failure in context.failures]
                step.failure = told


def _tail(log: Path) -> list[str]:
    try:
        handle = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return []
            stream.seek(max(0, status.st_size - _END))
            data = stream.read(_END)
    except OSError:
        return []
    whole = data.partition(b"\n")[2] if status.st_size > _END else data
    return tail(whole.decode(errors="replace"), _LINES, _END)
