"""The stream of events of a job: displays, JUnit, summary and page only read it; nothing else is told to them.

One JSON object a line in ``results/events.jsonl``, redacted, appended to one file. It is no state: cleanup does not
need it.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kommandir.environment import JOB_TAG
from kommandir.journal import now
from kommandir.redaction import Redactor

FILE_NAME = "events.jsonl"
#: Names the file of events to other processes of a job, where it is not the workspace's own.
FILE_VARIABLE = "EXEKUTIR_EVENTS"

Event = dict[str, Any]
Subscriber = Callable[[Event], None]


def named_place(uuid: str, path: Path) -> str:
    """The value of FILE_VARIABLE that names ``path`` to the processes of the job ``uuid``."""
    return f"{uuid}:{path}"


def place(results: Path, environment: Mapping[str, str]) -> Path | None:
    """The file to which a process of a job appends: that which its environment names, else the one in ``results``.

    None where there is no such folder. What was named to another job, inside of which this one runs, is not ours.
    """
    uuid, _, named = environment.get(FILE_VARIABLE, "").partition(":")
    if named and uuid == environment.get(JOB_TAG):
        return Path(named)
    return results / FILE_NAME if results.is_dir() else None


class EventStream:
    """Redacts events, appends them to a file (where there is one) and hands them to subscribers, in order.

    Safe to use from several threads. When the file can't be written (disk full) the subscribers still get the
    events, a warning first; a job is not stopped for the lack of a log.
    """

    def __init__(self, path: Path | None, redactor: Redactor, context: str) -> None:
        self.path = path
        self.redactor = redactor
        self.context = context
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._broken = False
        self._begun = False

    def subscribe(self, subscriber: Subscriber) -> None:
        """Hand every further event to ``subscriber``."""
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Hand no more events to ``subscriber``."""
        with self._lock:
            self._subscribers.remove(subscriber)

    def emit(self, event: str, /, **data: Any) -> None:
        """Stamp, redact, store and hand out one event."""
        self._take({"time": now(), "event": event, "context": self.context, **self.redactor.value(data)})

    def relay(self, event: Event) -> None:
        """Redact, store and hand out an event of another stream as it stands, its time above all."""
        self._take(self.redactor.value(event))

    def _take(self, item: Event) -> None:
        with self._lock:
            self._store(item)
            for subscriber in self._subscribers:
                subscriber(item)

    def _store(self, item: Event) -> None:
        if self.path is None or self._broken:
            return
        line = json.dumps(item, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                data = line if self._begun else _after_torn(handle) + line
                if os.write(handle, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._begun = True
            finally:
                os.close(handle)
        except OSError as error:
            self._broken = True
            message = f"events are no longer stored in {self.path}: {error.strerror}"
            for subscriber in self._subscribers:
                subscriber({"time": item["time"], "event": "warning", "context": self.context, "message": message})


def _after_torn(handle: int) -> bytes:
    """What has to come before the next line: a killed process may have torn the last one."""
    size = os.fstat(handle).st_size
    return b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""


def read(path: Path) -> Iterator[Event]:
    """The events of a file, oldest first; none where there is no file; a torn line is passed over."""
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if isinstance(item, dict) and "event" in item:
                yield item
