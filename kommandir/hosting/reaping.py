"""Peons on a shared kommandir whose leases have ended: destroyed as their users, whichever job comes by."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kommandir import atomic, process
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError
from kommandir.hosting import environment, locking, purging
from kommandir.hosting.accounts import Accounts
from kommandir.hosting.places import Places
from kommandir.hosting.records import READY, Record

#: Seconds between two looks that jobs cause.
EVERY = 600.0
#: Seconds that one job's peons may take.
PATIENCE = 600.0
#: Seconds by which a clock is put right that is not wrong.
SKEW = 300.0


def reap(accounts: Accounts) -> dict[str, Any]:
    """Destroy every peon of a job's user whose lease has ended; the answer is kept for ``status`` too.

    Once in a while it then removes users whom nobody has asked for in days: on a host that is not replaced, their slots
    would run out. The answer: at (seconds since the epoch), destroyed and failed ("USER: PROVIDER NAME"), purged
    (users), refused (lines: what could not be looked at or removed). Where the clock was turned since the host's boot
    neither leases nor ages can be judged, so none are. Raises LockError while another process does the same, OSError.
    """
    told: dict[str, Any] = {"at": time.time(), "destroyed": [], "failed": [], "purged": [], "refused": []}
    file = accounts.places.reaped
    with locking.held(file.with_suffix(".lock"), "the reaping of peons", patience=0.0):
        turned = clock_turned(accounts.places)
        judged = abs(turned) <= SKEW
        if not judged:
            told["refused"].append(
                f"the clock was turned by {turned:.0f} s since the boot, so no lease is judged by it"
            )
        for record in accounts.records.all() if judged else ():
            if record.state == READY and _may_have_peons(record, accounts.places):
                _reaped(record, accounts.places, told)
        if judged:
            told["purged"], refused = purging.purge_at_times(accounts)
            told["refused"] += refused
        atomic.write(file, json.dumps(told), durable=False)
    return told


def clock_turned(places: Places) -> float:
    """By how many seconds the clock was put ahead since this was asked first after the boot; below 0: back."""
    ahead = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        return ahead - float(places.clock.read_text())
    except (FileNotFoundError, ValueError):
        places.clock.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(places.clock, f"{ahead}\n", durable=False)
        return 0.0


def begin(places: Places) -> bool:
    """Start that in a process of its own where nobody has done it lately; whether it was started. Waits for nothing."""
    clock_turned(places)  # from the first job on, as peons come after it
    with contextlib.suppress(FileNotFoundError):
        if time.time() - places.reaped.stat().st_mtime < EVERY:
            return False
    places.reaped.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # that of a full disk: then somebody else looks again sooner
        places.reaped.touch()
    subprocess.Popen(
        [str(Path(sys.prefix) / "bin" / "kommandir"), "host", "reap"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    return True


def last(places: Places) -> dict[str, Any] | None:
    """The last answer, or None."""
    try:
        told = json.loads(places.reaped.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _may_have_peons(record: Record, places: Places) -> bool:
    """Whether a provider keeps a record in the job's state: asking it costs a second."""
    state = places.jobs / record.user / "state"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return any(any(os.scandir(entry.path)) for entry in os.scandir(state) if entry.is_dir(follow_symlinks=False))
    return False


def _reaped(record: Record, places: Places, told: dict[str, Any]) -> None:
    user, number = record.user, str(record.uid)
    # As its user: what he has in his folders leads nowhere else.
    become = ["setpriv", "--reuid", number, "--regid", number, "--clear-groups"]
    try:
        outcome = process.run(
            [*become, str(Path(sys.prefix) / "bin" / "exekutir"), "reap", "--format", "json"],
            environment=environment.of_user(user, record.uid, Path(sys.prefix), places),
            folder=Path("/"),
            deadline=Deadline.after(PATIENCE),
            doing=f"reaping the peons of {user}",
        )
        report = json.loads(outcome.stdout)
        told["destroyed"] += [f"{user}: {_named(each)}" for each in report["destroyed"]]
        told["failed"] += [f"{user}: {_named(each)}: {each['why']}" for each in report["failed"]]
    except (ExekutirError, OSError, ValueError, KeyError, TypeError) as error:
        told["refused"].append(f"{user}: {error}")


def _named(host: dict[str, Any]) -> str:
    return f"{host['provider']} {host['name']}"
