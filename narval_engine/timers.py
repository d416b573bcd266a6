"""What an engine does later: deadlines of calls, and attempts that wait before they are made."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable

from narval_engine.workers import Job


class Timers:
    """Things to do at a monotonic time, each for a job; an answer of the job makes them needless."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None], Job]] = []
        self._order = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, when: float, what: Callable[[], None], job: Job) -> None:
        """Has ``what`` called at that time, unless the job has been answered by then."""
        self._order += 1
        heapq.heappush(self._waiting, (when, self._order, what, job))

    def next(self) -> float | None:
        """When something is to be done next, ``None`` if nothing is."""
        waiting = self._waiting
        while waiting and waiting[0][3].answered:
            heapq.heappop(waiting)
        return waiting[0][0] if waiting else None

    def run_due(self) -> None:
        """Does whatever is due."""
        now = time.monotonic()
        while (when := self.next()) is not None and when <= now:
            heapq.heappop(self._waiting)[2]()
