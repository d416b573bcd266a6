"""The clock of a remote kommandir, which may be wrong: its events are told by ours."""

from __future__ import annotations

import datetime
import time

from kommandir.events import Event, EventStream

#: Seconds of difference that are left alone: clocks differ a little, and lines take their time.
TOLERATED = 5.0


class Clock:
    """By how much the kommandir's clock is ahead, as far as its heartbeats tell."""

    def __init__(self, host: str, events: EventStream) -> None:
        self._host, self._events = host, events
        self._ahead: float | None = None

    def told(self, moment: object) -> None:
        """A heartbeat has told its time, in seconds since the epoch."""
        if not isinstance(moment, int | float):
            return
        ahead = float(moment) - time.time()
        if self._ahead is None and abs(ahead) > TOLERATED:
            word = "ahead" if ahead > 0 else "behind"
            self._events.emit(
                "warning", message=f"the clock of {self._host} is {abs(ahead):.0f} s {word}; times of events are ours"
            )
        # A line that was late makes it look behind; the one that took the least time is right.
        self._ahead = ahead if self._ahead is None else max(ahead, self._ahead)

    def corrected(self, event: Event) -> Event:
        """The event with its time by our clock."""
        ahead = self._ahead or 0.0
        if abs(ahead) <= TOLERATED:
            return event
        try:
            told = datetime.datetime.fromisoformat(str(event.get("time")))
        except ValueError:
            return event
        ours = told - datetime.timedelta(seconds=ahead)
        return {**event, "time": ours.isoformat(timespec="microseconds").replace("+00:00", "Z")}
