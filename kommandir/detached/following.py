"""The events of a run, from any place on, as they come: JSON lines for a connection that may end at any moment.

Each line is a mapping with one of these keys:

- ``event``: an event, with ``next``, the place in the file from which to go on after it;
- ``heartbeat``: nothing has happened for HEARTBEAT seconds (and once at the start); its value is that place, ``now``
  this host's clock in seconds since the epoch;
- ``result``: what came of the run; the last line;
- ``died``: the run's process is gone and there is no result; ``why``; the last line.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

from kommandir.detached.folder import RunFolder
from kommandir.detached.watch import Watch
from kommandir.errors import UsageError

#: Seconds of silence after which a line says that we are there.
HEARTBEAT = 3.0
#: Seconds after which a reader that takes nothing is given up.
DEAF = 120.0
#: Bytes that are gathered for one write.
_GATHERED = 1 << 16


class ReaderGoneError(Exception):
    """Nobody reads any more."""


def follow(run: RunFolder, offset: int, output: int = 1) -> None:
    """Tell the events of a run from ``offset`` on until there is a result, it is known to have died, or nobody reads.

    Raises UsageError for a run that nobody knows and for an offset that is none.
    """
    if run.state == "unknown":
        raise UsageError(f"there is no run {run.id}", hint="`kommandir job status` shows which there are")
    sys.stdout.flush()
    os.set_blocking(output, False)
    teller = _Teller(output)
    try:
        with _Events(run, offset) as events, Watch(run, output) as watch:
            teller.beat(offset)
            while not _told(run, events, teller):
                if not watch.wait(max(0.0, HEARTBEAT - teller.silent)):
                    return
                if teller.silent >= HEARTBEAT:
                    teller.beat(events.offset)
    except ReaderGoneError:
        return
    finally:
        os.set_blocking(output, True)


def _told(run: RunFolder, events: _Events, teller: _Teller) -> bool:
    """Tell what is new; whether that was all there will ever be."""
    state = run.state  # asked before the events are read, so that none comes after them
    for line in events.new():
        teller.write(line)
    if state == "running":
        return False
    if state == "ended":
        teller.tell({"result": run.result})
    else:
        teller.tell({"died": run.id, "why": run.died_of()})
    return True


class _Events:
    """The lines of a file of events that were not told yet."""

    def __init__(self, run: RunFolder, offset: int) -> None:
        self.offset = offset
        self._path = run.events
        self._file: IO[bytes] | None = None
        if offset:
            self._demand_start_of_a_line(run)

    def _demand_start_of_a_line(self, run: RunFolder) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(max(self.offset - 1, 0))
                if self.offset > 0 and file.read(1) == b"\n":
                    return
        except OSError:
            pass
        raise UsageError(f"the events of {run.id} can't be told from {self.offset} on: no event begins there")

    def __enter__(self) -> _Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def new(self) -> Iterator[bytes]:
        """The lines to tell, some of them at once. A line that is torn for good is passed over."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return
        self._file.seek(self.offset)
        gathered: list[bytes] = []
        size = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self.offset += len(line)
            if _is_event(line):
                gathered.append(b'{"next": %d, "event": %s}\n' % (self.offset, line.strip()))
                size += len(gathered[-1])
            if size >= _GATHERED:
                yield b"".join(gathered)
                gathered, size = [], 0
        if gathered:
            yield b"".join(gathered)


def _is_event(line: bytes) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and "event" in found


class _Teller:
    """Writes to a pipe that may be full, or have nobody at its other end."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._quiet = select.poll()
        self._quiet.register(output, select.POLLOUT)
        self._last = time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._last

    def beat(self, offset: int) -> None:
        self.tell({"heartbeat": offset, "now": time.time()})

    def tell(self, line: dict[str, Any]) -> None:
        self.write(json.dumps(line).encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Raises ReaderGoneError when nobody takes it."""
        self._last = time.monotonic()
        while data:
            if not self._quiet.poll(DEAF * 1000):
                raise ReaderGoneError
            try:
                data = data[os.write(self._output, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ReaderGoneError from error
