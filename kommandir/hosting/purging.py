"""What a kommandir that lives for days gets rid of: users of jobs that nobody asks for, releases that nobody uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kommandir.errors import ExekutirError
from kommandir.hosting import ending, numbers, peon_rootfs, reaping
from kommandir.hosting.accounts import Accounts
from kommandir.hosting.places import Places, own_release
from kommandir.hosting.records import Record

#: Seconds for which an unused release stays: its exekutir may be between two calls.
RELEASE_AGE = 3600.0


def purge(accounts: Accounts, *, older_than: float, releases_older_than: float = RELEASE_AGE) -> dict[str, Any]:
    """Remove what nobody has touched for so many seconds; what was removed, and what refused, comes back.

    A job of which a process runs is not touched. The answer: users, releases (names that are gone), refused (lines),
    and rootfs, that of peons, or None.
    """
    users, refused = [], []

    def abandoned(record: Record) -> bool:
        return time.time() - last_touch(record, accounts.places) > older_than and not at_work(
            record, accounts.places.releases
        )

    for record in accounts.records.all():
        if abandoned(record):
            try:
                if accounts.remove(record.user, only=abandoned):
                    users.append(record.user)
            except ExekutirError as error:
                refused.append(str(error))
    gone = [name for name in unused_releases(accounts, releases_older_than) if _removed(accounts.places, name)]
    return {"users": users, "releases": gone, "refused": refused, "rootfs": peon_rootfs.existing()}


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


def _removed(places: Places, name: str) -> bool:
    """Remove a release; its touchstone first, so that a release which is half gone is set up again."""
    (places.touchstones / f"{name}.yml").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (places.releases / name / "complete.json").unlink()
    shutil.rmtree(places.releases / name)
    return True


def status(accounts: Accounts) -> dict[str, Any]:
    """What there is: jobs, releases, running (our own), rootfs (that of peons), reaped, slots, free_bytes by place."""
    here = accounts.places
    records = accounts.records.all()
    layout = numbers.of_this_host()
    jobs = [
        {
            "user": record.user,
            "uid": record.uid,
            "state": record.state,
            "slot": record.slot.number if record.slot else None,
            "made": record.made,
            "touched": last_touch(record, here),
            "at_work": at_work(record, here.releases),
            "releases": list(record.releases),
        }
        for record in records
    ]
    releases = sorted(path.stem for path in here.touchstones.glob("*.yml"))
    used = sum(1 for record in records if record.slot)
    disks = {str(place): _free(place) for place in (here.homes, here.jobs, here.cache, here.releases)}
    slots = {"all": layout.slots, "used": used, "numbers": layout.size, "reduced": layout.reduced}
    known = {"rootfs": peon_rootfs.existing(), "running": own_release(), "reaped": reaping.last(here)}
    return {"jobs": jobs, "releases": releases, **known, "slots": slots, "free_bytes": disks}


def _free(place: Path) -> int | None:
    return shutil.disk_usage(place).free if place.is_dir() else None
