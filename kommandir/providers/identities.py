"""Which user and group numbers of this host a peon's 0 to 65535 are, and what to do where a host forbids that.

A peon's root is nobody on this host: its number comes from the user's range in ``/etc/subuid``, for root from there or
from a range of our own high above all others. So a peon that broke out would own nothing.
"""

from __future__ import annotations

import errno
import os

from kommandir.providers import syscalls
from kommandir.providers.faults import ProviderError, ProviderUsageError

COUNT = 65536
#: With so few a peon still has all numbers of Debian's packages and of some users of its own.
LEAST = 4096
#: The number of `nobody`, and of the group that sshd's own user is in.
_NOBODY = 65534
#: First number of root's own range, where ``/etc/subuid`` gives it none; above what distributions give to users.
ROOT_BASE = 0x60000000
_APPARMOR = "kernel.apparmor_restrict_unprivileged_userns"
_ELSE = "Use the provider podman or existing instead, or run as root"


class Identities:
    """The host's numbers that a peon gets: ``uids`` and ``gids`` are the first ones, ``count`` of each."""

    __slots__ = ("count", "gids", "uids")

    def __init__(self, uids: int, gids: int, count: int = COUNT) -> None:
        self.uids, self.gids, self.count = uids, gids, count

    @property
    def label(self) -> str:
        """A word for directories that hold files of these owners."""
        return f"{self.uids}-{self.gids}-{self.count}"

    def extents(self, first: int) -> list[tuple[int, int, int]]:
        """What a peon's numbers are outside, those from ``first`` on: (inside, outside, count) of each range."""
        return extents(first, self.count)


def extents(first: int, count: int) -> list[tuple[int, int, int]]:
    """The ranges of a peon that gets ``count`` numbers from ``first`` on; of few, the last one is its `nobody`."""
    if count > _NOBODY:
        return [(0, first, count)]
    return [(0, first, count - 1), (_NOBODY, first + count - 1, 1)]


def of_this_user() -> Identities:
    """The identities of the calling user's peons; raises ProviderError, which says what to set up."""
    return _of_root() if os.geteuid() == 0 else _of_ordinary(os.geteuid())


def of_user(name: str) -> Identities:
    """The identities of another, ordinary user's peons; raises ProviderError."""
    import pwd

    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ProviderUsageError(f"there is no user {name} here") from None
    if uid == 0:
        raise ProviderUsageError(f"{name} is root; only the peons of ordinary users share anything")
    return _of_ordinary(uid)


def _of_ordinary(uid: int) -> Identities:
    uids, gids = _granted("/etc/subuid", uid), _granted("/etc/subgid", uid)
    if uids is None or gids is None:
        which = "/etc/subuid" if uids is None else "/etc/subgid"
        user = _user_name(uid)
        raise ProviderError(
            f"{which} gives the user {user} no {COUNT} numbers of its own. "
            f"As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user} "
            f"(a range that nobody else has). {_ELSE}"
        )
    return Identities(uids[0], gids[0], min(COUNT, uids[1], gids[1]))


def _of_root() -> Identities:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        own = [tuple(map(int, line.split())) for line in file]
    if own != [(0, 0, 4294967295)]:
        # Root of a user namespace (a container): only what it has itself can be handed on.
        return Identities(0, 0, min(COUNT, max(first + count for first, _, count in own if first == 0)))
    uids, gids = (_granted(path, 0) or (free_block(ranges(path)), COUNT) for path in ("/etc/subuid", "/etc/subgid"))
    return Identities(uids[0], gids[0], min(COUNT, uids[1], gids[1]))


def few_of_this_user() -> int:
    """How many numbers an ordinary user has for peons, where that is less than a peon fills; else 0."""
    granted = [_granted(path, os.geteuid()) for path in ("/etc/subuid", "/etc/subgid")]
    count = min((found[1] if found else COUNT for found in granted), default=COUNT)
    return count if count < COUNT else 0


def ranges(path: str) -> list[tuple[str, int, int]]:
    """The lines of a subuid or subgid file; a missing file has none, a broken line counts for nothing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            fields = [line.strip().split(":") for line in file]
    except FileNotFoundError:
        return []
    return [(f[0], int(f[1]), int(f[2])) for f in fields if len(f) == 3 and f[1].isdigit() and f[2].isdigit()]


def _granted(path: str, uid: int) -> tuple[int, int] | None:
    """The first range of a user that a peon fills, else the largest that one can live with: first number and count."""
    names = {str(uid), _user_name(uid)}
    own = [(first, count) for name, first, count in ranges(path) if name in names and count >= LEAST]
    return next((entry for entry in own if entry[1] >= COUNT), max(own, key=lambda entry: entry[1], default=None))


def free_block(taken: list[tuple[str, int, int]], wanted: int = COUNT) -> int:
    """The first block of so many numbers from ROOT_BASE on that overlaps nobody's range."""
    base = ROOT_BASE
    for _, first, count in sorted(taken, key=lambda entry: entry[1]):
        if first < base + wanted and base < first + count:
            base = first + count
    return base


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def write_maps(pid: int, identities: Identities, own_first: bool = False) -> None:
    """Map the numbers of the fresh user namespace of process ``pid``.

    With ``own_first`` its root is the calling user and the peon's numbers follow from 1 on: a namespace in which the
    user can delete and hand over what belongs to peons.
    """
    uids, gids = identities.extents(identities.uids), identities.extents(identities.gids)
    if own_first:
        uids = [(0, os.geteuid(), 1), (1, identities.uids, identities.count)]
        gids = [(0, os.getegid(), 1), (1, identities.gids, identities.count)]
    for kind, ranges in (("uid", uids), ("gid", gids)):
        if os.geteuid() == 0:
            _write_map(pid, kind, ranges)
        else:
            _new_id_map(pid, kind, ranges)


def _write_map(pid: int, kind: str, ranges: list[tuple[int, int, int]]) -> None:
    text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)
    handle = os.open(f"/proc/{pid}/{kind}_map", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _new_id_map(pid: int, kind: str, ranges: list[tuple[int, int, int]]) -> None:
    program = f"new{kind}map"
    arguments = [program, str(pid), *(str(number) for entry in ranges for number in entry)]
    try:
        child = os.posix_spawnp(program, arguments, os.environ)
    except FileNotFoundError:
        raise ProviderError(f"{program} is not installed: apt-get install uidmap. {_ELSE}") from None
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise ProviderError(
            f"{program} refused ({' '.join(arguments)}; its own message is above). {program} must be set-user-ID root "
            f"or have file capabilities, and /etc/sub{kind} must give this user the range. {why_not()}"
        )


def why_not(proc_sys: str = "/proc/sys", number: int = 0) -> str:
    """Which setting of this host forbids user namespaces, and what to use instead; ``number`` is the errno met."""
    settings = (
        ("user/max_user_namespaces", "0", "user.max_user_namespaces is 0: sysctl user.max_user_namespaces=15000"),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "kernel.unprivileged_userns_clone is 0: sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            f"{_APPARMOR} is 1, Ubuntu's rule: sysctl {_APPARMOR}=0, or a profile with `userns,` for our Python",
        ),
    )
    found = [text for path, value, text in settings if _setting(f"{proc_sys}/{path}") == value]
    if not found and number == errno.ENOSPC:
        found = ["the limit user.max_user_namespaces is reached: destroy peons or raise it"]
    if not found:
        found = [
            "user namespaces are refused, as in a container with seccomp rules or on a kernel without CONFIG_USER_NS"
        ]
    return f"On this host {'; '.join(found)}. {_ELSE}."


def _setting(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def run_mapped(identities: Identities, action: list[str], *, own_first: bool, directory: int) -> int:
    """Run a program as root of a new user namespace, in ``directory`` (a descriptor); returns its exit code.

    Raises ProviderError where this host forbids user namespaces.
    """
    action = [_program(action[0]), *action[1:]]
    told, tell = os.pipe()
    mapped, go = os.pipe()
    child = os.fork()
    if child == 0:
        _mapped_child(action, directory, tell, mapped, (told, go))
    os.close(tell)
    os.close(mapped)
    try:
        answer = os.read(told, 16)
        if answer == b"new":
            write_maps(child, identities, own_first)
            os.write(go, b"g")
    finally:
        os.close(told)
        os.close(go)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if answer != b"new":
        raise ProviderError(why_not(number=int(answer or 0)))
    return code


def _program(name: str) -> str:
    """The path of a program; now, as the peon's numbers may not be let through to our own modules any more."""
    places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", *os.get_exec_path()]
    found = next((f"{place}/{name}" for place in places if os.access(f"{place}/{name}", os.X_OK)), None)
    if found is None:
        raise ProviderError(f"{name} is not installed")
    return found


def _mapped_child(action: list[str], directory: int, tell: int, mapped: int, others: tuple[int, int]) -> None:
    for handle in others:
        os.close(handle)
    try:
        syscalls.unshare(syscalls.NEWUSER)
    except OSError as error:
        os.write(tell, str(error.errno).encode())
        os._exit(1)
    try:
        os.write(tell, b"new")
        if os.read(mapped, 1):
            become_root()
            os.fchdir(directory)
            os.execv(action[0], action)
    finally:
        os._exit(127)


def become_root() -> None:
    """Become root of the user namespace this process is in, with no further groups."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
