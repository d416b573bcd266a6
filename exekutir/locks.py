"""The locks of a kommandir: ``NAME.setup`` exclusive, ``NAME.use`` shared, and that of a workspace.

``setup`` is held while the kommandir is discovered, created, set up or destroyed; ``use`` while a job uses it, and
exclusively to destroy it. Always in the order setup, use; ``use`` is taken before ``setup`` is given up (operational
overview; ``design.md``, "Locks"). On one host the locks are the kernel's: a killed holder frees its own at once. In a
folder that hosts share they are leases: a holder that was killed loses his when it ends, and one that lost his while he
lives is stopped. Who waits longest is served first. Beside each lock its holders leave a note, so that who waits can
say for whom.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exekutir import lock_kinds
from exekutir.lock_holders import Holder, holders
from exekutir.lock_leases import Lease
from exekutir.lock_queue import Queue
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, LockError

__all__ = ["Holder", "LockFolder", "holders", "lock_folder"]

#: Seconds between two tries; short enough that a freed lock is had at once for a person. A shared file system has more
#: work with each.
PAUSE, SHARED_PAUSE = 0.1, 0.5

#: Told, again and again while waiting, what is waited for and who holds it.
Waiting = Callable[[str, "list[Holder]"], None]


class _Lock(Protocol):
    """One way to lock; ``attempt`` raises filelock's Timeout when somebody else has it."""

    def attempt(self) -> None: ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LockFolder:
    """A folder of locks, and how to wait for them."""

    folder: Path
    job: str
    context: str
    deadline: Deadline
    cancellation: Cancellation
    waiting: Waiting
    #: The variable ``lock_lease``: seconds that a lease lasts, 0 for locks of the kernel, None to find out.
    lease: float | None = None

    def setup(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold ``NAME.setup`` exclusively; raises LockError when the deadline passes first."""
        return self.exclusive(f"{name}.setup")

    def exclusive(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold a lock that only one may have."""
        return self._held(name, _Exclusive, shared=False)

    def use(self, name: str, *, shared: bool = True) -> contextlib.AbstractContextManager[None]:
        """Hold ``NAME.use``, together with others or, to destroy the kommandir, alone."""
        return self._held(f"{name}.use", _ReadWrite, shared=shared)

    @contextlib.contextmanager
    def _held(self, name: str, kernels: Callable[[Path, bool], _Lock], *, shared: bool) -> Iterator[None]:
        """Hold a lock. One that is lost requests the cancellation, and raises LockError at the end at the latest."""
        from filelock import SoftFileLockProtocolError

        try:
            with _usable(self.folder):
                length = lock_kinds.agreed(self.folder, self.lease)
                lease = Lease(self.folder, name, length, self.cancellation) if length else None
                lock: _Lock = (
                    lease.lock(read_write=kernels is _ReadWrite, shared=shared)
                    if lease
                    else kernels(self.folder / f"{name}.lock", shared)
                )
                self._acquire(name, lock, length)
        except SoftFileLockProtocolError as error:
            raise _unfit(self.folder, str(error)) from error
        try:
            with self._noted(name, lease):
                yield
        finally:
            lock.release()
        if lease:
            lease.demand_kept()

    def _acquire(self, name: str, lock: _Lock, length: float) -> None:
        import select

        from filelock import Timeout

        pause = min(SHARED_PAUSE, length / 20) if length else PAUSE
        with Queue(self.folder, Holder.this(name, self.job, self.context)) as queue:
            while True:
                if queue.first():
                    with contextlib.suppress(Timeout):
                        return lock.attempt()
                held_by = holders(self.folder, name)
                if self.deadline.expired:
                    raise _not_had(name, self.folder, held_by, self.deadline)
                queue.wait()
                self.waiting(name, held_by)
                select.select([self.cancellation.fileno()], [], [], min(pause, self.deadline.remaining()))
                self.cancellation.check(f"waiting for lock {name}")

    @contextlib.contextmanager
    def _noted(self, name: str, lease: Lease | None) -> Iterator[None]:
        holder = Holder.this(name, self.job, self.context, lease.length if lease else 0.0)
        note: Path | None = None
        with contextlib.suppress(OSError):  # a note is a courtesy: a full disk must not keep anybody from cleaning up
            note = holder.noted(self.folder, "holder")
        try:
            with lease.watched(note) if lease else contextlib.nullcontext():
                yield
        finally:
            if note:
                note.unlink(missing_ok=True)


class _Exclusive:
    """The kernel's lock on a file, for one."""

    def __init__(self, path: Path, _shared: bool) -> None:
        from filelock import FileLock

        self._lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True, mode=0o600)

    def attempt(self) -> None:
        self._lock.acquire(timeout=0)

    def release(self) -> None:
        self._lock.release()


class _ReadWrite:
    """The kernel's lock, for many or for one."""

    def __init__(self, path: Path, shared: bool) -> None:
        from filelock import ReadWriteLock

        self._lock = ReadWriteLock(path, is_singleton=False)
        self._acquire = self._lock.acquire_read if shared else self._lock.acquire_write

    def attempt(self) -> None:
        self._acquire(timeout=0, blocking=False)

    def release(self) -> None:
        self._lock.release()
        self._lock.close()


def lock_folder(variables: Mapping[str, Any]) -> Path:
    """The folder of the locks: the variable ``lock_dir``, else one of this user."""
    named = variables.get("lock_dir")
    if named:
        return Path(str(named)).expanduser()
    state = os.environ.get("EXEKUTIR_STATE") or os.environ.get("XDG_STATE_HOME", "~/.local/state") + "/exekutir"
    return Path(state).expanduser() / "locks"


def _not_had(name: str, folder: Path, held_by: list[Holder], deadline: Deadline) -> LockError:
    why = "\n".join(f"held by {holder}" for holder in held_by) or "its holder left no note"
    return LockError(
        f"lock {name} was not had within {deadline.given:g} s",
        why=why,
        log=folder / f"{name}.lock",
        hint="wait for that job, end it, or give more time with the variable `lock_timeout`",
    )


def _unfit(folder: Path, why: str) -> KommandirError:
    return KommandirError(
        f"the locks in {folder} can't be used: leases need a file system with hard links",
        why=why,
        hint="name a folder on another file system with the variable `lock_dir`",
    )


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Make the folder; an OSError on it is an error that says what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        raise KommandirError(
            f"the locks in {folder} can't be used: {error.strerror or error}",
            hint="make that folder writable, or name another one with the variable `lock_dir`",
        ) from error
