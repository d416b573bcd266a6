"""The users of jobs on a kommandir: made, found again and removed, whatever was killed in between.

A record of root's is written before anything is done, so what was half done is done again by the next call. Two calls
for one job wait for each other; what all jobs share is locked for moments only.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kommandir import atomic
from kommandir.errors import KommandirError, LockError, UsageError
from kommandir.hosting import disk, ending, environment, leftovers, locking, numbers, peon_rootfs, system_users
from kommandir.hosting.places import Places, own_release, program
from kommandir.hosting.records import MAKING, READY, REMOVING, Record, Records

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEY = re.compile(r"(ssh-[a-z0-9-]+|ecdsa-sha2-\S+|sk-\S+) [A-Za-z0-9+/=]+( .*)?")
_LOGIND = Path("/run/systemd/users")
_LINGER = Path("/var/lib/systemd/linger")


class Accounts:
    """All users that were made for jobs on this host; only root can make or remove one."""

    def __init__(self, places: Places | None = None) -> None:
        self.places = places or Places()
        self.records = Records(self.places.accounts)
        self.reserve = disk.Reserve(self.places.reserve)

    def add(self, user: str, key: str, *, rootfs: bool = True) -> dict[str, Any]:
        """Make the job's user, or find it, with ``key`` (lines of authorized keys) as what logs in; then all of it.

        The answer: user, uid, gid, home, state, cache, environment, slot ({number, first, count} or None),
        reduced (what peons lack here, for people, or None), rootfs (where that of its peons is ready, or None). With
        ``rootfs`` it is unpacked where this user's numbers have none yet, which takes seconds.

        On a full disk root's reserve is spent on it. Raises UsageError for what is no name, no key, or a user of this
        host, and where the user has another key and something of it runs; KommandirError, LockError, OSError.
        """
        demand_name(user)
        lines = _keys(key)
        answer = self.reserve.spent_on(lambda: self._added(user, lines, rootfs))
        self.replenish()
        return answer

    def _added(self, user: str, keys: str, rootfs: bool) -> dict[str, Any]:
        self._prepare()
        with self._of(user):
            record = self._claimed(user)
            if record.state == REMOVING:
                self._removed(record)
                record = self._claimed(user)
            self._demand_free(record, keys)
            self._furnish(record, keys)
            record = record.changed(state=READY, touched=time.time(), releases=_with_own(record.releases))
            self.records.write(record)
            return self._answer(record, rootfs)

    def remove(self, user: str, only: Callable[[Record], bool] | None = None) -> bool:
        """End all processes of the job's user and remove all that is its own; whether anything was removed.

        With ``only``, which is asked when nobody else is at work on the user, it may be left alone. On a full disk it
        goes on without writing down that it began. Raises UsageError for a user that was not made for a job,
        LeftBehindError for what can't be ended or removed, LockError, OSError.
        """
        demand_name(user)
        done = self.reserve.spent_on(lambda: self._ended(user, only))
        self.replenish()
        return done

    def replenish(self) -> None:
        """Make root's reserve again where it was spent and there is room by now; that it can't be made is no error."""
        with contextlib.suppress(OSError, LockError):
            if not self.reserve.there:
                self._prepare()
                with self._of_all():
                    self.reserve.make()

    def _ended(self, user: str, only: Callable[[Record], bool] | None) -> bool:
        self._prepare()
        with self._of(user):
            record = self.records.read(user)
            if record is None:
                known = system_users.demand_ours(user)
                if known is None:
                    return False
                # Its record is gone, the user is not: what is known of it suffices to remove it.
                record = Record(user=user, uid=known.uid, slot=None, state=REMOVING, made=0.0, touched=0.0)
            elif only and not only(record):
                return False
            self._removed(record)
            return True

    def _prepare(self) -> None:
        demand_root()
        here = self.places
        for folder, mode in ((here.accounts, 0o700), (here.jobs, 0o755), (here.keys, 0o755), (here.runtime, 0o755)):
            folder.mkdir(parents=True, exist_ok=True, mode=mode)

    @contextlib.contextmanager
    def _of(self, user: str) -> Iterator[None]:
        lock = self.places.accounts / f".{user}.lock"
        with locking.held(lock, f"the user {user}"):
            try:
                self.records.sweep(user)
                atomic.sweep(self.places.keys / user)
                yield
            finally:
                # Nothing stays of a user who is gone, or was never made.
                if not self.records.knows(user):
                    lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _of_all(self) -> Iterator[None]:
        with locking.held(self.places.accounts / ".lock", "the list of users"):
            self.records.sweep_last()
            yield

    def _claimed(self, user: str) -> Record:
        """The user with his numbers, recorded first; where somebody else has one of them by now he is forgotten."""
        try:
            return self._named(user)
        except system_users.TakenError:
            if record := self.records.read(user):
                self._removed(record)
            raise

    def _named(self, user: str) -> Record:
        with self._of_all():
            record = self.records.read(user)
            known = system_users.demand_ours(user)
            if record and (record.state == REMOVING or (record.state == READY and known)):
                return record
            if record is None:
                record = self._begun(user)
            # What is half made: perhaps not all of his lines were written, or removed.
            system_users.remove(user, known.gid if known else record.uid)
            system_users.make(user, record.uid, self.places.homes / user, record.slot)
            return record

    def _begun(self, user: str) -> Record:
        records = self.records.all()
        mine = {record.user for record in records}
        uid = self._free_number({record.uid for record in records})
        if uid is None:
            raise KommandirError(
                f"all {len(numbers.USERS)} user numbers of jobs are taken",
                hint=f"{program()} purge --older-than 86400",
            )
        others = [entry[1:] for kind in "ug" for entry in _ranges(f"/etc/sub{kind}id") if entry[0] not in mine]
        used = {record.slot.number for record in records if record.slot}
        slot = numbers.free_slot(numbers.of_this_host(), used, others)
        now = time.time()
        record = Record(user=user, uid=uid, slot=slot, state=MAKING, made=now, touched=now)
        self.records.last_number = uid
        self.records.write(record)
        return record

    def _free_number(self, taken: set[int]) -> int | None:
        """The next number that no user and no group has: the group of a job's user has it too."""
        taken |= {each.uid for each in system_users.everybody()} | set(system_users.groups().values())
        while (number := numbers.free_user(self.records.last_number, taken)) and system_users.is_taken(number):
            taken.add(number)
        return number

    def _demand_free(self, record: Record, keys: str) -> None:
        """Raise UsageError where somebody with another key is at work as this user."""
        file, user = self.places.keys / record.user, record.user
        if record.state != READY or not file.exists() or file.read_text() == keys:
            return
        if pid := ending.running(record.numbers, record.uid):
            raise UsageError(
                f"another workspace uses the uuid {user} on {platform.node()}, and something of it runs",
                why=f"process {pid} is the user's or a peon's of it, and the user's key is another one",
                hint=f"call exekutir for that workspace, or choose another `uuid`; where that workspace is lost: "
                f"{program()} remove-user {user}",
            )

    def _furnish(self, record: Record, keys: str) -> None:
        """Folders and keys of the user, as they must be, whatever is there."""
        here, user, uid = self.places, record.user, record.uid
        own = here.jobs / user
        for folder in (here.homes / user, own, own / "state", own / "run", here.runtime / str(uid)):
            _furnish_folder(folder, uid)
        with disk.writing(own / "slot"):
            atomic.write(own / "slot", f"{record.slot.number if record.slot else '-'}\n", durable=False)
        if _LOGIND.is_dir():
            # Or the login manager takes the runtime folder, and detached processes, away with the last connection.
            _LINGER.mkdir(parents=True, exist_ok=True)
            (_LINGER / user).touch()
        # Last: from now on he can log in.
        file = here.keys / user
        if not file.exists() or file.read_text() != keys:
            with disk.writing(file):
                atomic.write(file, keys, mode=0o644)

    def _answer(self, record: Record, rootfs: bool) -> dict[str, Any]:
        here, user = self.places, record.user
        layout = numbers.of_this_host()
        slot = record.slot
        none = f"none of the {layout.slots} slots of this kommandir is free: the job can have no peons on it"
        return {
            "user": user,
            "uid": record.uid,
            "gid": record.uid,
            "home": str(here.homes / user),
            "state": str(here.jobs / user / "state"),
            "cache": str(here.cache),
            "environment": environment.of_user(user, record.uid, Path(sys.prefix), here),
            "slot": {"number": slot.number, "first": slot.first, "count": slot.count} if slot else None,
            "reduced": layout.reduced if slot else none,
            "rootfs": peon_rootfs.unpacked_for(user) if slot and rootfs else None,
        }

    def _removed(self, record: Record) -> None:
        """Remove the user; what is his alone first, then his name and numbers, then what is known of him."""
        here, user = self.places, record.user
        if record.state != REMOVING or record.made:
            self._noted(record.changed(state=REMOVING))
        (here.keys / user).unlink(missing_ok=True)
        known = system_users.found(user)
        own: list[range] = []
        folders = [here.jobs / user]
        if known and known.ours and known.uid == record.uid:
            own = record.numbers
            folders += [here.homes / user, here.runtime / str(record.uid)]
        elif not system_users.is_foreign(user) and _is_owner(record.uid, here.homes / user):
            # He was never made whole, or is gone: by his numbers nothing is touched, as somebody else may have them.
            folders.append(here.homes / user)
        if not system_users.is_foreign(user):
            (_LINGER / user).unlink(missing_ok=True)
        ending.end(own[:1])
        ending.end(own, grace=0.0)  # peons: nothing in them is worth a wait
        leftovers.remove(folders)
        leftovers.sweep(own)
        with self._of_all():
            system_users.remove(user, known.gid if known else record.uid)
            self.records.discard(user)

    def _noted(self, record: Record) -> None:
        try:
            self.reserve.spent_on(lambda: self.records.write(record))
        except OSError as error:
            # What is removed now makes the room that is missing.
            if not disk.full(error):
                raise


def _furnish_folder(folder: Path, uid: int) -> None:
    """Give a folder to a user, for himself alone; never what he may have put in its place, as a link leads anywhere."""
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if disk.full(error):
            raise
        raise KommandirError(
            f"{folder} of the job's user is not what it was made: {error.strerror}",
            hint=f"{program()} remove-user, then run the same command again",
        ) from error
    try:
        os.fchown(handle, uid, uid)
        os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def _is_owner(uid: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_uid == uid
    return False


def demand_root() -> None:
    """Raise UsageError unless root calls."""
    if os.geteuid():
        raise UsageError("only root can do this", hint="call it as root, on the kommandir")


def demand_name(user: str) -> None:
    """Raise UsageError unless it can be the uuid of a job."""
    if not _NAME.fullmatch(user):
        raise UsageError(
            f"`{user}` can't be the name of a job's user",
            hint="small letters, digits and dashes, a letter first, 32 characters at most",
        )


def _keys(text: str) -> str:
    """The lines of public keys, without options of their own. Raises UsageError."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or not all(_KEY.fullmatch(line) for line in lines):
        raise UsageError(
            "standard input is no public key of OpenSSH", hint="give the content of a file like ~/.ssh/id_ed25519.pub"
        )
    return "".join(f"{line}\n" for line in lines)


def _ranges(path: str) -> list[tuple[str, int, int]]:
    from kommandir.providers import identities

    return identities.ranges(path)


def _with_own(releases: tuple[str, ...]) -> tuple[str, ...]:
    own = own_release()
    return releases if own is None or own in releases else (*releases, own)
