"""The three context transitions, step by step as the operational overview has them.

Each may be repeated, and each may be killed at any instant: the journal has the intent of everything that has an effect
outside of the workspace, before the effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from exekutir import kommandirs, remains, steps
from exekutir.job import Job
from exekutir.kommandirs import Kommandir
from kommandir.errors import ExitCode


def setup(job: Job) -> int:
    """Make the workspace, find the kommandir, and run ``job.xn`` so that peons are there and ready to be tested."""
    with job.phase("workspace"):
        steps.job_validated(job)
        steps.workspace_made(job)
    with kommandir_in_use(job) as kommandir:
        with job.phase("kommandir's workspace"):
            steps.kommandir_workspace_updated(job, kommandir)
            steps.caches_filled(job, kommandir)
        with job.phase("job.xn"):
            return steps.job_run(job, kommandir)


def run(job: Job) -> int:
    """Run ``job.xn`` so that the peons are tested and their results are in the workspace; needs a good ``setup``."""
    steps.good_setup_demanded(job)
    with kommandir_in_use(job) as kommandir:
        with job.phase("kommandir's workspace"):
            steps.kommandir_workspace_updated(job, kommandir)
            steps.caches_filled(job, kommandir)
        with job.phase("job.xn"):
            return steps.job_run(job, kommandir)


def cleanup(job: Job) -> int:
    """Run ``job.xn`` so that everything of the job is released, then destroy what the journal still knows of.

    Neither a broken ``job.xn`` nor a kommandir that can't be had stops it; the first thing that went wrong is its
    result.
    """
    with job.phase("strays", always=True):
        remains.strays_ended(job)
    code = steps.tolerated(job, job_cleaned_up)
    with job.phase("peons", always=True):
        left = remains.peons_released(job)
    pruned = steps.tolerated(job, steps.workspace_pruned)
    gone = 0
    # Who has a user or peons there still needs his kommandir, unless it is to be destroyed with them.
    if not remains.kept(job) and (job.setting("stonith") or not (left or steps.has_account(job))):
        gone = steps.tolerated(job, kommandirs.left)
    code = code or pruned or gone
    stays = steps.has_account(job) and not remains.kept(job)
    remains.nothing_left_demanded(job, left, proven=not (stays or gone))
    if stays:
        steps.account_told(job, code)
    return code


def job_cleaned_up(job: Job) -> int:
    """The part of ``cleanup`` that needs the kommandir; none where ``setup`` was killed before it had begun."""
    if not steps.begun(job):
        job.events.emit("warning", message="the job has begun nothing that its own cleanup could end")
        return ExitCode.GOOD
    with kommandir_in_use(job) as kommandir:
        with job.phase("kommandir's workspace"):
            steps.kommandir_workspace_updated(job, kommandir)
        with job.phase("job.xn"):
            code = steps.tolerated(job, lambda job: steps.job_run(job, kommandir))
        released = steps.tolerated(job, lambda job: steps.kommandir_workspace_released(job, kommandir))
        return code or released


@contextmanager
def kommandir_in_use(job: Job) -> Iterator[Kommandir]:
    """The kommandir, discovered or created and set up under the exclusive lock, then used under the shared one."""
    with ExitStack() as using:
        with job.phase("kommandir"), job.locks.setup(kommandirs.lock_name(job)):
            kommandir = using.enter_context(kommandirs.discovered(job))
            using.enter_context(job.locks.use(kommandir.lock))
        yield kommandir
