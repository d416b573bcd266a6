"""Disks of a kommandir that are full: a reserve of root's own for what must be done, and what is said."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from kommandir import atomic
from kommandir.errors import KommandirError
from kommandir.hosting.places import program

T = TypeVar("T")
#: Bytes of the reserve: for records, and for the host's own lists of users, of which useradd writes copies.
SIZE = 1 << 20
#: Bytes that must be free for a reserve to be made, so that it is not the reserve that fills the disk.
PLENTY = 8 * SIZE
#: Below so many free bytes a program that failed is taken to have failed for want of space.
NOTHING = 1 << 16
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """A file that takes room on root's disk only to give it up when there is no other."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def spent_on(self, work: Callable[[], T]) -> T:
        """What ``work`` gives; on a full disk it is called again, without the reserve. Raises what it raises."""
        try:
            return work()
        except OSError as error:
            if not full(error) or not self._given_up():
                raise
        return work()

    def make(self) -> None:
        """Make it where it is missing and there is plenty of room; that it can't be made is no error.

        Nobody else may be making it.
        """
        with contextlib.suppress(OSError):
            atomic.sweep(self.file)
            if not self.there and shutil.disk_usage(self.file.parent).free >= PLENTY:
                # No zeros: some file systems keep no room for them.
                atomic.write(self.file, os.urandom(SIZE), mode=0o600, durable=False)

    @property
    def there(self) -> bool:
        """Whether there is one."""
        return self.file.exists()

    def _given_up(self) -> bool:
        try:
            self.file.unlink()
        except OSError:
            return False
        return True


def full(error: OSError) -> bool:
    """Whether it says that there is no space left."""
    return error.errno in _FULL


def has_nothing_left(folder: Path) -> bool:
    """Whether nothing to speak of is free where a folder is."""
    told = os.statvfs(folder)
    # Of root's own share too, which a disk may keep back.
    return told.f_bfree * told.f_frsize < NOTHING


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let an OSError name ``path``, which is what a person looks for, and not a file that was to become it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def told(error: OSError, action: str) -> KommandirError:
    """An error of a file as one for people: which file, on which host, why, and what to do."""
    host, name = platform.node(), error.filename
    named = os.fsdecode(name) if isinstance(name, str | bytes) else "a file"
    if full(error):
        return KommandirError(
            f"{action}: no space is left for {named} on {host}",
            why=error.strerror,
            hint=f"free some space on {host}: df {_folder(named)}; {program()} purge --older-than 86400",
        )
    return KommandirError(
        f"{action}: {named} can't be read or written on {host}",
        why=str(error),
        hint=f"look at it as root of {host}: ls -ld {named}; findmnt -T {_folder(named)}; dmesg",
    )


def _folder(name: str) -> str:
    """The innermost folder of a path that is there, for commands that want one."""
    return str(next((each for each in Path(name).parents if each.is_dir()), Path("/")))
