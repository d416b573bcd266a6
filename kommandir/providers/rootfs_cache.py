"""Where the peons' root filesystem lies, and quick ways to it; what makes it is ``kommandir.rootfs``."""

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
#: Change it when the same packages must be built anew, as the way of building changed.
FORMAT = 1
TAR = "root.tar"
MANIFEST = "manifest.json"
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


def key() -> str:
    """The name of the current root filesystem: another release, machine or list of packages is another one."""
    contents = " ".join((str(FORMAT), *sorted(PACKAGES)))
    return f"{release()}-{os.uname().machine}-{zlib.crc32(contents.encode()):08x}"


def directory() -> str:
    """The directory of the current root filesystem: its tar, its manifest and the unpacked trees."""
    return f"{cache_directory()}/rootfs/{key()}"


def tree_path(identities: Identities) -> str:
    """Where the root filesystem is unpacked for peons with these numbers."""
    return f"{directory()}/tree-{identities.label}"


def tree(identities: Identities) -> str:
    """The unpacked root filesystem; built first, with progress on standard error, where there is none yet."""
    path = tree_path(identities)
    if not os.path.isdir(path):
        from kommandir import rootfs

        rootfs.build_tree(identities)
    return path


def tar() -> str:
    """The root filesystem as a tar; built first, with progress on standard error, where there is none yet."""
    path = f"{directory()}/{TAR}"
    if not os.path.isfile(path):
        from kommandir import rootfs

        rootfs.build_tar()
    return path
