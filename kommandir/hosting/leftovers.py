"""What a job's user leaves on a kommandir: folders of his own, files in places that all share, mounts in between."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from kommandir import process
from kommandir.errors import LeftBehindError
from kommandir.providers import syscalls

#: Folders in which every user may put something.
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/var/mail", "/var/spool/cron/crontabs", "/run/screen")  # noqa: S108 -- they are what is swept
#: Folders of the kernel's segments, and the letter that ipcrm knows each kind by.
_SEGMENTS = {"shm": "m", "msg": "q", "sem": "s"}


def remove(folders: Sequence[Path]) -> None:
    """Remove folders with all that is in them; what is mounted there is let go first. None of them need be there.

    Raises LeftBehindError, which names what refused.
    """
    for folder in folders:
        _unmount(folder)
        if folder.is_dir() and not folder.is_symlink():
            _remove_tree(folder)
        else:
            folder.unlink(missing_ok=True)


def _remove_tree(folder: Path) -> None:
    refused: list[str] = []

    def noted(_call: object, path: str, told: tuple[type[BaseException], BaseException, object]) -> None:
        if not isinstance(told[1], FileNotFoundError):
            refused.append(f"{path}: {told[1]}")

    shutil.rmtree(folder, onerror=noted)
    if refused:
        raise LeftBehindError(
            f"{folder} can't be removed", why="\n".join(refused[:5]), hint="look at it with lsattr and findmnt"
        )


def _unmount(folder: Path) -> None:
    """Let go of what is mounted at ``folder`` or below it, the innermost first."""
    prefix = str(folder)
    for line in reversed(Path("/proc/self/mounts").read_text(errors="replace").splitlines()):
        place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[1])
        if place == prefix or place.startswith(f"{prefix}/"):
            with contextlib.suppress(OSError):  # removing the folder will tell, if it matters
                syscalls.unmount(place, syscalls.DETACH)


def sweep(numbers: Sequence[range]) -> None:
    """Remove what belongs to these users in the places that all share; numbers are used again."""
    for place in SHARED:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in list(os.scandir(place)):
                owner = entry.stat(follow_symlinks=False).st_uid
                if any(owner in each for each in numbers):
                    remove([Path(entry.path)])
    for kind, letter in _SEGMENTS.items():
        for identifier in _segments(kind, numbers):
            process.run(["ipcrm", f"-{letter}", identifier], environment={"PATH": "/usr/bin:/bin"})


def _segments(kind: str, numbers: Sequence[range]) -> list[str]:
    """The kernel's segments of that kind which these users own."""
    try:
        head, *lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
    except (OSError, ValueError):
        return []
    columns = head.split()
    rows = (dict(zip(columns, line.split(), strict=False)) for line in lines)
    return [row[f"{kind}id"] for row in rows if any(int(row["uid"]) in each for each in numbers)]
