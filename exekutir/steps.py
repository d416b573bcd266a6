"""The steps that the transitions consist of, those of the workspace and of ``job.xn``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exekutir import kommandirs, remains, unforeseen, workspace
from exekutir.job import ACCOUNT_REMOVED, Job, keep_variables
from exekutir.kommandirs import Kommandir, requests
from kommandir.errors import ExitCode, JobError, LeftBehindError, UsageError, exit_code_of
from kommandir.mistakes import demand_none

#: Seconds that the job's part of cleanup may take where nobody gave a limit; a job that hangs must not keep its peons.
CLEANUP_LIMIT = 3600.0


def job_validated(job: Job) -> None:
    """Raise MistakesError with every mistake in the job's files, before anything is made of them."""
    from exekutir.variables import validation

    if job.path.resolve() == job.workspace.path.resolve():
        raise UsageError(
            f"{job.path} is the folder of the job, and can't be its workspace too",
            hint="name another folder with --workspace; it may lie in that of the job",
        )
    mistakes = validation.validate(job.path, workspace=job.workspace.path, extra=job.extra)
    demand_none(mistakes, hint="mend them all; `exekutir validate` looks again without doing anything")


def workspace_made(job: Job) -> None:
    """Keys, inventory, the kommandir's workspace = defaults overlaid by the job; variables kept."""
    excludes = tuple(map(str, job.setting("sync_excludes")))
    keep_variables(job)
    workspace.made(job.workspace, job.path, excludes)
    job.workspace.journal.append("workspace_made")
    extra_command_run(job, "extra_exekutir_setup")


def kommandir_workspace_updated(job: Job, kommandir: Kommandir) -> None:
    """The variables for the kommandir are complete, what the user wants done after that is done, and it has all of it.

    Its workspace becomes equal to the exekutir's copy, unless a run that is taken up again uses it.
    """
    if job.options.attach:
        kommandir.workspace_sent(job)
        return
    requests.variables_updated(job, keep_peons=job.context == "cleanup" and remains.kept(job))
    if job.context != "cleanup":
        extra_command_run(job, "extra_kommandir_setup")
    kommandir.workspace_sent(job)


def extra_command_run(job: Job, variable: str) -> None:
    """Run the user's own shell command, named by a variable with the keys of Ansible's ``shell`` module."""
    told = job.setting(variable)
    if not told or not told.get("command"):
        return
    from kommandir.provisioning import CloudCommand, run_command

    outcome = run_command(
        CloudCommand.parsed(_rendered(told, job), name=variable),
        uuid=job.uuid,
        environment={"WORKSPACE": str(job.workspace.path), "ADEPT_CONTEXT": job.context},
        folder=job.workspace.path,
        deadline=job.deadline,
        cancellation=job.cancellation,
    )
    if outcome is not None and not outcome.good:
        raise JobError(
            f"{variable} failed with {outcome.end}",
            why=job.events.redactor.text(outcome.stderr or outcome.stdout),
            hint=f"mend the variable {variable}, then run the same command again",
        )


def _rendered(told: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """ADEPT's way of writing the two workspaces in these commands, which Ansible templates there."""
    places = {
        "hostvars.exekutir.workspace": str(job.workspace.path),
        "hostvars.exekutir.kommandir_workspace": str(job.workspace.kommandir),
        "kommandir_workspace": str(job.workspace.kommandir),
        "workspace": str(job.workspace.path),
    }
    plain = {name: str(value) for name, value in job.variables.items() if isinstance(value, str | int)}
    return {key: _replaced(str(value), {**plain, **places}) for key, value in told.items() if value is not None}


def _replaced(text: str, values: Mapping[str, str]) -> str:
    import re

    return re.sub(r"\{\{\s*([\w.]+)\s*\}\}", lambda match: values.get(match[1], match[0]), text)


def caches_filled(job: Job, kommandir: Kommandir) -> None:
    """Fetch what all peons need once, into the workspace's cache; nothing where nothing is named for it.

    A cache does not travel: on another kommandir than before it is filled again, in the same kommandir only by setup.
    """
    if job.options.attach or not (job.setting("git_cache_args") or job.setting("file_cache_args")):
        return
    filled = [entry.data["kommandir"] for entry in job.workspace.journal.entries() if entry.action == "caches_filled"]
    if job.context != "setup" and filled[-1:] == [kommandir.lock]:
        return
    kommandir.caches_shared(job)
    text = "- playbook:\n    filepath: playbooks/caches_filled.yml\n    inventory: inventory\n"
    result = kommandir.run_xn(job, text=text, deadline=job.deadline)
    kommandir.workspace_returned(job)
    if result.exit_code:
        failure = result.failures[0] if result.failures else None
        raise JobError(
            "the caches can't be filled",
            why=failure.message if failure else None,
            log=failure.log if failure else None,
            hint="mend the variables git_cache_args and file_cache_args",
        )
    job.workspace.journal.append("caches_filled", kommandir=kommandir.lock)


def good_setup_demanded(job: Job) -> None:
    """Raise UsageError unless the last ``setup`` was good and no ``cleanup`` has come since."""
    state = None
    for entry in job.workspace.journal.entries():
        if entry.action == "context_finished" and entry.data.get("context") == "setup":
            state = entry.data.get("exit_code")
        elif entry.action == "context_started" and entry.data.get("context") in ("setup", "cleanup"):
            state = entry.data.get("context")
    if state == 0:
        return
    why = {
        None: "it was never set up",
        "setup": "its setup was killed, or is still under way",
        "cleanup": "it has been cleaned up",
    }.get(state, f"its setup ended with exit code {state}")
    raise UsageError(f"run needs a good setup, but of this job {why}", hint="run `exekutir setup` first")


def begun(job: Job) -> bool:
    """Whether a ``setup`` came as far as a workspace; before that ``job.xn`` has done nothing.

    On a kommandir that is another host it has neither before the job came there, nor after its user was removed, unless
    peons of it may still be somewhere.
    """
    if not any(entry.action == "workspace_made" for entry in job.workspace.journal.entries()):
        return False
    return kommandirs.is_here(job) or has_account(job) or remains.peons_may_exist(job)


def has_account(job: Job) -> bool:
    """Whether another host still has a user of the job, as far as is known here: it came there and was not removed."""
    done = [entry.action for entry in job.workspace.journal.entries()]
    there = [action for action in done if action in ("kommandir_used", ACCOUNT_REMOVED)]
    return there[-1:] == ["kommandir_used"]


def account_told(job: Job, code: int) -> None:
    """Say that the job's user stays on its kommandir; where nothing else failed (``code``) raise LeftBehindError."""
    name = str(job.workspace.kommandirs_used[-1].get("kommandir"))
    left = LeftBehindError(
        f"the job's user {job.uuid} is still there",
        host=name,
        log=job.workspace.journal.path,
        hint="run `exekutir cleanup` again with the `kommandir_groups` of setup, and where that host is lost for good "
        "with `-e stonith=true`",
    )
    if not code:
        raise left
    job.events.emit("warning", message=str(left))


def job_run(job: Job, kommandir: Kommandir) -> int:
    """Run ``job.xn`` and keep its own exit code; the classified one comes back."""
    deadline = job.deadline.within(CLEANUP_LIMIT) if job.context == "cleanup" else job.deadline
    file = job.workspace.kommandir / "job.xn"
    if not file.exists():
        raise UsageError(f"{file} is not there", hint="set the job up again: `exekutir setup`")
    result = kommandir.run_xn(job, file=Path(file.name), deadline=deadline)
    if not job.options.check:
        job.workspace.record_exit("kommandir", job.context, result.exit_code)
    kommandir.workspace_returned(job)
    job.cancellation.check("job.xn")
    return int(result.outcome)


def kommandir_workspace_released(job: Job, kommandir: Kommandir) -> int:
    """What the kommandir still has of the job is released there: its peons, then, where none is left, its workspace."""
    left = kommandir.peons_released(job, remains.kept_until(job))
    kommandir.workspace_returned(job)
    if not (left or remains.kept(job)):
        account_removed(job, kommandir)
    return ExitCode.GOOD


def account_removed(job: Job, kommandir: Kommandir) -> None:
    """The job's workspace and its user are gone from the kommandir; on this host there is nothing of the kind."""
    kommandir.workspace_removed(job)
    if not kommandirs.is_here(job):
        job.workspace.journal.append(ACCOUNT_REMOVED, kommandir=kommandir.lock)


def tolerated(job: Job, part: Callable[[Job], int]) -> int:
    """The exit code of a part of cleanup whose failure, be it a bug of ours, does not stop the rest; a signal does, and
    a lost lock."""
    try:
        return part(job)
    except Exception as error:
        if job.cancellation.requested:
            raise
        told = unforeseen.told(error, job)
        job.events.emit("warning", message=str(told))
        return exit_code_of(told)


def workspace_pruned(job: Job) -> int:
    """Remove what ``cleanup_globs`` names, relative to the workspace; not with ``adept_debug``. Raises OSError."""
    with job.phase("workspace", always=True):
        if not job.setting("adept_debug"):
            _pruned(job)
    return ExitCode.GOOD


def _pruned(job: Job) -> None:
    base = job.workspace.path.resolve()
    for pattern in job.setting("cleanup_globs"):
        for path in sorted(base.glob(str(pattern).lstrip("/"))):
            if ".." in path.parts or base not in path.parents:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=False)
            else:
                path.unlink(missing_ok=True)
