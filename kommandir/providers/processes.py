"""Processes that are known by number and start time, so that a number used again is never taken for ours."""

from __future__ import annotations

import os
import select
import signal

from kommandir.providers.faults import ProviderError

#: Seconds that a killed process and all of its namespace may need to be gone.
PATIENCE = 30.0


def identity(pid: int) -> str:
    """What tells this process from every other one of that number: boot of the host and clock ticks since then.

    Raises ProcessLookupError when there is no such process, or only its exit code.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(3, "no such process", str(pid)) from None
    if fields[0] in "ZX":
        raise ProcessLookupError(3, "no such process", str(pid))
    return f"{fields[19]}@{boot()}"


def boot() -> str:
    """What tells this boot of the host from every other one."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def alive(pid: int, known_as: str) -> bool:
    """Whether the process recorded with ``identity`` still runs."""
    try:
        return pid > 0 and identity(pid) == known_as
    except ProcessLookupError:
        return False


def kill(pid: int, known_as: str, what: str) -> None:
    """Kill a recorded process and wait until it is gone, and with a namespace's first process all of that namespace.

    Raises ProviderError when it is still there after PATIENCE.
    """
    if pid <= 0:
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor is bound to one process, so a comparison made now holds for the signal.
        if not alive(pid, known_as):
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return
        wait = select.poll()
        wait.register(handle, select.POLLIN)
        if not wait.poll(int(PATIENCE * 1000)):
            raise ProviderError(
                f"{what} (process {pid}) is still there {PATIENCE:g} s after SIGKILL: look at its state "
                f"with ps -o pid,stat,wchan {pid}, then destroy it again"
            )
    finally:
        os.close(handle)
