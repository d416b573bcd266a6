"""Where the image of virtual machines lies, and whether it still is what was built; ``kommandir.image`` builds it."""

from __future__ import annotations

import json
import os
import zlib

from kommandir.providers import records, rootfs_cache, vm_guest
from kommandir.providers.faults import ProviderError, ProviderUsageError

#: On top of what a peon needs: what boots a machine, and what it needs to be a kommandir with peons of its own.
PACKAGES = (
    *rootfs_cache.PACKAGES,
    *rootfs_cache.KOMMANDIR_PACKAGES,
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "e2fsprogs",
    "qemu-system-x86",
    "qemu-utils",
)
#: What the first file system of a booting machine has; our own disks need no more.
MODULES = ("virtio_pci", "virtio_blk", "ext4")
#: Change it when the same content must be built anew, as the way of building changed.
FORMAT = 1
DISK, KERNEL, INITRD = "disk.qcow2", "kernel", "initrd"
FILES = (DISK, KERNEL, INITRD)
MANIFEST = "manifest.json"
_VERIFIED = "verified.json"
#: GiB of the disk, of which only what is written takes room.
SIZE = 20


def key() -> str:
    """The name of the current image: another release, machine, list of packages or file of ours is another one."""
    ours = (sorted(vm_guest.FILES.items()), sorted(vm_guest.LINKS))
    contents = repr((FORMAT, sorted(PACKAGES), MODULES, SIZE, *ours, rootfs_cache.key()))
    return f"{rootfs_cache.release()}-{os.uname().machine}-{zlib.crc32(contents.encode()):08x}"


def directory() -> str:
    """The link to the current image's directory, which has its disk, kernel, initrd, manifest and templates."""
    return f"{rootfs_cache.cache_directory()}/vm/{key()}"


def current() -> str:
    """The directory of the current image; built first, with progress on standard error, where there is none yet."""
    link = directory()
    if not os.path.isfile(f"{link}/{MANIFEST}"):
        from kommandir import image

        image.build()
    return os.path.realpath(link)


def workshop() -> str:
    """Where what is made of images lies: beside them, or with this user's hosts where the cache is for reading only."""
    beside = f"{rootfs_cache.cache_directory()}/vm"
    shared = os.path.isdir(beside) and not os.access(beside, os.W_OK)
    return f"{records.state_directory()}/vm" if shared else beside


def checked(path: str) -> str:
    """The directory of an image whose files have the checksums of its manifest; ``path`` is it or a link to it.

    What was read once is not read again while size and times of the files are the same. Raises ProviderUsageError where
    ``path`` is no image, ProviderError where a file is not what was built.
    """
    path = os.path.realpath(path)
    try:
        sums = _sums(f"{path}/{MANIFEST}")
        found = {name: marks(f"{path}/{name}") for name in sums}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProviderUsageError(
            f"{path} is no image of a virtual machine ({error}): kommandir image build makes one"
        ) from None
    if _remembered(path) != found:
        _verify(path, sums)
        _remember(path, found)
    return path


def _sums(manifest: str) -> dict[str, str]:
    with open(manifest, encoding="utf-8") as file:
        told = json.load(file)["files"]
    return {name: str(told[name]) for name in FILES}


def marks(path: str) -> list[int]:
    """What changes when a file is written to; a reader cannot set the last one."""
    told = os.stat(path)
    return [told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns]


def _remembered(path: str) -> object:
    try:
        with open(f"{path}/{_VERIFIED}", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _remember(path: str, found: dict[str, list[int]]) -> None:
    new = f"{path}/{_VERIFIED}.{os.getpid()}"
    try:
        with open(new, "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.rename(new, f"{path}/{_VERIFIED}")
    except OSError:
        # An image of somebody else's, which is then read each time.
        return


def checksum(path: str) -> str:
    """The SHA-256 of a file."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: str, sums: dict[str, str]) -> None:
    for name, wanted in sums.items():
        if checksum(f"{path}/{name}") != wanted:
            raise ProviderError(
                f"{path}/{name} is not what was built: its checksum differs from {MANIFEST}. "
                "kommandir image build --force makes a new image; the old one's virtual machines may be damaged"
            )
