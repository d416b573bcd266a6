"""What a container does first when it is a kommandir; then it goes on as every peon does (``peon_init.py``).

It runs inside the container, as its root, with the container's own Python; nothing of the host comes along. It gives
ordinary users what they need to have peons of their own: numbers for their user namespaces, the right to use them, and
a directory for what lives as long as the container's boot.
"""

import os
import pwd
import re
import struct
import sys

_INIT = "/run/exekutir/init.py"
_LOGIN_DEFS = "/etc/login.defs"
_BLOCK, _SMALL_BLOCK = 65536, 4096
#: The most users who can have a block at the same time.
_SLOTS = 64
#: How many numbers all of that takes; with fewer, down to one block of full size, there are only small blocks.
MOST = _BLOCK * (_SLOTS + 1)
#: Of 16 small blocks, the container keeps the first three for itself and the last one, which has `nobody`.
_SMALL_FIRST, _SMALL_SLOTS = 3, 12
_RUNTIME = "/run/user"
_KEYS = "/etc/exekutir/authorized_keys"
#: Holds what root prepares for the jobs; they see it elsewhere, read-only.
_STORE = "/var/lib/exekutir/cache"
_HOOKS = "/etc/shadow-maint/useradd-post.d"
#: Run by useradd; $SUBJECT is the new user.
_HOOK = f"""\
#!/bin/sh -e
# No password, but not locked either: without PAM the SSH server lets nobody in whose account is locked.
usermod --password '*' "$SUBJECT"
# What a login manager would give to a user.
number=$(id -u "$SUBJECT")
install -d -m 0700 -o "$number" -g "$(id -g "$SUBJECT")" "{_RUNTIME}/$number"
"""
#: Each program with the number of the one capability that it needs: CAP_SETUID and CAP_SETGID.
_MAPPERS = (("/usr/bin/newuidmap", 7), ("/usr/bin/newgidmap", 6))
_REVISION_2_EFFECTIVE = 0x02000001


def blocks(count: int) -> tuple[int, int, int]:
    """Of ``count`` numbers: the size of a user's block for his peons, which block is the first, and how many there are.

    Where the numbers don't suffice for a block of full size, there are small ones.
    """
    slots = min(_SLOTS, count // _BLOCK - 1)
    return (_BLOCK, 1, slots) if slots > 0 else (_SMALL_BLOCK, _SMALL_FIRST, _SMALL_SLOTS)


def numbers() -> dict[str, int]:
    """How useradd shall hand out this container's numbers: settings of login.defs."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        size, first, slots = blocks(sum(int(line.split()[2]) for line in file))
    settings = {f"{kind}_MAX": min(60000, size * first - 1) for kind in ("UID", "GID")}
    for kind in ("UID", "GID"):
        settings[f"SUB_{kind}_MIN"] = size * first
        settings[f"SUB_{kind}_MAX"] = size * (first + slots) - 1
        settings[f"SUB_{kind}_COUNT"] = size
    return settings


def write_login_defs(settings: dict[str, int], path: str = _LOGIN_DEFS) -> None:
    """Put the settings, and closed homes, into login.defs, in place of what stands there."""
    text = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    for name, value in (*settings.items(), ("HOME_MODE", "0700")):
        line = f"{name} {value}"
        text, found = re.subn(rf"^#?{name}\s.*$", line, text, count=1, flags=re.MULTILINE)
        if not found:
            text += f"{line}\n"
    write(path, text, 0o644)


def write(path: str, text: str, mode: int) -> None:
    """Replace a file in one step."""
    new = f"{path}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.rename(new, path)


def allow_mapping() -> None:
    """Let newuidmap and newgidmap work where root lacks CAP_SYS_ADMIN: by a capability of the file, not by its owner.

    As root's they would need it over the caller's new namespace; as the caller's own they have it, being the owner's.
    """
    for program, capability in _MAPPERS:
        value = struct.pack("<5I", _REVISION_2_EFFECTIVE, 1 << capability, 0, 0, 0)
        try:
            os.setxattr(program, "security.capability", value)
            os.chmod(program, 0o755)  # noqa: S103 - takes the set-user-ID bit away
        except OSError as error:
            # Everything else works; who wants a peon is told by newuidmap. This is for `podman logs`.
            sys.stderr.write(f"{program}: {error.strerror}: no user of this kommandir can have peons\n")


def make_directories() -> None:
    """Make the directories of keys and, as /run is new at each start, those of users that there are."""
    for directory in (_KEYS, _RUNTIME, _HOOKS):
        os.makedirs(directory, 0o755, exist_ok=True)
    os.chmod(_STORE, 0o700)
    write(f"{_HOOKS}/exekutir", _HOOK, 0o755)
    for user in pwd.getpwall():
        if 1000 <= user.pw_uid < _BLOCK - 2:
            own = f"{_RUNTIME}/{user.pw_uid}"
            os.makedirs(own, 0o700, exist_ok=True)
            os.chown(own, user.pw_uid, user.pw_gid)


def main() -> None:
    """Prepare, and become the first process of every peon."""
    os.umask(0o022)
    write_login_defs(numbers())
    allow_mapping()
    make_directories()
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-I", "-S", _INIT])


if __name__ == "__main__":
    main()
