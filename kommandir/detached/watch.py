"""Waiting for something to happen to a run: to its files, to its process, to who is told."""

from __future__ import annotations

import ctypes
import os
import select
from pathlib import Path

from kommandir.detached.folder import RunFolder

#: Seconds between two looks where the kernel can't tell of changes (it has too many watchers already).
_BLIND = 0.2
_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x2, 0x8, 0x80, 0x100


class Watch:
    """Wakes on changes in a run's folder, on the end of its process, and when ``reader`` has nobody at its other end.

    As a context it gives its descriptors back.
    """

    def __init__(self, run: RunFolder, reader: int) -> None:
        self._poll = select.poll()
        self._reader = reader
        self._poll.register(reader, 0)  # its end alone
        self._changes = _changes(run.path)
        self._process = _process(run)
        for handle in (self._changes, self._process):
            if handle is not None:
                self._poll.register(handle, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Return when something has happened, or after some time; whether there is still a reader."""
        longest = seconds if self._changes is not None else min(seconds, _BLIND)
        for handle, _ in self._poll.poll(longest * 1000):
            if handle == self._changes:
                os.read(handle, 1 << 16)
            elif handle == self._process:
                self._poll.unregister(handle)
            elif handle == self._reader:
                return False
        return True

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in (self._changes, self._process):
            if handle is not None:
                os.close(handle)


def _changes(folder: Path) -> int | None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = int(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    if handle < 0:
        return None
    mask = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE
    if libc.inotify_add_watch(handle, os.fsencode(folder), mask) < 0:
        os.close(handle)
        return None
    return handle


def _process(run: RunFolder) -> int | None:
    record = run.record
    if record is None:
        return None
    try:
        return os.pidfd_open(int(record["pid"]))
    except OSError:  # it is gone: who waits finds that out by asking
        return None
