"""Ending every process of a job's user, its peons' too: by the numbers that they run as."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kommandir.errors import LeftBehindError

_MANAGER = r"/user@{}\.service/(init\.scope|(app|session)\.slice/dbus[^/]*)$"
#: Seconds between TERM and KILL.
GRACE = 2.0
#: Seconds in which killed processes must be gone.
PATIENCE = 60.0


def processes(numbers: Sequence[range]) -> Iterator[int]:
    """The ids of processes that run, or may run again, as one of these users; those that have ended do not count."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and _belongs(int(entry.name), numbers):
            yield int(entry.name)


def _belongs(pid: int, numbers: Sequence[range]) -> bool:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    users = map(int, fields["Uid"].split())
    return fields["State"].split()[0] not in "ZX" and any(user in each for user in users for each in numbers)


def running(numbers: Sequence[range], user: int) -> int | None:
    """The id of a process that runs as one of these users, or None.

    The login manager's own processes of the user, and the bus, don't count: they are there as long as it knows him.
    """
    return next((pid for pid in processes(numbers) if not _is_manager(pid, user)), None)


def _is_manager(pid: int, user: int) -> bool:
    try:
        return bool(re.search(_MANAGER.format(user), Path(f"/proc/{pid}/cgroup").read_text(), re.MULTILINE))
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has just ended


def end(numbers: Sequence[range], grace: float = GRACE) -> int:
    """End them: TERM, ``grace`` seconds, KILL; how many there were. Raises LeftBehindError when some stay."""
    first = list(processes(numbers))
    _signalled(first, numbers, signal.SIGTERM)
    moment = time.monotonic() + grace
    while any(True for _ in processes(numbers)) and time.monotonic() < moment:
        time.sleep(0.02)
    moment = time.monotonic() + PATIENCE
    while left := list(processes(numbers)):
        if time.monotonic() > moment:
            ids = " ".join(map(str, left[:20]))
            raise LeftBehindError(
                f"processes of the job's user are still there {PATIENCE:g} s after SIGKILL: {ids}",
                hint=f"look at their state: ps -o pid,stat,wchan,args {ids.replace(' ', ',')}",
            )
        _signalled(left, numbers, signal.SIGKILL)
        time.sleep(0.02)
    return len(first)


def _signalled(pids: Sequence[int], numbers: Sequence[range], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                # The descriptor is bound to one process, so what is seen now holds for the signal.
                if _belongs(pid, numbers):
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)
