"""One thread that shows events, so that neither a slow terminal nor a fault of the display holds up the job."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from exekutir.display.follower import Event, Follower
from exekutir.display.output import Output

#: Events that may wait to be shown; a reader that stands still for longer makes the job wait, as with every program.
_WAITING = 20_000
#: Seconds that the end of a context waits until all of it is shown, so that what is printed next comes after it.
_SETTLING = 2.0


#: An event, what to call once all before it is shown, or the end.
_Item = Event | Callable[[], None] | None


class Painter(Protocol):
    """Shows events in one form; called by one thread alone."""

    @property
    def interval(self) -> float | None:
        """Seconds after which ``tick`` is called where no event comes; None for never."""

    @property
    def pause(self) -> float:
        """Seconds for which events are gathered after some were shown."""

    def take(self, events: Sequence[Event]) -> None:
        """Show events, in order."""

    def tick(self) -> None:
        """Nothing has happened for ``interval``."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Screen:
    """Hands events to a painter, in a thread of its own; a subscriber of the event stream."""

    def __init__(self, painter: Painter, errors: Output) -> None:
        self._painter, self._errors, self._follower = painter, errors, Follower()
        self._queue: queue.Queue[_Item] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._broken = False

    def __call__(self, event: Event) -> None:
        """Take one event; returns at once, except at the end of a context."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="display", daemon=True)
            self._thread.start()
        self._queue.put(event)
        if event.get("event") == "context_finished":
            self.settle(_SETTLING)

    def settle(self, seconds: float) -> None:
        """Return when everything so far is shown, at the latest after ``seconds``."""
        shown = threading.Event()
        self._queue.put(shown.set)
        shown.wait(seconds)

    def close(self) -> None:
        """Show what is left and leave the terminal as it was."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        going = True
        while going:
            batch = self._begun()
            # Before the rest of the queue: whatever this process told before any of these news is in the batch then.
            news = self._follower.news()
            self._fill(batch)
            if any(not isinstance(item, dict) for item in batch):  # somebody waits for all that was told so far
                news += self._follower.news()
            events = self._follower.merged([item for item in batch if isinstance(item, dict)], news)
            if events:
                self._guarded(partial(self._painter.take, events))
            elif not batch:
                self._guarded(self._painter.tick)
            for item in batch:
                if callable(item):
                    item()
            going = None not in batch
            if going and events:
                time.sleep(self._painter.pause)
        self._guarded(self._painter.close)

    def _begun(self) -> list[_Item]:
        """What comes next; nothing where the painter's interval passed."""
        try:
            return [self._queue.get(timeout=self._painter.interval)]
        except queue.Empty:
            return []

    def _fill(self, batch: list[_Item]) -> None:
        """Add all that waits."""
        with contextlib.suppress(queue.Empty):
            while not batch or batch[-1] is not None:
                batch.append(self._queue.get_nowait())

    def _guarded(self, work: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001  a fault of the display must not be one of the job
            self._broken = True
            self._errors.write(
                f"exekutir: the display broke ({error!r}); the job goes on, results/events.jsonl has it\n"
            )
            self._errors.flush()
