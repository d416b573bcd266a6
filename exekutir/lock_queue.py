"""First come, first served: who waits for a lock has a ticket, and nobody tries before those who came earlier.

Tickets are files with a number. Whoever gives no sign of life for a few seconds, by the clock of who looks, is passed
over, so neither a killed nor a stopped one keeps others waiting. A lock does not depend on them: at worst they are
unfair for a moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import asdict
from pathlib import Path

from exekutir.lock_holders import SIGN, SILENCE, Holder, read
from kommandir import atomic

#: Seconds after which a ticket without a sign of life is removed, whoever has it.
FORGOTTEN = 60.0


class Queue:
    """The place of one process in the queue of a lock; as a context it leaves at the end."""

    def __init__(self, folder: Path, holder: Holder) -> None:
        self._folder, self._holder = folder, holder
        self._ticket: Path | None = None
        self._shown = 0.0
        #: Tickets of others: their last sign of life, and when it was first seen here.
        self._seen: dict[str, tuple[int, float]] = {}

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ticket:
            with contextlib.suppress(OSError):
                self._ticket.unlink(missing_ok=True)

    def first(self) -> bool:
        """Whether nobody who is alive came earlier."""
        mine = self._ticket.name if self._ticket else None
        return not any(self._waits(ticket) for ticket in self._tickets() if mine is None or ticket.name < mine)

    def wait(self) -> None:
        """Take a ticket, or give a sign of life."""
        if time.monotonic() - self._shown < SIGN:
            return
        self._shown = time.monotonic()
        # Without a ticket (the disk is full) it waits all the same, only not in turn.
        with contextlib.suppress(OSError):
            if self._ticket and self._ticket.exists():
                os.utime(self._ticket)
            else:
                self._ticket = self._taken()

    def _taken(self) -> Path:
        numbers = [int(ticket.name.split(".queue.")[1].split(".")[0]) for ticket in self._tickets()]
        ticket = self._folder / f"{self._holder.lock}.queue.{max(numbers, default=0) + 1:012d}.{secrets.token_hex(4)}"
        atomic.write(ticket, json.dumps(asdict(self._holder)), mode=0o600, durable=False)
        return ticket

    def _tickets(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._holder.lock}.queue.[0-9]*"))

    def _waits(self, ticket: Path) -> bool:
        holder = read(ticket)
        try:
            sign = ticket.stat().st_mtime_ns
        except OSError:
            return False
        moment = time.monotonic()
        if ticket.name not in self._seen or self._seen[ticket.name][0] != sign:
            self._seen[ticket.name] = (sign, moment)
        silent = moment - self._seen[ticket.name][1]
        if silent > FORGOTTEN or (holder and not holder.alive):
            ticket.unlink(missing_ok=True)
            return False
        return silent <= SILENCE
