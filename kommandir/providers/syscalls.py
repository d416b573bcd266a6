"""The system calls that namespaces need and Python 3.11 has no function for. Each raises OSError as ``os`` would."""

from __future__ import annotations

import ctypes
import os

NEWNS = 0x00020000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000

RDONLY = 1
NOSUID = 2
NODEV = 4
NOEXEC = 8
REMOUNT = 32
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18
DETACH = 2

_SET_DEATH_SIGNAL = 1
_SET_DUMPABLE = 4
_DROP_CAPABILITY = 24
_KEYCTL_JOIN_SESSION_KEYRING = 1
#: Numbers of (pivot_root, keyctl) by machine; the C library has no function for either.
_NUMBERS = {
    "x86_64": (155, 250),
    "aarch64": (41, 219),
    "riscv64": (41, 219),
    "loongarch64": (41, 219),
    "ppc64le": (203, 271),
    "s390x": (217, 280),
}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _number(index: int) -> int:
    machine = os.uname().machine
    if machine not in _NUMBERS:
        raise OSError(38, f"unknown system call number on {machine}")
    return _NUMBERS[machine][index]


def unshare(flags: int) -> None:
    """Give this process new namespaces; ``NEWPID`` holds for its next child."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """Mount, bind or change a mount, as mount(2) does; the OSError names the target."""
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    data = None if options is None else options.encode()
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), data), target)


def unmount(target: str, flags: int = 0) -> None:
    """Take a mount away."""
    _check(_libc.umount2(target.encode(), flags), target)


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root of this mount namespace and put the old root on ``old``."""
    _check(_libc.syscall(_number(0), new.encode(), old.encode()), "pivot_root")


def set_host_name(name: str) -> None:
    """Set the host name of this UTS namespace (64 bytes at most)."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def leave_session_keyring() -> None:
    """Start an empty session keyring, so that children don't possess the user's keys."""
    result = _libc.syscall(_number(1), _KEYCTL_JOIN_SESSION_KEYRING, None)
    if result < 0 and ctypes.get_errno() not in (
        38,
        1,
        13,
        122,
    ):  # no keyrings here, forbidden, over quota: none joined
        _check(result, "keyctl")


def allow_inspection() -> None:
    """Let processes of the same user see this one's files in /proc, which a change of user switches off."""
    _check(_libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def drop_capabilities() -> None:
    """Take the right to ever have capabilities from this process; it keeps what it has until it executes a program."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    for capability in range(last + 1):
        _check(_libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0), "prctl")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; it holds over the execution of a program."""
    _check(_libc.prctl(_SET_DEATH_SIGNAL, 9, 0, 0, 0), "prctl")
