"""The journal of a workspace: one JSON object a line, appended and fsynced, the intent before the effect.

It is what cleanup, status and the reaper read. A process may be killed in the middle of a line: a torn line is passed
over when reading, and closed before the next one is appended.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kommandir.atomic import sync_folder
from kommandir.errors import KommandirError

FILE_NAME = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    #: UTC, ISO 8601.
    time: str
    #: What was about to be done, or was done: ``peon_intent``, ``peon_created``, ``context_started``, ...
    action: str
    #: Everything else that the line says.
    data: dict[str, Any] = field(default_factory=dict)


class Journal:
    """An append-only file of entries; readable by its owner alone.

    Several processes may append at once: each line is one write under an advisory lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, action: str, /, **data: Any) -> None:
        """Append one entry and return when it is on the disk.

        Raises KommandirError when it cannot be written (disk full, read-only): then the effect must not happen.
        """
        entry = {"time": now(), "action": action, **data}
        line = json.dumps(entry, ensure_ascii=False, default=str).encode() + b"\n"
        try:
            self._write(line)
        except OSError as error:
            raise KommandirError(
                f"the journal can't be written: {error.strerror}",
                log=self.path,
                hint="free some space or make the workspace writable, then run `exekutir cleanup`",
            ) from error

    def _write(self, line: bytes) -> None:
        new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            data = b"\n" + line if torn else line
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            sync_folder(self.path.parent)

    def entries(self) -> Iterator[Entry]:
        """All whole entries, oldest first; none where there is no journal. Lines that were torn are passed over."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                data = json.loads(line)
                yield Entry(data.pop("time"), data.pop("action"), data)
            except (ValueError, KeyError, AttributeError):
                continue

    def peons(self) -> dict[str, PeonRecord]:
        """The last known state of each peon, by its inventory name, in the order in which they were first named."""
        peons: dict[str, PeonRecord] = {}
        for entry in self.entries():
            name = entry.data.get("peon")
            if entry.action.startswith("peon_") and name:
                peons[name] = _updated(peons.get(name), name, entry)
        return peons

    def contexts(self) -> dict[str, int | None]:
        """The exit code of the last transition to each context; None while one is under way or was killed."""
        ended: dict[str, int | None] = {}
        for entry in self.entries():
            if entry.action == "context_started":
                ended[entry.data["context"]] = None
            elif entry.action == "context_finished":
                ended[entry.data["context"]] = entry.data["exit_code"]
        return ended


@dataclass(frozen=True, slots=True)
class PeonRecord:
    """What the journal knows of a peon."""

    name: str
    #: intent, created, failed, up, kept, rebooted, destroy_intent, destroyed, leaked
    state: str
    #: The group of its provider, "" where none was told.
    provider: str = ""
    #: Its name at the provider.
    peon_name: str = ""
    uuid: str = ""
    #: When its lease ends, in seconds since the epoch; 0 where none was told.
    expires: int = 0
    #: Time of the last entry.
    time: str = ""

    @property
    def may_exist(self) -> bool:
        """Whether something may be there that has to be destroyed. A failed creation may have left half a host."""
        return self.state != "destroyed"


def _updated(known: PeonRecord | None, name: str, entry: Entry) -> PeonRecord:
    record = known or PeonRecord(name, "intent")
    told = {key: entry.data[key] for key in ("provider", "peon_name", "uuid", "expires") if entry.data.get(key)}
    return replace(record, state=entry.action.removeprefix("peon_"), time=entry.time, **told)


def now() -> str:
    """This moment in UTC, ISO 8601 with microseconds and a Z, as every file of ours writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
