"""Single steps of the transitions for the roles ``kommandir_*``, so that a person may do them one by one.

Each is what ``exekutir setup|run|cleanup`` does, on a workspace that ``exekutir setup`` has laid out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exekutir import job as jobs
from exekutir import kommandirs, remains, steps, workspace
from exekutir.job import Job
from exekutir.kommandirs import Kommandir
from exekutir.options import Options
from kommandir.cancellation import Cancellation
from kommandir.errors import ExekutirError, UsageError


def answered(step: str, place: str) -> dict[str, Any]:
    """Take the step named for the workspace ``place``: the result of an Ansible task, failed where an error says so."""
    cancellation = Cancellation()
    told: list[str] = []
    try:
        opened = workspace.opened(Path(place), create=False)
        with cancellation.handling_signals():
            job = jobs.load("run", Options(workspace=opened.path), opened, cancellation, lambda _event: None)
            job.events.subscribe(
                lambda event: told.append(str(event["message"])) if event["event"] == "warning" else None
            )
            return {**STEPS[step](job), "warnings": told}
    except ExekutirError as error:
        return {"failed": True, "msg": str(error)}


def _used(job: Job, what: Callable[[Kommandir], None]) -> None:
    with ExitStack() as using:
        with job.locks.setup(kommandirs.lock_name(job)):
            kommandir = using.enter_context(kommandirs.discovered(job))
            using.enter_context(job.locks.use(kommandir.lock))
        what(kommandir)


def _discovered(job: Job) -> dict[str, Any]:
    lock: list[str] = []
    _used(job, lambda kommandir: lock.append(kommandir.lock))
    return {"changed": False, "kommandir": lock[0], "host_vars_file": str(workspace.kommandir_host_vars(job.workspace))}


def _sent(job: Job) -> dict[str, Any]:
    _used(job, lambda kommandir: kommandir.workspace_sent(job))
    return {"changed": True}


def _returned(job: Job) -> dict[str, Any]:
    _used(job, lambda kommandir: kommandir.workspace_returned(job))
    return {"changed": True}


def _left(job: Job) -> dict[str, Any]:
    if remains.peons_may_exist(job):
        raise UsageError(
            "peons of the job may still be there, and can only be destroyed from its kommandir",
            hint="run `exekutir cleanup`, which does this step too",
        )
    if steps.has_account(job):
        _used(job, lambda kommandir: steps.account_removed(job, kommandir))
    kommandirs.left(job)
    return {"changed": True}


STEPS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "discovered": _discovered,
    "sent": _sent,
    "returned": _returned,
    "left": _left,
}
