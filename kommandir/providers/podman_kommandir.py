"""What makes a container of the provider podman a kommandir: room for jobs, each an ordinary user with his own peons.

Its root is nobody on this host, as that of a peon is, and has no more capabilities than podman gives by default. It
differs in what its *users* may do: have user namespaces and mount in them, which podman's filter of system calls and
its masks over /proc would prevent. They could do the same outside of a container.
"""

from __future__ import annotations

import os
import resource
import stat
import sys

from kommandir.providers import identities, kommandir_init, podman_engine, rootfs_cache, ssh
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Volumes: homes and state must not lie on an overlay, as the disks of jobs' peons are overlays whose upper side they
#: hold. That of unpacked root filesystems is there twice, as ``kommandir.shared_cache`` wants it.
_VOLUMES = {
    "homes": ("/home",),
    "state": ("/var/lib/exekutir",),
    "rootfs": (f"{rootfs_cache.STORE}/rootfs", f"{rootfs_cache.SHARED}/rootfs:ro"),
}
_TUN = "/dev/net/tun"
#: Limits of each user; a runtime may itself have no more processes than old kernels have numbers for.
_PROCESSES, _FILES = 32768, 1 << 20


class Room:
    """The numbers that a kommandir gets: extents of (first inside, first outside, count), for users and for groups."""

    __slots__ = ("gids", "uids")

    def __init__(self, uids: list[tuple[int, int, int]], gids: list[tuple[int, int, int]]) -> None:
        self.uids, self.gids = uids, gids

    @property
    def count(self) -> int:
        """How many numbers there are of either kind."""
        return min(sum(entry[2] for entry in extents) for extents in (self.uids, self.gids))

    @property
    def arguments(self) -> list[str]:
        """podman's arguments."""
        return podman_engine.id_maps(self.uids, self.gids)

    @property
    def variables(self) -> dict[str, int]:
        """How many jobs can have peons at the same time, and how many numbers each has for them."""
        size, _, slots = kommandir_init.blocks(self.count)
        return {"job_slots": slots, "job_identities": size}


def room(engine: podman_engine.Engine) -> Room:
    """The numbers for kommandirs of this user; raises ProviderError where he has none."""
    peons = identities.of_this_user()
    if os.geteuid() == 0:
        found = Room(_of_root("uid", peons.uids), _of_root("gid", peons.gids))
    else:
        found = Room(_of_user(engine, "uid"), _of_user(engine, "gid"))
    if found.count < identities.COUNT:
        raise ProviderError(f"a kommandir needs {identities.COUNT} user and group numbers; here are {found.count}")
    return found


def _of_root(kind: str, peons: int) -> list[tuple[int, int, int]]:
    """A block beside that of the peons, so that a peon which broke out is nobody to a kommandir either."""
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        own = sum(int(line.split()[2]) for line in file)
    if own < kommandir_init.MOST + identities.ROOT_BASE:
        # Root of a user namespace (a container): only what it has itself can be handed on.
        return [(0, 0, own)]
    taken = [*identities.ranges(f"/etc/sub{kind}"), ("", peons, identities.COUNT)]
    return [(0, identities.free_block(taken, kommandir_init.MOST), kommandir_init.MOST)]


def _of_user(engine: podman_engine.Engine, kind: str) -> list[tuple[int, int, int]]:
    """All that podman has of this user, but for the user himself."""
    lines = engine.demand("unshare", "cat", f"/proc/self/{kind}_map").splitlines()
    extents, inside = [], 0
    for first, _, count in (map(int, line.split()) for line in lines):
        skipped = 1 if first == 0 else 0
        if count > skipped:
            extents.append((inside, first + skipped, count - skipped))
        inside += count - skipped
    return extents


def tell(room: Room) -> None:
    """Say on standard error what a kommandir of few numbers lacks."""
    told = room.variables
    if told["job_identities"] < identities.COUNT:
        sys.stderr.write(
            f"podman: only {room.count} numbers are there for this kommandir, so the peons of a job have "
            f"{told['job_identities']}, and at most {told['job_slots']} jobs have peons at a time. "
            f"For whole ones, as root: usermod --add-subuids and --add-subgids with {kommandir_init.MOST} numbers, "
            "then podman system migrate\n"
        )


def arguments(name: str, directory: str, *, uplink: bool) -> list[str]:
    """podman's arguments beyond those of a peon, the numbers aside."""
    mounts = [f"{volume(name, kind)}:{place}" for kind, places in _VOLUMES.items() for place in places]
    given = [
        *("--security-opt", "seccomp=unconfined", "--security-opt", "unmask=ALL"),
        *("--tmpfs", "/run:rw,nosuid,nodev,mode=755", *_ulimits()),
        *(word for mount in mounts for word in ("--volume", mount)),
    ]
    return [*given, "--volume", f"{_tun(directory)}:{_TUN}:dev"] if uplink else given


def _ulimits() -> list[str]:
    """What each user of the kommandir may have; podman drops its settings of all limits where one is named."""
    kinds = (("nproc", resource.RLIMIT_NPROC, _PROCESSES), ("nofile", resource.RLIMIT_NOFILE, _FILES))
    limits = [(name, podman_engine.within(kind, most)) for name, kind, most in kinds]
    return [word for name, limit in limits for word in ("--ulimit", f"{name}={limit}:{limit}")]


def volume(name: str, kind: str) -> str:
    """The name of a kommandir's volume."""
    return f"exekutir-{name}-{kind}"


def _tun(directory: str) -> str:
    """The device for uplinks of jobs' peons: this host's, or for root one that the container's users may open."""
    if os.geteuid():
        return _TUN
    node = f"{directory}/tun"
    if not os.path.exists(node):
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 200))
        os.chmod(node, 0o666)  # noqa: S103 - in a directory that only root may enter
    return node


def make_volumes(engine: podman_engine.Engine, name: str, labels: Mapping[str, str]) -> None:
    """Make the volumes, with the labels of the container."""
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    for kind in _VOLUMES:
        engine.demand("volume", "create", *words, volume(name, kind))


def remove_volumes(engine: podman_engine.Engine, name: str, state: str) -> None:
    """Remove those that bear our tag."""
    own = [volume for volume, labels in engine.volumes(state).items() if labels[podman_engine.TAG] == name]
    if own:
        engine.demand("volume", "rm", *own)


def own_host_key(engine: podman_engine.Engine, folder: str, room: Room) -> None:
    """Give the host key to the container's root, which may not be this user."""
    key = f"{folder}/{ssh.HOST_KEY}"
    if os.geteuid() == 0:
        os.chown(key, room.uids[0][1], room.gids[0][1])
    else:
        engine.demand("unshare", "chown", f"{room.uids[0][1]}:{room.gids[0][1]}", key)
