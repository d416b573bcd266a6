"""Locks between processes of root on one host; they end with the process that holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kommandir.errors import LockError

#: Seconds that somebody else may hold a lock: a removal ends processes and deletes many files meanwhile.
PATIENCE = 300.0


@contextlib.contextmanager
def held(path: Path, what: str, *, passing: bool = False, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock file ``path``; with ``passing`` it is removed in the end. Raises LockError after ``patience`` s."""
    handle = _acquired(path, what, patience)
    try:
        yield
        if passing:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _acquired(path: Path, what: str, patience: float) -> int:
    deadline = time.monotonic() + patience
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            if time.monotonic() > deadline:
                raise LockError(
                    f"another process has held {what} for {patience:g} s", hint=f"see who: fuser {path}"
                ) from None
            time.sleep(0.02)
            continue
        # Its holder before may have removed it while we waited.
        if _is(handle, path):
            return handle
        os.close(handle)


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
