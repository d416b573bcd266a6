"""Creating and destroying peons by commands that print YAML, so that no kill at any moment leaves one unknown.

Before a command starts, how to undo it is in ``private/NAME.yml`` and the intent is in the journal. What the command
printed goes into the inventory, its host key into ``ssh/known_hosts``, all of it into the peon's results.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kommandir import host_vars, known_hosts, peon_files, yamlfile
from kommandir.cancellation import Cancellation
from kommandir.cloud_command import CloudCommand, run_command
from kommandir.deadline import Deadline
from kommandir.destruction import destroy, destroy_all
from kommandir.errors import ExekutirError, KommandirError, ProvisioningError, StoppedError, TimeOutError, UsageError
from kommandir.events import EventStream
from kommandir.journal import FILE_NAME as JOURNAL
from kommandir.journal import Journal
from kommandir.leases import keep
from kommandir.peon_files import PeonRecord
from kommandir.process import Outcome
from kommandir.provisioning_result import CREATION, Report, announce
from kommandir.redaction import Redactor, secret_values

__all__ = ["CloudCommand", "create", "destroy", "destroy_all", "keep", "mark", "reboot", "run_command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a creation works with besides the command itself."""

    #: When it has to be done.
    deadline: Deadline
    cancellation: Cancellation | None = None
    events: EventStream | None = None
    #: Knows secrets beyond those of the command's environment.
    redactor: Redactor | None = None
    #: Variables of ours, templates allowed, that a peon reached by SSH gets unless the command printed them.
    templates: Mapping[str, str] | None = None
    #: Where the command runs; the workspace unless it is named.
    folder: Path | None = None
    #: What to do where it takes too long.
    hint: str = "raise the variable cloud_timeout"


def create(
    workspace: Path,
    peon: str,
    command: CloudCommand,
    environment: Mapping[str, str],
    deadline: Deadline,
    destruction: CloudCommand | None,
    provider: str,
    uuid: str,
    expires: int,
    *,
    peon_name: str = "",
    means: Means | None = None,
) -> dict[str, Any]:
    """Create or discover the host of ``peon``; its variables come back, plain values.

    ``workspace`` is the kommandir's. The variables are merged into ``host_vars/NAME.yml``, the host key into
    ``ssh/known_hosts``, both streams into ``results/NAME/creation_result.yml``, redacted. Raises ProvisioningError
    (non-zero exit, nothing usable printed), TimeOutError, StoppedError or KommandirError (the workspace can't be
    written; the command was not started then). See ``design.md``, "Provisioning command".
    """
    means = means or Means(deadline=deadline)
    name = peon_name or f"{peon}-{uuid}"
    record = PeonRecord(
        name=peon,
        peon_name=name,
        uuid=uuid,
        provider=provider,
        expires=expires,
        destruction=destruction,
        environment=environment,
    )
    peon_files.keep_record(workspace, record)
    journal = Journal(workspace / JOURNAL)
    journal.append("peon_intent", peon=peon, provider=provider, peon_name=name, uuid=uuid, expires=expires)
    announce(means.events, peon, "creating", provider)
    redactor = peon_files.redactor_of(environment)
    report = Report(CREATION, peon, command, workspace, means.redactor or redactor)
    report.redactor.add(secret_values(environment))
    try:
        told = _created(workspace, record, command, report, means)
    except ExekutirError as error:
        report.failed(error)
        journal.append("peon_failed", peon=peon, why=report.redactor.text(error.what))
        announce(means.events, peon, "failed", provider, report.redactor.text(str(error)), report.seconds)
        raise
    journal.append("peon_created", peon=peon, host_name=told.get("host_name"), host_uuid=told.get("host_uuid"))
    announce(means.events, peon, "created", provider, str(told.get("host_name") or name), report.seconds)
    return told


def _created(
    workspace: Path, record: PeonRecord, command: CloudCommand, report: Report, means: Means
) -> dict[str, Any]:
    outcome = _ran(workspace, record, command, report, means)
    if outcome is None:
        return host_vars.read(workspace, record.name)
    if not outcome.good:
        raise report.problem(f"its provisioning command failed: {outcome.end}")
    told = _parsed(report)
    report.good(sorted(told))
    try:
        keep_told(workspace, record.name, told, means.templates)
    except OSError as error:
        raise KommandirError(
            f"what the provisioning command told can't be kept: {error.strerror}",
            host=record.name,
            hint="free some space or make the workspace writable, then run the same command again",
        ) from error
    return told


def _ran(workspace: Path, record: PeonRecord, command: CloudCommand, report: Report, means: Means) -> Outcome | None:
    folder = means.folder or workspace
    try:
        outcome = run_command(
            command,
            uuid=record.uuid,
            environment={"WORKSPACE": str(workspace), **record.environment},
            folder=folder,
            deadline=means.deadline,
            cancellation=means.cancellation,
            output=report.output,
            doing="its provisioning command",
        )
    except TimeOutError as error:
        raise report.problem(error.what, kind=TimeOutError, hint=means.hint) from error
    except (StoppedError, ProvisioningError) as error:
        error.host = record.name
        raise
    report.ended(outcome)
    if outcome is None:
        report.skipped(command.skipped_because(folder / (command.chdir or "")) or "it says so")
    return outcome


def _parsed(report: Report) -> dict[str, Any]:
    """Standard output as host variables; raises ProvisioningError when it is anything else."""
    stream = report.output.stdout
    if stream.cut:
        raise report.problem(f"its provisioning command printed {stream.size} bytes; host variables are never so long")
    if not stream.text.strip():
        raise report.problem("its provisioning command printed nothing")
    try:
        value = yamlfile.parse(stream.text, "standard output").value
        told = json.loads(json.dumps(value, default=str))
    except UsageError as error:
        raise report.problem(f"its provisioning command did not print YAML ({error.what})") from error
    except (ValueError, RecursionError) as error:
        raise report.problem("its provisioning command did not print YAML (it refers to itself)") from error
    except TypeError as error:  # a date or a list as a key
        raise report.problem(f"its provisioning command printed a key that is no name: {error}") from error
    if not isinstance(told, dict):
        kind = {"list": "a list", "str": "a text", "NoneType": "nothing"}.get(type(told).__name__, "a single value")
        raise report.problem(f"its provisioning command printed {kind} instead of one mapping of host variables")
    report.redactor.add(secret_values(told))
    _demand_variables(told, report)
    return told


def _demand_variables(told: Mapping[str, Any], report: Report) -> None:
    for key in told:
        if not str(key).isidentifier():
            raise report.problem(f"its provisioning command printed `{key}`, which can't be the name of a variable")
    for name in ("ansible_port", "ansible_ssh_port"):
        port = told.get(name)
        if port is not None and not (str(port).isdigit() and 0 < int(port) < 1 << 16):
            raise report.problem(f"its provisioning command printed {name} {port!r}, which is no port")
    for name in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
        try:
            shlex.split(str(told.get(name) or ""))
        except ValueError as error:
            raise report.problem(
                f"its provisioning command printed {name} that no shell would take: {error}"
            ) from error
    if not told:
        raise report.problem("its provisioning command printed no host variables")


def keep_told(workspace: Path, peon: str, told: Mapping[str, Any], templates: Mapping[str, str] | None = None) -> None:
    """Keep what a command told of a host: its variables in the inventory, its keys in known_hosts.

    Raises ProvisioningError for a key that is none, UsageError for a broken file of host variables, OSError when the
    workspace can't be written.
    """
    keys = known_hosts.keys_of(told, peon)
    over_ssh = told.get("ansible_connection", "ssh") in ("ssh", "smart", "paramiko", "paramiko_ssh")
    ours = {key: text for key, text in (templates or {}).items() if over_ssh and key not in told}
    if keys:
        known_hosts.add(workspace, known_hosts.names_of({**host_vars.read(workspace, peon), **told}, peon), keys)
    host_vars.merged(workspace, peon, told, ours)


def mark(
    workspace: Path, peon: str, state: str, provider: str = "", events: EventStream | None = None, seconds: float = 0.0
) -> None:
    """Note in the journal and the events what became of a peon: ``up``, say."""
    Journal(workspace / JOURNAL).append(f"peon_{state}", peon=peon)
    announce(events, peon, state, provider, seconds=seconds)


def reboot(workspace: Path, peon: str, *, deadline: Deadline, cancellation: Cancellation | None = None) -> bool:
    """Have the provider of ``peon`` reboot it, and keep what it tells; False where its provider can't.

    Raises ProvisioningError when the peon does not come back.
    """
    from kommandir.leases import asked

    began = time.monotonic()
    outcome = asked(workspace, peon, "reboot", deadline=deadline, cancellation=cancellation)
    if outcome is None:
        return False
    if outcome.stdout.strip():
        value = yamlfile.parse(outcome.stdout, "standard output of reboot").value
        if isinstance(value, dict):
            keep_told(workspace, peon, json.loads(json.dumps(value, default=str)))
    seconds = round(time.monotonic() - began, 3)
    Journal(workspace / JOURNAL).append("peon_rebooted", peon=peon, seconds=seconds)
    return True
