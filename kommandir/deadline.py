"""Deadlines on the monotonic clock: how long a wait may still take, and what it waits for."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from kommandir.errors import TimeOutError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock (seconds), or never (``math.inf``)."""

    #: The moment, as ``time.monotonic()`` gives it.
    moment: float
    #: How many seconds were given, for messages.
    given: float

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """A deadline ``seconds`` from now; None means never."""
        if seconds is None:
            return cls(math.inf, math.inf)
        return cls(time.monotonic() + seconds, seconds)

    @classmethod
    def never(cls) -> Deadline:
        """A deadline that does not pass."""
        return cls.after(None)

    def remaining(self) -> float:
        """Seconds that are left, 0 at least, ``math.inf`` for never."""
        return max(0.0, self.moment - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.remaining() == 0.0

    def within(self, seconds: float | None) -> Deadline:
        """The earlier one of this deadline and ``seconds`` from now."""
        other = Deadline.after(seconds)
        return other if other.moment < self.moment else self

    def check(self, waiting_for: str, *, host: str | None = None, hint: str | None = None) -> None:
        """Raise TimeOutError, which says what was waited for, when the deadline has passed."""
        if self.expired:
            raise TimeOutError(f"gave up after {self.given:g} s waiting for {waiting_for}", host=host, hint=hint)
