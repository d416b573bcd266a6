"""What is left of a job's peons when its own cleanup is over: destroyed, or kept under a lease that ends."""

from __future__ import annotations

import time
from pathlib import Path

from kommandir import provisioning
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError
from kommandir.events import EventStream
from kommandir.journal import FILE_NAME, Journal, PeonRecord


def released(
    workspace: Path,
    keep_until: int | None,
    *,
    deadline: Deadline,
    cancellation: Cancellation | None = None,
    events: EventStream | None = None,
    uuid: str = "",
) -> list[PeonRecord]:
    """Destroy every peon that the journal of the kommandir's ``workspace`` knows of; those left over come back.

    With ``keep_until`` (seconds since the epoch) their leases are renewed instead; a peon that can't be kept, since it
    is only half there, is left over. Never raises for one peon: its error is told as an event.
    """
    peons = [peon for peon in Journal(workspace / FILE_NAME).peons().values() if peon.may_exist]
    if keep_until is not None and peons:
        return [peon for peon in peons if not _kept(workspace, peon, keep_until, events)]
    return provisioning.destroy_all(workspace, deadline=deadline, cancellation=cancellation, events=events, uuid=uuid)


def _kept(workspace: Path, peon: PeonRecord, expires: int, events: EventStream | None) -> bool:
    try:
        provisioning.keep(workspace, peon.name, expires)
    except ExekutirError as error:
        if events:
            events.emit("warning", message=f"{peon.name} can't be kept: {error}")
        return False
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(expires))
    message = f"kept until {until}; `exekutir login` gets there, `exekutir cleanup` ends it earlier"
    if events:
        events.emit("peon", peon=peon.name, state="kept", provider=peon.provider, message=message)
    return True
