"""The kommandir of a job: discovered, asked whether it works, and used to run ``job.xn``.

With ``kommandir_groups: [nocloud]`` it is this host, in a directory of its own; otherwise another host, which jobs
share. Both have one face, ``Kommandir``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from exekutir.job import Job
from exekutir.kommandirs.kommandir import Kommandir
from kommandir.errors import UsageError

#: What a kommandir is called in inventories and locks.
NAME = "kommandir"
NOCLOUD = "nocloud"
#: The provider of hosts that are there already, and are never destroyed.
EXISTING = "existing"

__all__ = [
    "EXISTING",
    "NAME",
    "NOCLOUD",
    "Kommandir",
    "discovered",
    "groups",
    "is_here",
    "left",
    "lock_name",
    "provider",
]


def groups(job: Job) -> list[str]:
    """The groups of the job's kommandir."""
    return [str(group) for group in job.variables.get("kommandir_groups") or [NOCLOUD]]


def provider(job: Job) -> str:
    """The group that makes the job's kommandir: the one with the name of a provider, else the first."""
    from kommandir.providers import registry

    return next((group for group in groups(job) if group in registry.SHIPPED), groups(job)[0])


def is_here(job: Job) -> bool:
    """Whether this host is the job's kommandir."""
    return groups(job) == [NOCLOUD]


def lock_name(job: Job) -> str:
    """The name by which all jobs that share this kommandir lock it: one a user and host for ``nocloud``.

    A kommandir of another kind is another one, also where nobody gave it a prefix.
    """
    prefix = job.variables.get("kommandir_name_prefix")
    if is_here(job):
        return f"{prefix}-{NAME}" if prefix else NAME
    return f"{prefix or '-'.join(groups(job))}-{NAME}"


def discovered(job: Job) -> AbstractContextManager[Kommandir]:
    """Find or create the kommandir, ready to be used; the setup lock of its name must be held.

    What its provider tells goes into its host variables in the workspace. Raises UsageError for groups that give no
    kommandir, ProvisioningError, UnreachableError or KommandirError where none can be had.
    """
    if is_here(job):
        if job.options.attach:
            raise UsageError(
                "--attach: this host is the kommandir, and nothing of a killed exekutir runs on here",
                hint="run the same command without it: it goes on where it was",
            )
        from exekutir.kommandirs.in_place import discovered as in_place_discovered

        return in_place_discovered(job)
    from exekutir.kommandirs.remote import discovered as remote_discovered

    return remote_discovered(job)


def left(job: Job) -> int:
    """The job needs its kommandir no more; whoever leaves a retired one last destroys it. No lock may be held.

    Raises ProvisioningError or TimeOutError when one that this job used should be gone and may be there.
    """
    if not is_here(job):
        from exekutir.kommandirs.departure import left as remote_left

        return remote_left(job)
    return 0
