"""The locks of a kommandir: ``NAME.setup`` exclusive, ``NAME.use`` shared, and that of a workspace.

``setup`` is held while the kommandir is discovered, created, set up or destroyed; ``use`` while a job uses it, and
exclusively to destroy it. Always in the order setup, use; ``use`` is taken before ``setup`` is given up (operational
overview; ``design.md``, "Locks"). The locks are the kernel's: a killed holder frees its own at once. Beside each lock
its holders leave a note, so that who waits can say for whom.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kommandir import atomic
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, LockError
from kommandir.journal import now

#: Seconds between two tries; short enough that a freed lock is had at once for a person.
PAUSE = 0.1

#: Told, again and again while waiting, what is waited for and who holds it.
Waiting = Callable[[str, "list[Holder]"], None]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock."""

    lock: str
    pid: int
    #: Start of the process in clock ticks after boot, since process ids are used again.
    started: int
    host: str
    job: str
    context: str
    #: UTC, ISO 8601.
    since: str

    def __str__(self) -> str:
        return f"{self.context} of job {self.job} (process {self.pid} on {self.host}, since {self.since})"

    @property
    def alive(self) -> bool:
        """Whether the process is still there, as far as this host can tell."""
        return self.host != socket.gethostname() or process_start(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class LockFolder:
    """A folder of locks, and how to wait for them."""

    folder: Path
    job: str
    context: str
    deadline: Deadline
    cancellation: Cancellation
    waiting: Waiting

    def setup(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold ``NAME.setup`` exclusively; raises LockError when the deadline passes first."""
        return self.exclusive(f"{name}.setup")

    @contextlib.contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a lock that only one may have."""
        from filelock import FileLock, Timeout

        with _usable(self.folder):
            lock = FileLock(self.folder / f"{name}.lock", fallback_to_soft=False, preserve_lock_file=True, mode=0o600)
            self._acquire(name, lambda: lock.acquire(timeout=0), Timeout)
        try:
            with self._noted(name):
                yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def use(self, name: str, *, shared: bool = True) -> Iterator[None]:
        """Hold ``NAME.use``, together with others or, to destroy the kommandir, alone."""
        from filelock import ReadWriteLock, Timeout

        name = f"{name}.use"
        with _usable(self.folder):
            lock = ReadWriteLock(self.folder / f"{name}.lock", is_singleton=False)
            acquire = lock.acquire_read if shared else lock.acquire_write
            self._acquire(name, lambda: acquire(timeout=0, blocking=False), Timeout)
        try:
            with self._noted(name):
                yield
        finally:
            lock.release()
            lock.close()

    def _acquire(self, name: str, attempt: Callable[[], Any], refused: type[Exception]) -> None:
        import select

        while True:
            try:
                attempt()
            except refused:
                held_by = holders(self.folder, name)
                if self.deadline.expired:
                    raise _not_had(name, self.folder, held_by, self.deadline) from None
                self.waiting(name, held_by)
                select.select([self.cancellation.fileno()], [], [], min(PAUSE, self.deadline.remaining()))
                self.cancellation.check(f"waiting for lock {name}")
            else:
                return

    @contextlib.contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        pid = os.getpid()
        holder = Holder(name, pid, process_start(pid), socket.gethostname(), self.job, self.context, now())
        note = self.folder / f"{name}.holder.{holder.host}.{pid}"
        with contextlib.suppress(OSError):  # a note is a courtesy: a full disk must not keep anybody from cleaning up
            atomic.write(note, json.dumps(asdict(holder)), mode=0o600, durable=False)
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def lock_folder(variables: Mapping[str, Any]) -> Path:
    """The folder of the locks: the variable ``lock_dir``, else one of this user."""
    named = variables.get("lock_dir")
    if named:
        return Path(str(named)).expanduser()
    state = os.environ.get("EXEKUTIR_STATE") or os.environ.get("XDG_STATE_HOME", "~/.local/state") + "/exekutir"
    return Path(state).expanduser() / "locks"


def holders(folder: Path, name: str = "*") -> list[Holder]:
    """Who holds the lock ``name`` (a pattern) according to the notes, oldest first; notes of the dead are removed."""
    found = []
    for note in folder.glob(f"{name}.holder.*"):
        try:
            holder = Holder(**json.loads(note.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if holder.alive:
            found.append(holder)
        else:
            note.unlink(missing_ok=True)
    return sorted(found, key=lambda holder: holder.since)


def process_start(pid: int) -> int:
    """When a process started, in clock ticks after boot; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _not_had(name: str, folder: Path, held_by: list[Holder], deadline: Deadline) -> LockError:
    why = "\n".join(f"held by {holder}" for holder in held_by) or "its holder left no note"
    return LockError(
        f"lock {name} was not had within {deadline.given:g} s",
        why=why,
        log=folder / f"{name}.lock",
        hint="wait for that job, end it, or give more time with the variable `lock_timeout`",
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
