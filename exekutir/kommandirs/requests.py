"""What a kommandir is asked to run, from the job and the options of the call."""

from __future__ import annotations

from pathlib import Path

from exekutir.job import Job
from kommandir import atomic, yamlfile
from kommandir.errors import KommandirError


def variables_updated(job: Job, *, keep_peons: bool = False) -> None:
    """Bring the kommandir's copy of the variables up to date: the job's, the exekutir's forced on top, then ``-e``.

    With ``keep_peons`` the playbooks of cleanup are told to let them live, by ADEPT's variable ``cleanup``.
    """
    from exekutir.variables import kommandir_variables

    own = yamlfile.mapping(job.workspace.kommandir_vars).value if job.workspace.kommandir_vars.exists() else {}
    merged = kommandir_variables(own, job.variables, {})
    try:
        if merged != own:
            atomic.write(job.workspace.kommandir_vars, "---\n" + yamlfile.dump(merged), mode=0o600)
        forced = {"cleanup": False, **job.extra} if keep_peons else job.extra
        if forced:
            extra = kommandir_variables({}, {}, forced)
            atomic.write(extra_vars(job), "---\n" + yamlfile.dump(extra), mode=0o600)
        else:
            extra_vars(job).unlink(missing_ok=True)
    except OSError as error:
        raise KommandirError(
            f"the kommandir's variables can't be kept in {job.workspace.kommandir}: {error.strerror}",
            hint="free some space or make it writable, then run the same command again",
        ) from error


def extra_vars(job: Job) -> Path:
    """The kommandir's copy of every ``-e``; for its owner's eyes."""
    return job.workspace.private / "extra_vars.yml"


def environment_pass(job: Job) -> tuple[str, ...]:
    """Names of environment variables that pass to the job's commands besides those that always do."""
    return tuple(map(str, job.setting("environment_pass")))
