"""The host's own users, made and removed by its own programs; a user that we did not make is never touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kommandir import process
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, UsageError
from kommandir.hosting.numbers import Slot

#: Begins the comment of each user that we made.
TAG = "exekutir job"
_LIMIT = 120.0
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A line of ``/etc/passwd``."""

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


def demand_ours(name: str) -> SystemUser | None:
    """The user of that name, if there is one; raises UsageError when we did not make it."""
    user = found(name)
    if user and not user.ours:
        raise UsageError(
            f"the user {name} of this host was not made for a job: left alone",
            why=f"its comment does not begin with `{TAG}`",
            hint="give the job another `uuid`",
        )
    return user


def make(name: str, uid: int, home: Path, slot: Slot | None) -> None:
    """Make a user without a password, with the slot's numbers for his peons. Raises KommandirError with the reason."""
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
    _call("useradd", *plain, *settings, "--uid", str(uid), "--home-dir", str(home), "--comment", f"{TAG} {name}", name)


def remove(name: str) -> None:
    """Remove a user, his group and his numbers; nothing to do when he is gone. No process of his may run."""
    if found(name):
        # By force: processes that have ended, but that nobody waits for, must not keep him.
        _call("userdel", "--force", name, good=(0, 6))
    if any(line.startswith(f"{name}:") for line in Path("/etc/group").read_text(errors="replace").splitlines()):
        _call("groupdel", name, good=(0, 6))
    for kind in ("uid", "gid"):
        file = Path(f"/etc/sub{kind}")
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        for _, first, count in (line.split(":") for line in lines if line.startswith(f"{name}:")):
            _call("usermod", f"--del-sub{kind}s", f"{first}-{int(first) + int(count) - 1}", name, good=(0, 6))


def _call(*command: str, good: tuple[int, ...] = (0,)) -> None:
    try:
        outcome = process.run(list(command), environment=_ENVIRONMENT, deadline=Deadline.after(_LIMIT))
    except FileNotFoundError as error:
        raise KommandirError(
            f"{command[0]} is not installed on the kommandir",
            hint="apt-get install passwd, or dnf install shadow-utils",
        ) from error
    if outcome.code not in good:
        raise KommandirError(f"{command[0]} failed with {outcome.end}", why=outcome.stderr or outcome.stdout)
