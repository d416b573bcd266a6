"""What a provider knows of its peons: a directory a peon, with a record that is written before any effect.

The directory of a peon appears in one step, with its record in it, and goes in one step, when nothing but the record is
left, so that whatever a killed process leaves of a peon is listed with its job and can be destroyed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time

from kommandir.providers.faults import ProviderError, ProviderUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, object]

RECORD = "peon.json"
#: Seconds for which another process may hold a peon, where its provider does not need longer.
PATIENCE = 120.0
#: Names of directories that hold nothing of a peon but its record: before it is there, and when it is gone.
_FORMING, _GONE = ".forming-", ".gone-"
_LOCK = ".lock-"


def state_directory() -> str:
    """Where the providers of this user keep what they know: ``$EXEKUTIR_STATE`` or the XDG state directory."""
    own = os.environ.get("EXEKUTIR_STATE")
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.abspath(own or f"{base}/exekutir")


class Records:
    """The records of one provider's peons, below ``state_directory()``."""

    def __init__(self, provider: str, patience: float = PATIENCE) -> None:
        self.provider, self.patience = provider, patience
        self.directory = f"{state_directory()}/{provider}"

    def path(self, name: str) -> str:
        """The directory of a peon."""
        return f"{self.directory}/{name}"

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Hold a peon, so that nobody else changes it; children that live longer hold it on until they exec."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        path = f"{self.directory}/{_LOCK}{name}"
        handle = _lock(path, name, self.patience)
        try:
            self._sweep(name)
            yield
        finally:
            # Only the holder unlinks, and whoever waited looks whether the name is still its file.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.close(handle)

    def read(self, name: str) -> Record | None:
        """The record of a peon; {} where its directory has none that can be read, None where there is no directory."""
        directory = self.path(name)
        return _read(f"{directory}/{RECORD}") if os.path.isdir(directory) else None

    def owned(self, name: str, uuid: str) -> Record | None:
        """The record of a peon that must be the job's; raises ProviderUsageError when another job has that name."""
        record = self.read(name)
        if record is None:
            return None
        owner = record.get("uuid")
        if owner == uuid or (not record and _named_after(name, uuid)):
            return record
        whose = f"belongs to the job {owner}" if owner else "has no readable record and is not named after the uuid"
        raise ProviderUsageError(f"{name} {whose}, not to {uuid}: left alone ({self.path(name)})")

    def form(self, name: str, record: Record) -> str:
        """Make the directory of a peon, with its record, in one step; returns it. The peon must be held."""
        forming = self.path(f"{_FORMING}{name}")
        os.makedirs(forming, mode=0o700, exist_ok=True)
        _write(forming, record)
        os.rename(forming, self.path(name))
        _sync(self.directory)
        return self.path(name)

    def write(self, name: str, record: Record) -> None:
        """Replace the record of a peon in one step."""
        _write(self.path(name), record)

    def discard(self, name: str) -> None:
        """Remove what is left of a peon's directory, the record last. The peon must be held."""
        directory = self.path(name)
        if not os.path.isdir(directory):
            return
        for entry in os.listdir(directory):
            inner = f"{directory}/{entry}"
            if os.path.isdir(inner) and not os.path.islink(inner):
                os.rmdir(inner)
            elif entry != RECORD:
                os.unlink(inner)
        os.rename(directory, self.path(f"{_GONE}{name}"))
        self._sweep(name)

    def _sweep(self, name: str) -> None:
        """Remove what one who was killed left of a directory that was not yet, or no longer, a peon's."""
        for prefix in (_FORMING, _GONE):
            directory = self.path(f"{prefix}{name}")
            if os.path.isdir(directory):
                for entry in os.listdir(directory):
                    os.unlink(f"{directory}/{entry}")
                os.rmdir(directory)

    def names(self) -> list[str]:
        """The names of all peons, whole or half."""
        try:
            entries = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        return sorted(entry for entry in entries if not entry.startswith("."))


def _named_after(name: str, uuid: str) -> bool:
    """Whether a name says that it is the uuid's: ``PEON-UUID``, or ``UUID-gN`` as kommandirs are called."""
    return name.endswith(f"-{uuid}") or re.fullmatch(rf"{re.escape(uuid)}-g[0-9]+", name) is not None


def _lock(path: str, name: str, patience: float) -> int:
    deadline = time.monotonic() + patience
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            if time.monotonic() > deadline:
                raise ProviderError(
                    f"another process has held {name} for {patience:g} s; see who: fuser {path}"
                ) from None
            time.sleep(0.02)
            continue
        if _same_file(handle, path):
            return handle
        os.close(handle)


def _same_file(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _read(path: str) -> Record:
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write(directory: str, record: Record) -> None:
    """Replace the record in one step; on the disk when this returns, as an effect follows that may outlive the host."""
    new = f"{directory}/{RECORD}.new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, f"{directory}/{RECORD}")
    _sync(directory)


def _sync(directory: str) -> None:
    """Wait until the names in a directory are on the disk; ``kommandir.atomic`` would cost a provider its start-up."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
