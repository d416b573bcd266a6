"""Calls of a library that block, made so that a signal or a deadline ends the wait for them."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline

T = TypeVar("T")

#: Seconds after which the wait looks whether it still makes sense.
LOOK = 1.0


def waited(
    work: Callable[[], T],
    *,
    deadline: Deadline,
    cancellation: Cancellation,
    doing: str,
    host: str | None = None,
    look: Callable[[], None] | None = None,
) -> T:
    """What ``work`` returns, or raises; it runs in a thread.

    Raises TimeOutError or StoppedError, which say ``doing``, when the deadline passes or a signal comes first, and
    whatever ``look``, which is called every LOOK seconds, raises. ``work`` is left to itself then; what it returns
    later is closed, if it can be.
    """
    call = _Call(work)
    with call.ended as ended:
        call.start()
        while not call.done(ended, cancellation.fileno(), min(deadline.remaining(), LOOK)):
            if cancellation.requested:
                call.abandon()
                cancellation.check(doing)
            if deadline.expired:
                call.abandon()
                deadline.check(doing, host=host)
            if look is not None:
                call.guarded(look)
    return call.value()


class _Call(Generic[T]):
    """One call in a thread of its own."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._abandoned = False
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._over = False
        self.ended = _Pipe()

    def start(self) -> None:
        threading.Thread(target=self._run, name="waited", daemon=True).start()

    def _run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001  it is raised where the call is waited for
            self._finish(error=error)
        else:
            self._finish(result)

    def _finish(self, *result: T, error: BaseException | None = None) -> None:
        with self._lock:
            if not self._abandoned:
                self._result, self._error = list(result), error
                self._over = True  # the last: who sees it takes the result without the lock
                self.ended.wake()
                return
        for unwanted in result:
            close = getattr(unwanted, "close", None)
            if close is not None:
                close()

    def done(self, ended: int, stop: int, seconds: float) -> bool:
        """Wait for the end of the call, for ``stop`` to become readable, or for some time."""
        if not self._over:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            poll.register(stop, select.POLLIN)
            poll.poll(seconds * 1000)
        return self._over

    def abandon(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._abandoned = True
            unwanted = self._result
        for each in unwanted:
            close = getattr(each, "close", None)
            if close is not None:
                close()

    def guarded(self, look: Callable[[], None]) -> None:
        try:
            look()
        except BaseException:
            self.abandon()
            raise

    def value(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result[0]


class _Pipe:
    """Wakes whoever polls it, once; as a context it is the descriptor to poll."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._lock = threading.Lock()

    def wake(self) -> None:
        with self._lock:
            if self._writer >= 0:
                os.write(self._writer, b"x")

    def __enter__(self) -> int:
        return self._reader

    def __exit__(self, *_: object) -> None:
        with self._lock:
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1
