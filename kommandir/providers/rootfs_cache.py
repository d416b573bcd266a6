"""Where the root filesystems of peons and kommandirs lie, and quick ways to them; ``kommandir.rootfs`` makes them."""

from __future__ import annotations

import os
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kommandir.providers.identities import Identities

#: What a peon needs on top of a minimal Debian or Ubuntu: SSH, Ansible's Python and apt, rsync, sudo, facts, TLS.
PACKAGES = (
    "openssh-server",
    "python3",
    "python3-apt",
    "rsync",
    "sudo",
    "iproute2",
    "ca-certificates",
    "procps",
)
#: What a kommandir needs on top of that: the toolkit's virtual environment and tools, and peons of all kinds inside it.
KOMMANDIR_PACKAGES = (
    "python3-venv",
    "openssh-client",
    "git",
    "acl",
    "uidmap",
    "util-linux",
    "passt",
    "slirp4netns",
    "podman",
    "runc",
    "catatonit",
    "mmdebstrap",
)


class Variant:
    """A root filesystem by what is installed in it; ``prefix`` begins the names of what is made of it."""

    __slots__ = ("packages", "prefix")

    def __init__(self, prefix: str, packages: tuple[str, ...]) -> None:
        self.prefix, self.packages = prefix, packages


PEON = Variant("", PACKAGES)
KOMMANDIR = Variant("kommandir-", (*PACKAGES, *KOMMANDIR_PACKAGES))
#: Change it when the same packages must be built anew, as the way of building changed.
FORMAT = 1
TAR = "root.tar"
MANIFEST = "manifest.json"
#: The cache of a host that many jobs share: everybody reads it, nobody writes here, and none but root can have made it.
SHARED = "/var/cache/exekutir"
#: Where root writes what appears in the shared cache. It is another place, as the owner of a peon's numbers may write
#: to a tree that has them wherever he can reach it for writing, and the next job would run what he left.
STORE = "/var/lib/exekutir/cache"
#: The release where this host's own is none that Debian or Ubuntu make.
FALLBACK_RELEASE = "bookworm"


def cache_directory() -> str:
    """Where this user's caches are: ``$EXEKUTIR_CACHE`` or the XDG cache directory."""
    own = os.environ.get("EXEKUTIR_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.abspath(own or f"{base}/exekutir")


def release(os_release: str = "/etc/os-release") -> str:
    """The code name of this host's Debian or Ubuntu release, which its own package sources serve."""
    fields = {}
    try:
        with open(os_release, encoding="utf-8") as file:
            for line in file:
                key, _, value = line.strip().partition("=")
                fields[key] = value.strip("\"'")
    except FileNotFoundError:
        return FALLBACK_RELEASE
    if fields.get("ID") not in ("debian", "ubuntu"):
        return fields.get("UBUNTU_CODENAME") or fields.get("DEBIAN_CODENAME") or FALLBACK_RELEASE
    return fields.get("VERSION_CODENAME") or FALLBACK_RELEASE


def key(variant: Variant = PEON) -> str:
    """The name of the current root filesystem: another release, machine or list of packages is another one."""
    contents = " ".join((str(FORMAT), *sorted(variant.packages)))
    return f"{variant.prefix}{release()}-{os.uname().machine}-{zlib.crc32(contents.encode()):08x}"


def directory(variant: Variant = PEON, cache: str = "") -> str:
    """The directory of the current root filesystem in a cache: its tar, its manifest and the unpacked trees."""
    return f"{cache or cache_directory()}/rootfs/{key(variant)}"


def tree_path(identities: Identities, cache: str = "") -> str:
    """Where the root filesystem is unpacked, in a cache, for peons with these numbers."""
    return f"{directory(cache=cache)}/tree-{identities.label}"


def tree(identities: Identities) -> str:
    """The unpacked root filesystem, this user's own or the shared one; built first, which it tells, where none is."""
    own, shared = (tree_path(identities, cache) for cache in (cache_directory(), SHARED))
    if os.path.isdir(own):
        return own
    if os.path.isdir(shared):
        return shared
    from kommandir import rootfs

    return str(rootfs.build_tree(identities))


def tar(variant: Variant = PEON) -> str:
    """The root filesystem as a tar: this user's own, else the shared one; built first where there is none yet."""
    found = existing_tar(variant)
    if found:
        return found
    from kommandir import rootfs

    return str(rootfs.build_tar(variant=variant))


def existing_tar(variant: Variant = PEON) -> str | None:
    """The tar in this user's own cache, else in the shared one, or None."""
    places = (f"{directory(variant, cache)}/{TAR}" for cache in (cache_directory(), SHARED))
    return next((place for place in places if os.path.isfile(place)), None)
