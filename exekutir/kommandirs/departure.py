"""The end of a job on a remote kommandir: it leaves, and whoever leaves a retired generation last destroys it."""

from __future__ import annotations

from dataclasses import replace

from exekutir import kommandirs
from exekutir.generations import CREATING, Generation, Generations
from exekutir.job import Job
from exekutir.kommandirs import discovery, provision
from kommandir.deadline import Deadline
from kommandir.errors import ExitCode, LockError


def left(job: Job) -> int:
    """Deregister the job, retire its kommandir when that is due, destroy every retired one that nobody uses.

    Never waits for other jobs. Raises ProvisioningError when one that should be gone may be there.
    """
    generations = Generations(discovery.folder(job))
    with job.phase("kommandir", always=True), job.locks.setup(kommandirs.lock_name(job)):
        _retired(job, generations)
        generations.leave(job.uuid)
        job.workspace.journal.append("kommandir_left")
        for generation in generations.to_destroy():
            _destroyed(job, generations, generation)
    return ExitCode.GOOD


def _retired(job: Job, generations: Generations) -> None:
    own = generations.of_job(job.uuid) or generations.current()
    if own is not None and job.setting("stonith"):
        generations.retire(own, f"job {job.uuid} asked for it (stonith)")
    generations.retire_aged(float(job.setting("kommandir_max_age")))
    half = generations.current()
    if half is not None and half.state == CREATING:
        generations.retire(half, "its creation was never finished")


def _destroyed(job: Job, generations: Generations, generation: Generation) -> None:
    """Destroy it, unless somebody uses it at this moment: then that job will."""
    at_once = replace(job.locks, deadline=Deadline.after(0), waiting=lambda _lock, _holders: None)
    try:
        with at_once.use(generation.name, shared=False):
            going = generations.destroying(generation)
            provision.destroyed(job, going)
            generations.destroyed(going)
    except LockError:
        return
    job.events.emit("kommandir", kommandir=generation.name, state="destroyed", message=generation.why_retired)
