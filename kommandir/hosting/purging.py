"""What a kommandir that lives for days gets rid of: users of jobs that nobody asks for, releases that nobody uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kommandir.errors import ExekutirError
from kommandir.hosting import disk, ending, peon_rootfs
from kommandir.hosting.accounts import Accounts
from kommandir.hosting.places import Places, own_release
from kommandir.hosting.records import Record

#: Seconds for which an unused release stays: its exekutir may be between two calls.
RELEASE_AGE = 3600.0
#: Seconds after which the user of a job that nobody asks for goes by itself: three days, as by default at set-up.
USER_AGE = 259200.0
#: Seconds between two looks that jobs cause.
EVERY = 3600.0


def purge(accounts: Accounts, *, older_than: float, releases_older_than: float = RELEASE_AGE) -> dict[str, Any]:
    """Remove what nobody has touched for so many seconds; what was removed, and what refused, comes back.

    A job of which a process runs is not touched. The answer: users, releases (names that are gone), refused (lines),
    and rootfs, that of peons, or None.
    """
    places = accounts.places

    def abandoned(record: Record) -> bool:
        return _is_old(record, places, older_than) and not at_work(record, places.releases)

    users, refused = _purged(accounts, abandoned)
    gone = []
    for name in unused_releases(accounts, releases_older_than):
        try:
            _remove_release(places, name)
            gone.append(name)
        except OSError as error:
            refused.append(str(disk.told(error, f"removing the release {name}")))
    accounts.replenish()
    return {"users": users, "releases": gone, "refused": refused, "rootfs": peon_rootfs.existing()}


def purge_at_times(accounts: Accounts) -> tuple[list[str], list[str]]:
    """Remove users that nobody has asked for in ``USER_AGE``, where that was not tried in ``EVERY``.

    More careful than a person who asks for it: a user of whom any process runs stays, were it a peon's. Gives the names
    of those that are gone, and what refused, as lines.
    """
    places = accounts.places
    with contextlib.suppress(FileNotFoundError):
        if time.time() - places.purged.stat().st_mtime < EVERY:
            return [], []
    with contextlib.suppress(OSError):  # on a full disk it is wanted most
        places.purged.touch()

    def abandoned(record: Record) -> bool:
        return _is_old(record, places, USER_AGE) and not ending.running(record.numbers, record.uid)

    return _purged(accounts, abandoned)


def _is_old(record: Record, places: Places, age: float) -> bool:
    return time.time() - last_touch(record, places) > age


def _purged(accounts: Accounts, abandoned: Callable[[Record], bool]) -> tuple[list[str], list[str]]:
    """Whom of those that are abandoned it removed, and what refused: one that does keeps none of the others."""
    users, refused = [], []
    for record in accounts.records.all():
        if abandoned(record):
            try:
                if accounts.remove(record.user, only=abandoned):
                    users.append(record.user)
            except ExekutirError as error:
                refused.append(str(error))
            except OSError as error:
                refused.append(str(disk.told(error, f"removing the user {record.user}")))
    return users, refused


def last_touch(record: Record, places: Places) -> float:
    """When somebody asked for the user, or one of its runs told something, in seconds since the epoch."""
    moments = [record.touched]
    home = places.homes / record.user
    with contextlib.suppress(OSError):
        for path in (home, home / "results" / "events.jsonl", *(places.jobs / record.user / "run").glob("*/*")):
            with contextlib.suppress(FileNotFoundError):
                moments.append(path.lstat().st_mtime)
    return max(moments)


def at_work(record: Record, releases: Path) -> bool:
    """Whether a release runs as the job's user; what belongs to its peons is no work of the job.

    By their command lines: in a container root may not see the environment of another user's processes.
    """
    own = ending.processes([range(record.uid, record.uid + 1)])
    return any(_command_line(pid).startswith(f"{releases}/") for pid in own)


def _command_line(pid: int) -> str:
    """The words of a process, each with a NUL after it; nothing of one that has just gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def unused_releases(accounts: Accounts, age: float) -> list[str]:
    """Releases that no job has used, that no process runs from, and that have been there for ``age`` seconds."""
    folder = accounts.places.releases
    names = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    used = {name for record in accounts.records.all() for name in record.releases} | {own_release()}
    running = "\0".join(_command_lines())
    return sorted(
        name
        for name in names - used
        if time.time() - _last_use(folder / name) > age and f"{folder}/{name}/" not in running
    )


def _last_use(release: Path) -> float:
    marks = (release, release / "complete.json")
    return max((mark.stat().st_mtime for mark in marks if mark.exists()), default=0.0)


def _command_lines() -> Iterator[str]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield _command_line(int(entry.name))


def _remove_release(places: Places, name: str) -> None:
    """Remove a release; its touchstone first, so that a release which is half gone is set up again."""
    (places.touchstones / f"{name}.yml").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (places.releases / name / "complete.json").unlink()
    shutil.rmtree(places.releases / name)
