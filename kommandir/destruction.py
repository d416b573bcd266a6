"""Destroying peons, by the command of their inventory or by what was recorded before they were created."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kommandir import peon_files
from kommandir.cancellation import Cancellation
from kommandir.cloud_command import CloudCommand, run_command
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, ProvisioningError, StoppedError, TimeOutError
from kommandir.events import EventStream
from kommandir.journal import FILE_NAME as JOURNAL
from kommandir.journal import Journal
from kommandir.journal import PeonRecord as JournalRecord
from kommandir.provisioning_result import DESTRUCTION, Report, announce
from kommandir.redaction import Redactor, secret_values

#: How many peons are destroyed at once.
PARALLEL = 16


def destroy(
    workspace: Path,
    peon: str,
    command: CloudCommand | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    deadline: Deadline | None = None,
    cancellation: Cancellation | None = None,
    events: EventStream | None = None,
    redactor: Redactor | None = None,
) -> dict[str, Any]:
    """Destroy the host of ``peon``; what is gone already is destroyed well. ``state`` in what comes back: ``destroyed``
    or ``absent`` (there never was one).

    ``command`` and ``environment`` are those of the inventory; without them the recorded ones are used. A host without
    any destruction command is given up, not destroyed. Raises ProvisioningError or TimeOutError when it may still be
    there; ``results/NAME/destruction_result.yml`` has all of it.
    """
    journal = Journal(workspace / JOURNAL)
    known = journal.peons().get(peon)
    record = peon_files.record_of(workspace, peon)
    if record is None and (known is None or not known.may_exist):
        return {"state": "absent"}
    uuid = record.uuid if record else known.uuid if known else ""
    provider = record.provider if record else known.provider if known else ""
    command = command or (record.destruction if record else _provided(workspace, known))
    told = {**(record.environment if record else {}), **(environment or {})}
    journal.append("peon_destroy_intent", peon=peon)
    if command is not None:
        report = Report(DESTRUCTION, peon, command, workspace, redactor or Redactor())
        report.redactor.add(secret_values(told))
        try:
            _destroyed(workspace, uuid, told, report, deadline or Deadline.never(), cancellation)
        except ExekutirError as error:
            report.failed(error)
            journal.append("peon_leaked", peon=peon, why=report.redactor.text(error.what))
            announce(events, peon, "failed", provider, report.redactor.text(str(error)), report.seconds)
            raise
    journal.append("peon_destroyed", peon=peon)
    peon_files.forget_record(workspace, peon)
    announce(events, peon, "destroyed", provider, "" if command else "given up: it has no cloud_destruction_command")
    return {"state": "destroyed"}


def _provided(workspace: Path, known: JournalRecord | None) -> CloudCommand | None:
    """What its provider would do, for a peon of which only the journal is left."""
    from kommandir.leases import provider_command

    if known is None or not known.provider:
        return None
    return provider_command(workspace, known.provider, "destroy", known.peon_name, known.uuid)


def _destroyed(
    workspace: Path,
    uuid: str,
    environment: Mapping[str, str],
    report: Report,
    deadline: Deadline,
    cancellation: Cancellation | None,
) -> None:
    try:
        outcome = run_command(
            report.command,
            uuid=uuid,
            environment={"WORKSPACE": str(workspace), **environment},
            folder=workspace,
            deadline=deadline,
            cancellation=cancellation,
            output=report.output,
            doing="its destruction command",
        )
    except TimeOutError as error:
        raise report.problem(error.what, kind=TimeOutError) from error
    except (StoppedError, ProvisioningError) as error:
        error.host = report.peon
        raise
    report.ended(outcome)
    if outcome is None:
        report.skipped(report.command.skipped_because(workspace / (report.command.chdir or "")) or "it says so")
    elif outcome.good:
        report.good()
    else:
        raise report.problem(f"its destruction command failed: {outcome.end}")


def destroy_all(
    workspace: Path,
    *,
    deadline: Deadline,
    cancellation: Cancellation | None = None,
    events: EventStream | None = None,
    uuid: str = "",
) -> list[JournalRecord]:
    """Destroy every peon that the journal or a private record knows of, in parallel; those left over come back.

    Never raises for one peon: its error is told as an event and kept in its ``destruction_result.yml``. Needs neither
    the inventory nor ``job.xn``. ``uuid`` is only for peons of which not even that was recorded.
    """
    from concurrent.futures import ThreadPoolExecutor

    known = Journal(workspace / JOURNAL).peons()
    names = [name for name, record in known.items() if record.may_exist]
    names += [name for name in peon_files.recorded(workspace) if name not in names]
    if not names:
        return []

    def one(name: str) -> None:
        _tolerated(workspace, name, deadline, cancellation, events)

    with ThreadPoolExecutor(max_workers=min(PARALLEL, len(names))) as pool:
        list(pool.map(one, names))
    return _left(workspace, names, uuid)


def _tolerated(
    workspace: Path,
    name: str,
    deadline: Deadline,
    cancellation: Cancellation | None,
    events: EventStream | None,
) -> None:
    try:
        destroy(workspace, name, deadline=deadline, cancellation=cancellation, events=events)
    except (ExekutirError, OSError) as error:
        if events:
            events.emit("warning", message=f"{name} may still be there: {error}")


def _left(workspace: Path, names: Iterable[str], uuid: str) -> list[JournalRecord]:
    """Those of ``names`` that are not known to be gone."""
    known = Journal(workspace / JOURNAL).peons()
    records = set(peon_files.recorded(workspace))
    left = [known.get(name) or JournalRecord(name, "leaked", uuid=uuid) for name in names]
    return [peon for peon in left if peon.may_exist or peon.name in records]
