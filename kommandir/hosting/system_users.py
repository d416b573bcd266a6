"""The host's own users, made and removed by its own programs; a user that we did not make is never touched."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from kommandir import process
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, UsageError
from kommandir.hosting import disk
from kommandir.hosting.numbers import Slot

#: Begins the comment of each user that we made.
TAG = "exekutir job"
_LIMIT = 120.0
_ETC = Path("/etc")
#: Exit codes of useradd: the number is taken, the name is, as a user's or as a group's.
_TAKEN = (4, 9)
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class TakenError(KommandirError):
    """Somebody else has the name or the number, so the user was not made."""


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A line of ``/etc/passwd``, or what another directory of the host knows of a user."""

    name: str
    uid: int
    gid: int
    comment: str

    @property
    def ours(self) -> bool:
        """Whether we made it."""
        return self.comment.startswith(TAG)


def found(name: str) -> SystemUser | None:
    """The user of that name, or None."""
    return next((user for user in everybody() if user.name == name), None)


def everybody() -> list[SystemUser]:
    """All users of this host's own files."""
    fields = (line.split(":") for line in Path("/etc/passwd").read_text(errors="replace").splitlines())
    return [SystemUser(f[0], int(f[2]), int(f[3]), f[4]) for f in fields if len(f) == 7 and f[2].isdigit()]


def groups() -> dict[str, int]:
    """The names of all groups of this host's own files, with their numbers."""
    fields = (line.split(":") for line in Path("/etc/group").read_text(errors="replace").splitlines())
    return {f[0]: int(f[2]) for f in fields if len(f) == 4 and f[2].isdigit()}


def is_taken(number: int) -> bool:
    """Whether a user or a group has it, in whatever directory the host asks: LDAP and the like are in no file."""
    for lookup in (pwd.getpwuid, grp.getgrgid):
        with contextlib.suppress(KeyError):
            lookup(number)
            return True
    return False


def is_foreign(name: str) -> bool:
    """Whether somebody has that name, in whatever directory the host asks, whom we did not make."""
    user = found(name) or _elsewhere(name)
    return user is not None and not user.ours


def _elsewhere(name: str) -> SystemUser | None:
    with contextlib.suppress(KeyError):
        known = pwd.getpwnam(name)
        return SystemUser(known.pw_name, known.pw_uid, known.pw_gid, known.pw_gecos)
    return None


def demand_ours(name: str) -> SystemUser | None:
    """The user of that name in this host's own files, if there is one; raises UsageError when we did not make it.

    So it does when another directory of the host knows the name. What a cache of names still tells of a user of ours
    that is gone does not count.
    """
    user = found(name)
    if is_foreign(name):
        raise UsageError(
            f"the user {name} of this host was not made for a job: left alone",
            why=f"its comment does not begin with `{TAG}`",
            hint="give the job another `uuid`",
        )
    return user


def make(name: str, uid: int, home: Path, slot: Slot | None) -> None:
    """Make a user without a password, with the slot's numbers for his peons; his group has his number.

    Raises TakenError when somebody else has the name or the number, OSError when the disk is full, KommandirError with
    the reason for all else.
    """
    numbers = {"COUNT": 0}
    if slot:
        numbers = {"MIN": slot.first, "MAX": slot.last, "COUNT": slot.count}
    settings = [
        word
        for kind in ("UID", "GID")
        for key, value in numbers.items()
        for word in ("--key", f"SUB_{kind}_{key}={value}")
    ]
    # `*` is no password; `!` would also be none, but lock the account, and sshd without PAM lets no locked one in.
    plain = ["--no-create-home", "--shell", "/bin/bash", "--password", "*", "--no-log-init", "--user-group"]
    words = [*plain, *settings, "--uid", str(uid), "--home-dir", str(home), "--comment", f"{TAG} {name}", name]
    code, why = _call("useradd", *words, good=(0, *_TAKEN))
    made = found(name)
    if not code and made and made.gid != uid:
        # A group got the number in the meantime, so useradd took another one for his.
        remove(name, made.gid)
        code, why = _TAKEN[0], f"a group of this host has the number {uid}"
    if code:
        raise TakenError(
            f"the user {name} can't be made: his name, or the number {uid}, has become somebody else's",
            why=why,
            hint="run the same command again, which takes the next number; if the name is taken, choose another `uuid`",
        )


def remove(name: str, gid: int) -> None:
    """Remove a user of ours, his group, which has the number ``gid``, and his numbers; nothing to do when he is gone.

    No process of his may run. A user or a group of that name that we did not make is left alone.
    """
    user = found(name)
    if user and not user.ours:
        return
    if user:
        # By force: processes that have ended, but that nobody waits for, must not keep him.
        _call("userdel", "--force", name, good=(0, 6))
    if groups().get(name) == gid:
        _call("groupdel", name, good=(0, 6))
    for kind in ("uid", "gid"):
        file = Path(f"/etc/sub{kind}")
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        for _, first, count in (line.split(":") for line in lines if line.startswith(f"{name}:")):
            _call("usermod", f"--del-sub{kind}s", f"{first}-{int(first) + int(count) - 1}", name, good=(0, 6))


def _call(*command: str, good: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Its exit code, and what it said."""
    try:
        outcome = process.run(list(command), environment=_ENVIRONMENT, deadline=Deadline.after(_LIMIT))
    except FileNotFoundError as error:
        raise KommandirError(
            f"{command[0]} is not installed on the kommandir",
            hint="apt-get install passwd, or dnf install shadow-utils",
        ) from error
    if outcome.code not in good:
        if disk.has_nothing_left(_ETC):
            # They don't all say so, and whoever knows it can make room.
            why = f"{os.strerror(errno.ENOSPC)} ({command[0]}: {(outcome.stderr or outcome.end).strip()})"
            raise OSError(errno.ENOSPC, why, str(_ETC / "passwd"))
        raise KommandirError(f"{command[0]} failed with {outcome.end}", why=outcome.stderr or outcome.stdout)
    return outcome.code, outcome.stderr or outcome.stdout
