"""Limits on a peon's memory and number of processes: control groups where the caller may make them, else per process.

Which of them holds is part of what a provider prints (``limits``): ``cgroup`` for the peon as a whole, ``each process``
(memory) or ``each user`` (processes) where the host allows only resource limits, ``none``.
"""

from __future__ import annotations

import contextlib
import os
import resource  # here, as a peon's first process has no host to import it from any more
import time

MEBIBYTE = 1 << 20
#: Where control groups are mounted.
MOUNT = "/sys/fs/cgroup"
_PREFIX = "exekutir-"
#: Seconds that a control group may need to be empty after its last process was killed.
_PATIENCE = 5.0
#: Files that set the limits, by controller, for version 1 and 2.
_FILES = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}


class Limits:
    """The limits of a peon: MiB of memory, number of processes; 0 means none."""

    __slots__ = ("memory", "processes")

    def __init__(self, memory: int, processes: int) -> None:
        self.memory, self.processes = memory, processes

    def wanted(self) -> dict[str, int]:
        """The limits that are asked for, by controller, in the unit of its file."""
        wanted = {"memory": self.memory * MEBIBYTE, "pids": self.processes}
        return {controller: value for controller, value in wanted.items() if value}


def places(name: str, mount: str = MOUNT) -> dict[str, str]:
    """The directories of the control groups that a peon shall have, by controller; only what this user may make.

    Version 1: below the caller's own group. Version 2: the groups that hold processes cannot have limited children, so
    the peon's stands beside the caller's own, or below the root.
    """
    found: dict[str, str] = {}
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return found
    for _, controllers, path in lines:
        for controller in controllers.split(","):
            above = f"{mount}/{controller}{path.rstrip('/')}"
            if controller in _FILES and os.access(above, os.W_OK) and not _read_only(above):
                found[controller] = f"{above}/{_PREFIX}{name}"
        if not controllers and os.path.exists(f"{mount}/cgroup.controllers"):
            found.update(unified(name, mount, path))
    return found


def unified(name: str, mount: str, path: str) -> dict[str, str]:
    """The places in a hierarchy of version 2, for a caller in the group ``path``."""
    for above in (f"{mount}{os.path.dirname(path)}".rstrip("/"), mount):
        if not os.access(f"{above}/cgroup.procs", os.W_OK):
            continue
        try:
            with open(f"{above}/cgroup.subtree_control", encoding="ascii") as file:
                given = file.read().split()
        except OSError:
            continue
        usable = {controller: f"{above}/{_PREFIX}{name}" for controller in _FILES if controller in given}
        if usable:
            return usable
    return {}


def _read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def apply(limits: Limits, groups: dict[str, str], pid: int) -> dict[str, str]:
    """Make the groups, put ``pid`` in and limit them; returns what holds, by `memory` and `processes`."""
    holds = {
        "memory": "each process" if limits.memory else "none",
        "processes": "each user" if limits.processes else "none",
    }
    for controller, value in limits.wanted().items():
        if controller in groups and _limit(groups[controller], controller, value, pid):
            holds["processes" if controller == "pids" else "memory"] = "cgroup"
    return holds


def _limit(group: str, controller: str, value: int, pid: int) -> bool:
    """Whether the limit holds; a host that refuses it (EACCES, EBUSY, ENOENT, EROFS) gets the weaker one."""
    try:
        os.makedirs(group, exist_ok=True)
        for file in _FILES[controller]:
            if os.path.exists(f"{group}/{file}"):
                _write(f"{group}/{file}", str(value))
                break
        else:
            return False
        _write(f"{group}/cgroup.procs", str(pid))
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def limit_process(limits: Limits, holds: dict[str, str]) -> None:
    """Give this process, and all that it starts, the resource limits for what no control group limits."""
    if holds["memory"] == "each process":
        resource.setrlimit(resource.RLIMIT_DATA, (limits.memory * MEBIBYTE,) * 2)
    if holds["processes"] == "each user":
        resource.setrlimit(resource.RLIMIT_NPROC, (limits.processes,) * 2)


def remove(groups: dict[str, str]) -> None:
    """Remove control groups; what is still in them is killed. Raises OSError when one stays."""
    for group in set(groups.values()):
        if os.path.basename(group).startswith(_PREFIX):
            _remove(group)


def _remove(group: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            os.rmdir(group)
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            _kill_members(group)
            time.sleep(0.005)
        else:
            return


def _kill_members(group: str) -> None:
    with contextlib.suppress(OSError), open(f"{group}/cgroup.procs", encoding="ascii") as file:
        for line in file:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line), 9)
