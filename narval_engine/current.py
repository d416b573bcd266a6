"""What an action can ask about the run of itself that is going on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any


class RunningStep:
    """One call of an action. ``plan`` and ``step`` say for which step, ``attempt`` counts from 1."""

    __slots__ = ("_callbacks", "_lock", "attempt", "cancelled", "deadline", "plan", "step")

    def __init__(self, plan: Any, step: Any, attempt: int = 1, deadline: float | None = None) -> None:
        self.plan = plan
        self.step = step
        self.attempt = attempt
        #: Monotonic time at which it has to be over, ``None`` for any time.
        self.deadline = deadline
        #: Why it is asked to end, ``None`` while it is not.
        self.cancelled: str | None = None
        self._callbacks: list[Callable[[], None]] = []
        # Re-entrant, because a signal handler may cancel while on_cancel holds it in the same thread.
        self._lock = threading.RLock()

    @property
    def remaining(self) -> float | None:
        """Seconds to the deadline, not below zero; ``None`` if there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Has ``callback`` called, once and from whichever thread cancels; at once if that has happened."""
        with self._lock:
            if self.cancelled is None:
                self._callbacks.append(callback)
                return
        callback()

    def cancel(self, reason: str) -> None:
        """Asks the action to end. A second time does nothing."""
        with self._lock:
            if self.cancelled is not None:
                return
            self.cancelled = reason
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


CURRENT: ContextVar[RunningStep] = ContextVar("narval_running_step")


def running() -> RunningStep:
    """The step for which the calling action runs. Raises LookupError outside of an action."""
    return CURRENT.get()
