"""Clocks: the real one, and one that tests set."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """What the engine asks the time; ``waits`` says whether it goes on by itself, so that waiting makes sense."""

    waits: bool

    def now(self) -> float:
        """Seconds since the epoch."""
        ...


class SystemClock:
    """The clock of the system."""

    waits = True

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class ManualClock:
    """Stands still until it is set. ``Engine.run`` returns where only time could make something happen."""

    waits = False

    def __init__(self, now: datetime | float = 0.0) -> None:
        self._now = _seconds(now)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def set(self, now: datetime | float) -> None:
        """Sets the time; a datetime without a zone is local time."""
        self._now = _seconds(now)

    def advance(self, seconds: float) -> None:
        """Lets so much time pass."""
        self._now += seconds


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
