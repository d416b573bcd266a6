"""What is left of a job: strays of killed contexts and peons, ended; and the proof that nothing remains."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from exekutir import kommandirs, locks
from exekutir.job import Job
from kommandir.deadline import Deadline
from kommandir.environment import JOB_TAG
from kommandir.errors import LeftBehindError
from kommandir.journal import PeonRecord
from kommandir.strays import alive, end_tagged

#: Seconds in which the peons of a job must be gone.
DESTRUCTION_LIMIT = 600.0


def strays_ended(job: Job, *, expected: bool = False) -> None:
    """End the processes that a killed context of this job left: TERM, a grace, KILL. A warning says so.

    Whoever calls holds the lock of the workspace, so no context of this job is under way. ``expected`` ones, such as
    connections that SSH keeps open for a while, are ended without a word.
    """
    strays = _strays(job.uuid)
    if strays and not expected:
        message = f"ending {len(strays)} processes that a killed context left: {_named(strays)}"
        job.events.emit("warning", message=message)
    if strays:
        end_tagged(JOB_TAG, job.uuid)


def _strays(uuid: str) -> list[int]:
    return list(alive(JOB_TAG, uuid))


def _named(pids: Iterable[int]) -> str:
    names = []
    for pid in pids:
        try:
            names.append(f"{Path(f'/proc/{pid}/comm').read_text().strip()} ({pid})")
        except OSError:
            continue
    return ", ".join(names)


def kept(job: Job) -> bool:
    """Whether the peons of this job stay alive after cleanup: by ``--keep``, or by ADEPT's variable ``cleanup``."""
    if job.options.keep == "always" or not job.setting("cleanup"):
        return True
    return job.options.keep == "on-failure" and failed_before(job)


def failed_before(job: Job) -> bool:
    """Whether ``setup`` or ``run`` of this job failed or was killed."""
    last = job.workspace.journal.contexts()
    return any(last.get(context, 0) != 0 for context in ("setup", "run"))


def kept_until(job: Job) -> int | None:
    """When the leases of kept peons end, in seconds since the epoch; None where they are destroyed."""
    return int(time.time() + job.options.keep_for) if kept(job) else None


def peons_may_exist(job: Job) -> bool:
    """Whether the journal has peons of which nobody knows that they are gone."""
    return bool(_peons(job))


def _peons(job: Job) -> list[PeonRecord]:
    return [peon for peon in job.workspace.peon_journal.peons().values() if peon.may_exist]


def peons_released(job: Job) -> list[PeonRecord]:
    """Destroy every peon that the journal knows of, or keep it under a lease that ends; those left over come back.

    Peons of another kommandir can only be reached from there, where that has been done before.
    """
    peons = _peons(job)
    if not kommandirs.is_here(job):
        return [] if kept(job) else peons
    if not peons and not job.workspace.private.is_dir():
        return []
    from kommandir import releasing

    return releasing.released(
        job.workspace.kommandir,
        kept_until(job),
        deadline=Deadline.after(DESTRUCTION_LIMIT),
        cancellation=job.cancellation,
        events=job.events,
        uuid=job.uuid,
    )


def nothing_left_demanded(job: Job, left: list[PeonRecord], *, proven: bool) -> None:
    """Look whether anything of the job is still there and say so; raises LeftBehindError when it is.

    That nothing is left is said where all that can't be seen from here, as a user on a kommandir, is ``proven`` gone.
    """
    strays_ended(job, expected=True)
    found = [f"peon {peon.name} ({peon.provider or 'unknown provider'}, {peon.state})" for peon in left]
    found += [f"process {name}" for name in filter(None, [_named(_strays(job.uuid))])]
    found += [f"lock {holder.lock}" for holder in locks.holders(locks.lock_folder(job.variables)) if _of(job, holder)]
    if found:
        raise LeftBehindError(
            "cleanup could not remove everything",
            why="\n".join(found),
            log=job.workspace.results,
            hint="run `exekutir cleanup` again; `exekutir status` shows what is left",
        )
    if proven and not kept(job):
        job.events.emit("phase_started", phase="proof")
        detail = "nothing is left: no peon, process, mount or lock"
        job.events.emit("phase_finished", phase="proof", seconds=0, outcome="ok", detail=detail)


def _of(job: Job, holder: locks.Holder) -> bool:
    return holder.job == job.uuid and holder.pid != os.getpid()
