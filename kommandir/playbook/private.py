"""The short-lived directory of one run of ansible-runner: ours alone, and gone afterwards, or at the next start."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "ansible-"
#: Held until a new directory is locked: what is not locked yet looks abandoned to other steps that begin meanwhile.
_MAKING = threading.Lock()


@contextmanager
def directory(parent: Path) -> Iterator[Path]:
    """A directory of mode 0700 in ``parent`` (made where missing, 0700 too), removed at the end.

    It is locked while it is in use, so that a killed run's is known as such: those are removed first. OSError where
    the disk is full or read-only.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _MAKING:
        remove_abandoned(parent)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # a straggler may write there; the next start removes it
        os.close(handle)


def remove_abandoned(parent: Path) -> None:
    """Remove the directories of runs that were killed."""
    for path in parent.glob(f"{_PREFIX}*"):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)  # what can't be removed now is tried again at the next start
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
