"""Leases: locks between hosts that share a file system, each lost by who stands still for longer than it lasts."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from exekutir.lock_holders import SIGN
from kommandir.cancellation import Cancellation
from kommandir.errors import LockError

if TYPE_CHECKING:
    from filelock import LeaseCompromise

#: What filelock says of a loss, for people.
_REASONS = {
    "marker-missing": "its file was removed",
    "owner-changed": "another process has taken it",
    "refresh-failed": "its file could not be refreshed",
    "evicted": "another process took it for dead",
}


class Lease:
    """The lease of one lock: when it is lost, ``cancellation`` is requested with an error that says so."""

    def __init__(self, folder: Path, name: str, length: float, cancellation: Cancellation) -> None:
        self.length = length
        self._path, self._name, self._cancellation = folder / f"{name}.lease", name, cancellation
        self._lost: LockError | None = None

    def lock(self, *, read_write: bool, shared: bool) -> ExclusiveLease | ReadWriteLease:
        """The lock itself."""
        return ReadWriteLease(self, self._path, shared) if read_write else ExclusiveLease(self, self._path)

    def compromised(self, loss: LeaseCompromise) -> None:
        """Called by filelock when it sees that the lease was lost."""
        self.lost(_REASONS.get(loss.reason, loss.reason) + (f": {loss.error}" if loss.error else ""))

    def lost(self, why: str) -> None:
        """Note the loss, and stop whatever goes on under the lock."""
        if self._lost is None:
            self._lost = LockError(
                f"lock {self._name} was lost: {why}",
                log=self._path,
                hint="another job may have it now, so this one stopped; run the same command again. Where hosts or the "
                "file system often stall for so long, raise the variable `lock_lease`",
            )
            self._cancellation.fail(self._lost)

    def demand_kept(self) -> None:
        """Raise LockError when it was lost."""
        if self._lost:
            raise self._lost

    @contextlib.contextmanager
    def watched(self, note: Path | None) -> Iterator[None]:
        """Give signs of life by touching ``note``, and look whether this process stood still for too long."""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over, note), name=f"lease {self._name}", daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event, note: Path | None) -> None:
        before = _moment()
        while not over.wait(min(SIGN, self.length / 10)):
            stood_still = _moment() - before
            before += stood_still
            # Whether somebody took it in the meantime, and has given it back, can't be known afterwards.
            if stood_still > self.length:
                self.lost(f"this process stood still for {stood_still:.0f} s, and the lease lasts {self.length:g} s")
                return
            if note:
                with contextlib.suppress(OSError):
                    os.utime(note)


def _moment() -> float:
    """Seconds on a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ExclusiveLease:
    """A lease for one."""

    def __init__(self, lease: Lease, path: Path) -> None:
        from filelock import SoftFileLease

        self._lock = SoftFileLease(path, lease_duration=lease.length, on_compromise=lease.compromised, mode=0o600)

    def attempt(self) -> None:
        """Take it; raises filelock's Timeout when somebody else has it."""
        self._lock.acquire(timeout=0)

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


class ReadWriteLease:
    """A lease for many, or for one."""

    def __init__(self, lease: Lease, path: Path, shared: bool) -> None:
        from filelock import SoftReadWriteLock

        self._lock = SoftReadWriteLock(
            path,
            is_singleton=False,
            heartbeat_interval=lease.length / 3,
            stale_threshold=lease.length,
            poll_interval=min(0.25, lease.length / 4),
            on_compromise=lease.compromised,
        )
        self._acquire = self._lock.acquire_read if shared else self._lock.acquire_write

    def attempt(self) -> None:
        """Take it; raises filelock's Timeout when somebody else has it."""
        self._acquire(timeout=0, blocking=False)

    def release(self) -> None:
        """Give it back."""
        self._lock.close()
