"""Waits of tests for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for a condition; a busy machine may take its time."""
    moment = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < moment, "it never came to that"
        time.sleep(0.02)
