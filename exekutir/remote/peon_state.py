"""The peons of a run that is under way on a remote kommandir: known here soon after each is begun there.

So a kommandir that dies in the middle of ``job.xn`` takes no peon's record with it, and cleanup on another one destroys
them all.
"""

from __future__ import annotations

import contextlib
import select
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

from exekutir.remote.control import ConnectionLostError
from exekutir.remote.sync import Sync
from kommandir.cancellation import Cancellation
from kommandir.errors import ExekutirError, StoppedError
from kommandir.events import Event, EventStream

#: Seconds between two times that the state is brought; a burst of peons is one.
PAUSE = 1.0


@contextlib.contextmanager
def followed(sync: Sync, events: EventStream) -> Iterator[None]:
    """While inside, bring the state of the peons back whenever ``events`` tells of one, in a thread of its own.

    A connection that is lost is tried again and again; whatever else keeps it from that is told once as a warning,
    since the run itself goes on.
    """
    keeper = _Keeper(sync, events)
    events.subscribe(keeper.hear)
    keeper.start()
    try:
        yield
    finally:
        events.unsubscribe(keeper.hear)
        keeper.end()


class _Keeper(threading.Thread):
    def __init__(self, sync: Sync, events: EventStream) -> None:
        super().__init__(name="state of the peons", daemon=True)
        self._over = Cancellation()
        self._sync = replace(sync, cancellation=self._over, events=None, reconnect_timeout=0.0)
        self._events = events
        self._wanted = threading.Event()
        self._told = False

    def hear(self, event: Event) -> None:
        if event.get("event") == "peon":
            self._wanted.set()

    def end(self) -> None:
        self._over.request(signal.SIGTERM)
        self._wanted.set()
        self.join()

    def run(self) -> None:
        while not self._over.requested:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._over.check()
                self._sync.pull_state()
            except StoppedError:
                return
            except ExekutirError as error:
                self._failed(error)
            select.select([self._over.fileno()], [], [], PAUSE)

    def _failed(self, error: ExekutirError) -> None:
        if isinstance(error, ConnectionLostError):
            self._wanted.set()
        elif not self._told:
            self._told = True
            self._events.emit("warning", message=f"should the kommandir die now, peons may be left: {error}")
