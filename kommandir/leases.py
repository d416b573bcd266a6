"""What only a provider can do for a host that is there: renew its lease, reboot it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from kommandir import peon_files
from kommandir.cancellation import Cancellation
from kommandir.cloud_command import CloudCommand, run_command
from kommandir.deadline import Deadline
from kommandir.errors import ProvisioningError, UsageError
from kommandir.journal import FILE_NAME as JOURNAL
from kommandir.journal import Journal
from kommandir.process import Outcome
from kommandir.providers import registry
from kommandir.providers.faults import UNABLE

#: Seconds that a provider may take for what needs no new host.
LIMIT = 120.0


def provider_program(workspace: Path, provider: str) -> list[str] | None:
    """How to call a provider: an executable in the job's ``providers/``, or one of ours; None for any other name."""
    if provider not in registry.names(workspace):
        return None
    return registry.provider_executable(provider, workspace)


def provider_command(
    workspace: Path, provider: str, verb: str, peon_name: str, uuid: str, *more: str
) -> CloudCommand | None:
    """The command for ``PROVIDER verb NAME --uuid UUID``; None where there is no provider of that name."""
    program = provider_program(workspace, provider)
    if program is None:
        return None
    return CloudCommand(command=shlex.join([*program, verb, peon_name, "--uuid", uuid, *more]))


def asked(
    workspace: Path,
    peon: str,
    verb: str,
    *more: str,
    deadline: Deadline | None = None,
    cancellation: Cancellation | None = None,
) -> Outcome | None:
    """Have the provider of ``peon`` do something to it; None where it has no provider, or one that never does that.

    Raises UsageError for a peon that nobody recorded, ProvisioningError when the provider fails.
    """
    record = peon_files.record_of(workspace, peon)
    if record is None:
        raise UsageError("nothing is known of this peon", host=peon, hint="`exekutir status` shows those that are")
    command = provider_command(workspace, record.provider, verb, record.peon_name, record.uuid, *more)
    if command is None:
        return None
    outcome = run_command(
        command,
        uuid=record.uuid,
        environment=record.environment,
        folder=workspace,
        deadline=(deadline or Deadline.never()).within(LIMIT),
        cancellation=cancellation,
        doing=f"its provider's `{verb}`",
    )
    if outcome is not None and outcome.code == UNABLE:
        return None
    if outcome is not None and not outcome.good:
        raise ProvisioningError(
            f"its provider's `{verb}` failed: {outcome.end}",
            host=peon,
            why=peon_files.redactor_of(record.environment).text(f"command: {command.command}\n{outcome.stderr}"),
        )
    return outcome


def keep(workspace: Path, peon: str, expires: int) -> None:
    """Renew the lease of ``peon`` until ``expires`` (seconds since the epoch), with its provider and in the journal.

    A peon that has no provider, because a command of the user created it, has no lease that could end; only the journal
    is told. Raises ProvisioningError when its provider can't.
    """
    asked(workspace, peon, "renew", "--expires", str(expires))
    record = peon_files.record_of(workspace, peon)
    if record:
        peon_files.keep_record(workspace, replace(record, expires=expires))
    Journal(workspace / JOURNAL).append("peon_kept", peon=peon, expires=expires)
