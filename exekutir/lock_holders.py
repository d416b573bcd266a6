"""Who holds a lock, and who waits for it: notes beside the locks. They are for people and for fairness; no lock
depends on them."""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from kommandir import atomic
from kommandir.journal import now

#: Seconds between two signs of life of who holds a lease or waits for a lock, and without one until he is passed over.
SIGN, SILENCE = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, or waits for it."""

    lock: str
    pid: int
    #: Start of the process in clock ticks after boot, since process ids are used again.
    started: int
    host: str
    job: str
    context: str
    #: UTC, ISO 8601.
    since: str
    #: Where the process id means something: the boot and the process namespace; "" in notes of older versions.
    space: str = ""
    #: Seconds after which a holder that gives no sign of life has lost the lock; 0: it is the kernel's.
    lease: float = 0.0

    def __str__(self) -> str:
        return f"{self.context} of job {self.job} (process {self.pid} on {self.host}, since {self.since})"

    @classmethod
    def this(cls, lock: str, job: str, context: str, lease: float = 0.0) -> Holder:
        """This process."""
        pid = os.getpid()
        return cls(lock, pid, process_start(pid), socket.gethostname(), job, context, now(), this_space(), lease)

    @property
    def alive(self) -> bool:
        """Whether the process is still there, as far as this host can tell."""
        here = self.space == this_space() if self.space else self.host == socket.gethostname()
        return not here or process_start(self.pid) == self.started

    def noted(self, folder: Path, kind: str) -> Path:
        """Write a note ``LOCK.KIND.HOST.PID.RANDOM``; raises OSError."""
        note = folder / f"{self.lock}.{kind}.{self.host}.{self.pid}.{secrets.token_hex(4)}"
        atomic.write(note, json.dumps(asdict(self)), mode=0o600, durable=False)
        return note


def read(note: Path) -> Holder | None:
    """The holder of a note; None where it is gone or broken."""
    try:
        return Holder(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def holders(folder: Path, name: str = "*") -> list[Holder]:
    """Who holds the lock ``name`` (a pattern) according to the notes, oldest first; notes of the dead are removed."""
    notes = {note: holder for note in folder.glob(f"{name}.holder.*") if (holder := read(note))}
    silent = set(_silent(folder, {note: holder for note, holder in notes.items() if holder.lease}))
    found = []
    for note, holder in notes.items():
        if holder.alive and note not in silent:
            found.append(holder)
        else:
            note.unlink(missing_ok=True)
    return sorted(found, key=lambda holder: holder.since)


def _silent(folder: Path, notes: dict[Path, Holder]) -> Iterable[Path]:
    """Notes of leases whose holder gave no sign of life for longer than the lease, by the file system's clock."""
    if not notes:
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            moment = os.fstat(probe.fileno()).st_mtime
    except OSError:
        moment = time.time()
    for note, holder in notes.items():
        try:
            if moment - note.stat().st_mtime > max(holder.lease, SILENCE):
                yield note
        except FileNotFoundError:
            continue


def process_start(pid: int) -> int:
    """When a process started, in clock ticks after boot; 0 where there is none, or only what waits for its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


def this_space() -> str:
    """Names the boot of this machine and the process namespace of this process; two hosts never have the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()
