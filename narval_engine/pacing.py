"""How quick plans go the same way twice, although their actions run in threads."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from narval_engine.plans import Plan
from narval_engine.workers import Job

#: So long, in seconds, a call may hold back the answers of calls that began after it, and steps of other plans.
PATIENCE = 0.05


class Holding:
    """Whether the next step is held back: it looks for elements, and a call of another plan may be making them.

    For as long as such a call is quick; and those that became ready together are held back no longer than that.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self, queued: Sequence[tuple[Plan, int]], running: Collection[Job]) -> bool:
        """Looks at the first step that is queued, and the calls that run."""
        if not queued or not running:
            self._since = None
            return False
        plan, number = queued[0]
        now = time.monotonic()
        if not plan.program.steps[number].inputs or (self._since or now) + PATIENCE <= now:
            return False
        root = plan.root
        if not any(job.call.plan.root is not root and job.begun + PATIENCE > now for job in running):
            return False
        self._since = self._since or now
        return True
