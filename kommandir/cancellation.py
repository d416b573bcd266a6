"""How a signal stops work in order: a flag that waits can watch, never an exception out of the blue."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kommandir.errors import ExekutirError, StoppedError

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Cancellation:
    """Set once, by a signal or by an error elsewhere; waits select on ``fileno()``, loops call ``check()``."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._error: ExekutirError | None = None
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """A descriptor that becomes readable, and stays so, when work has to stop."""
        return self._reader

    @property
    def requested(self) -> bool:
        """Whether work has to stop."""
        return self.signal_number is not None or self._error is not None

    def request(self, signal_number: int) -> None:
        """Ask to stop; the first signal is remembered. Safe in a signal handler."""
        if self.signal_number is None:
            self.signal_number = signal_number
            os.write(self._writer, b"x")

    def fail(self, error: ExekutirError) -> None:
        """Ask to stop since something that the work relies upon is lost; for other threads than the one that works."""
        if self._error is None:
            self._error = error
            os.write(self._writer, b"x")

    def check(self, doing: str | None = None) -> None:
        """Raise StoppedError, or the error that somebody failed with, when work has to stop."""
        if self.signal_number is not None:
            raise StoppedError(self.signal_number, doing)
        if self._error is not None:
            raise self._error

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """While inside, SIGINT, SIGTERM and SIGHUP request this cancellation; main thread only."""

        def handle(number: int, _frame: FrameType | None) -> None:
            self.request(number)

        # The handler runs once the main thread runs Python code again, and a signal that another thread got, or that
        # came just before the main thread slept, does not wake it up. What is written at once does.
        woken = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        before = {number: signal.signal(number, handle) for number in STOPPING_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(woken)


def never() -> Cancellation:
    """A cancellation that nobody requests."""
    return Cancellation()
