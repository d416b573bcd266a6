"""The end of a job on a remote kommandir: it leaves, and whoever leaves a retired generation last destroys it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from exekutir import kommandirs
from exekutir.generations import CREATING, Generation, Generations
from exekutir.job import ACCOUNT_REMOVED, Job
from exekutir.kommandirs import discovery, neighbourhood, provision
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, ExitCode, LockError


def left(job: Job) -> int:
    """Deregister the job, retire its kommandir when that is due, destroy every retired one that nobody uses.

    Never waits for other jobs, and leaves alone what another exekutir or provider made. Raises ProvisioningError,
    TimeOutError or StoppedError when one that this job used should be gone and may be there.
    """
    generations = Generations(discovery.folder(job))
    failures: list[ExekutirError] = []
    with job.phase("kommandir", always=True), job.locks.setup(kommandirs.lock_name(job)):
        _retired(job, generations)
        generations.leave(job.uuid)
        job.workspace.journal.append("kommandir_left")
        for generation in generations.to_destroy():
            if neighbourhood.is_ours(generation, kommandirs.provider(job)):
                failures += _tried(job, generations, generation)
    if failures:
        raise failures[0]
    return ExitCode.GOOD


def _tried(job: Job, generations: Generations, generation: Generation) -> list[ExekutirError]:
    """Destroy it; what went wrong, so that one host that can't be destroyed keeps none of the others alive. What this
    job never used is tried again by every job that leaves, and is a warning for it."""
    try:
        _destroyed(job, generations, generation)
    except ExekutirError as error:
        if job.cancellation.requested:
            raise
        if generation.name in _used(job):
            return [error]
        job.events.emit("warning", message=str(error))
    return []


def _used(job: Job) -> list[str]:
    return [str(use["kommandir"]) for use in job.workspace.kommandirs_used]


def _retired(job: Job, generations: Generations) -> None:
    own = generations.of_job(job.uuid) or generations.current()
    if own is not None and job.setting("stonith") and neighbourhood.is_ours(own, kommandirs.provider(job)):
        generations.retire(own, f"job {job.uuid} asked for it (stonith)")
    generations.retire_aged(float(job.setting("kommandir_max_age")))
    half = generations.current()
    if half is not None and half.state == CREATING:
        generations.retire(half, "its creation was never finished")


def _destroyed(job: Job, generations: Generations, generation: Generation) -> None:
    """Destroy it, unless somebody uses it at this moment: then that job will."""
    at_once = replace(job.locks, deadline=Deadline.after(0), waiting=lambda _lock, _holders: None)
    with ExitStack() as alone:
        try:
            alone.enter_context(at_once.use(generation.name, shared=False))
        except LockError:
            return
        going = generations.destroying(generation)
        provision.destroyed(job, going)
        generations.destroyed(going)
    if generation.name in _used(job)[-1:]:
        job.workspace.journal.append(ACCOUNT_REMOVED, kommandir=generation.name)
    job.events.emit("kommandir", kommandir=generation.name, state="destroyed", message=generation.why_retired)
