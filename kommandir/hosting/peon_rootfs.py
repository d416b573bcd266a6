"""The root filesystem of peons in the cache that all jobs share: taken as a tar, unpacked for each user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kommandir import rootfs, shared_cache
from kommandir.errors import KommandirError, UsageError
from kommandir.providers import rootfs_cache
from kommandir.providers.faults import ProviderError


def existing() -> str | None:
    """The tar in the shared cache, or None; what root keeps is mounted there first, as it is not after a boot."""
    kept, seen = (
        Path(rootfs_cache.directory(cache=cache), rootfs_cache.TAR)
        for cache in (rootfs_cache.STORE, rootfs_cache.SHARED)
    )
    if kept.is_file() and not seen.is_file():
        try:
            shared_cache.prepare()
        except (ProviderError, OSError) as error:
            print(f"kommandir host: the root filesystem of peons is not to be seen: {error}", file=sys.stderr)
    return str(seen) if seen.is_file() else None


def kept(tar: Path) -> str:
    """Take a tar, plain or compressed by gzip, into the shared cache, where there is none; its place there.

    The tar is removed in the end. Raises UsageError when it is none, KommandirError when it can't be kept.
    """
    os.environ["EXEKUTIR_CACHE"] = rootfs_cache.SHARED
    try:
        rootfs.check_tar(tar)
        rootfs.build_tar(tar)
        tar.unlink()
    except OSError as error:
        raise KommandirError(
            f"{tar} can't be kept as the root filesystem of peons: {error}", hint="look at the kommandir's disks: df"
        ) from error
    except ProviderError as error:
        raise UsageError(f"{tar} can't be the root filesystem of peons", why=str(error)) from error
    return f"{rootfs_cache.directory()}/{rootfs_cache.TAR}"


def unpacked_for(user: str) -> str | None:
    """Unpack it for the peons of a user, if the kommandir has it; where it lies, or None."""
    os.environ["EXEKUTIR_CACHE"] = rootfs_cache.SHARED
    if not existing():
        return None
    try:
        return str(rootfs.build_shared_tree(user))
    except (ProviderError, OSError) as error:
        # Jobs may well do without peons of this kind; who wants one is told by its provider.
        print(f"kommandir host: no root filesystem for the peons of {user}: {error}", file=sys.stderr)
        return None
