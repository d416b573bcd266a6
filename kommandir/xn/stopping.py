"""A signal or a deadline cancels the plans that run."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kommandir.xn.request import XnRequest

#: Seconds that ``select`` waits at most, where there is no deadline: it takes no infinity.
_LONGEST = 3600.0


@contextmanager
def watched(request: XnRequest, cancel: Callable[[str], None]) -> Iterator[None]:
    """While inside, ``cancel`` is called once when the request is stopped or its time is over."""
    reader, writer = os.pipe2(os.O_CLOEXEC)

    def watch() -> None:
        while True:
            limit = min(request.deadline.remaining(), _LONGEST)
            ready, _, _ = select.select([request.cancellation.fileno(), reader], [], [], limit)
            if reader in ready:
                return
            if ready or request.deadline.expired:
                cancel("stopped by a signal" if ready else f"it took longer than {request.deadline.given:g} s")
                return

    thread = threading.Thread(target=watch, name="recipe-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(writer, b"x")
        thread.join()
        os.close(writer)
        os.close(reader)
