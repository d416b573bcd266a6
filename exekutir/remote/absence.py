"""A kommandir that does not answer: since when, how often it was tried, when it is given up."""

from __future__ import annotations

import select
import time

from exekutir.remote.runs import RemoteRun
from kommandir.cancellation import Cancellation
from kommandir.errors import ExekutirError, KommandirError
from kommandir.events import EventStream
from kommandir.journal import now

#: Seconds between two attempts: at first, and at most.
PAUSE, LONGEST_PAUSE = 0.3, 5.0
#: Seconds after which it is told again what is waited for.
AGAIN = 15.0


class Absence:
    """From the first failed connection to the next line that comes."""

    def __init__(self, host: str, run: RemoteRun, events: EventStream, patience: float) -> None:
        self._host, self._run, self._events, self._patience = host, run, events, patience
        self._began: float | None = None
        self._since = ""
        self._why = ""
        self._attempts = 0
        self._told = 0.0

    @property
    def too_long(self) -> bool:
        """Whether the patience is at its end."""
        return self._began is not None and time.monotonic() - self._began > self._patience

    def wait(self, error: ExekutirError, cancellation: Cancellation | None) -> None:
        """Another attempt has failed: tell what is waited for, and return when it is time for the next one.

        A signal ends the wait early.
        """
        if self._began is None:
            self._began, self._since, self._why, self._attempts = time.monotonic(), now(), _reason(error), 0
        self._attempts += 1
        moment = time.monotonic()
        if moment - self._told > AGAIN:
            self._told = moment
            self._events.emit(
                "waiting", **{"for": f"{self._host} to answer again ({_reason(error)})"}, holder="", since=self._since
            )
        left = self._began + self._patience - moment
        pause = min(PAUSE * 1.6 ** (self._attempts - 1), LONGEST_PAUSE, max(left, PAUSE))
        poll = select.poll()
        if cancellation is not None:
            poll.register(cancellation.fileno(), select.POLLIN)
        poll.poll(pause * 1000)

    def over(self) -> None:
        """It answers."""
        if self._began is None:
            return
        seconds = time.monotonic() - self._began
        self._began, self._told = None, 0.0
        self._events.emit(
            "warning",
            message=f"the connection to {self._host} was lost for {seconds:.1f} s ({self._why}); "
            "nothing of the run is missing here",
        )

    def given_up(self, error: ExekutirError) -> KommandirError:
        """The error that ends the pursuit."""
        context = self._run.context
        return KommandirError(
            f"the kommandir failed: it does not answer since {self._since}",
            host=self._host,
            why=f"tried {self._attempts} times in {self._patience:g} s; the last time: {error}\n"
            f"the run {self._run.id} may go on there",
            hint=f"`exekutir {context} --attach` takes it up again; `exekutir cleanup` ends it",
        )


def _reason(error: ExekutirError) -> str:
    first = (error.why or "").strip().splitlines()
    return f"{error.what}: {first[0]}" if first else error.what
