"""The kommandir of a job: discovered, asked whether it works, and used to run ``job.xn``.

With ``kommandir_groups: [nocloud]`` it is this host, in a directory of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from exekutir import workspace as workspaces
from exekutir.job import Job
from kommandir import atomic, yamlfile
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, UsageError
from kommandir.xn import XnRequest, XnResult
from kommandir.yamlfile import did_you_mean

#: What a kommandir is called in inventories and locks.
NAME = "kommandir"
NOCLOUD = "nocloud"


@dataclass(frozen=True, slots=True)
class Kommandir:
    """A kommandir that answers."""

    #: Its host variables, as its discovery told them.
    host_vars: dict[str, object]
    #: Its workspace, as it sees it.
    workspace: Path


def lock_name(job: Job) -> str:
    """The name by which all jobs that share this kommandir lock it: one a user and host for ``nocloud``."""
    prefix = job.variables.get("kommandir_name_prefix")
    return f"{prefix}-{NAME}" if prefix else NAME


def discovered(job: Job) -> Kommandir:
    """Find or create the kommandir; what its provider tells goes into its host variables in the workspace."""
    groups = [str(group) for group in job.variables.get("kommandir_groups") or [NOCLOUD]]
    unknown = [group for group in groups if group != NOCLOUD]
    if unknown:
        raise UsageError(
            f"kommandir_groups: `{unknown[0]}` is no provider of kommandirs{did_you_mean(unknown[0], [NOCLOUD])}",
            hint=f"use [{NOCLOUD}]: this host is the kommandir",
        )
    told: dict[str, object] = {"ansible_host": "localhost", "ansible_connection": "local", "host_name": NAME}
    try:
        host_vars = workspaces.updated_host_vars(workspaces.kommandir_host_vars(job.workspace), told)
    except OSError as error:
        raise KommandirError(f"the kommandir's host variables can't be kept: {error.strerror}") from error
    return Kommandir(host_vars, job.workspace.kommandir)


def answering(kommandir: Kommandir) -> None:
    """Make sure that the kommandir can do what it is for; a kommandir in place must be able to write its workspace."""
    if not os.access(kommandir.workspace, os.W_OK | os.X_OK):
        raise KommandirError(
            f"the kommandir's workspace {kommandir.workspace} can't be written",
            hint="make it writable, or set the job up again",
        )


def updated(job: Job, *, keep_peons: bool = False) -> None:
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
        raise KommandirError(f"the kommandir's variables can't be kept: {error.strerror}") from error


def extra_vars(job: Job) -> Path:
    """The kommandir's copy of every ``-e``; for its owner's eyes."""
    return job.workspace.private / "extra_vars.yml"


def run_xn(
    job: Job, kommandir: Kommandir, *, file: Path | None = None, text: str | None = None, deadline: Deadline
) -> XnResult:
    """Run an xn file, or the text of one, on the kommandir for the job's context; what came of it is a value."""
    from kommandir import xn

    extra = extra_vars(job)
    return xn.run(
        XnRequest(
            context=job.context,
            workspace=kommandir.workspace,
            file=file,
            text=text,
            optional=(),
            uuid=job.uuid,
            environment_pass=tuple(map(str, job.setting("environment_pass"))),
            extra_vars=extra if extra.exists() else None,
            limit=job.options.limit,
            verbosity=job.options.verbosity,
            deadline=deadline,
            cancellation=job.cancellation,
            events=job.events,
            check=job.options.check,
        )
    )
