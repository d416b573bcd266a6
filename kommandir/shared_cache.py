"""The cache that all jobs of a host share: root writes it in one place, everybody reads it in another.

An unpacked root filesystem belongs to the numbers of one user's peons, who therefore could change it wherever he can
reach it for writing. So the place where root writes is closed to all others, and what they see is a read-only mount.
A container of the provider podman comes with that mount; on another host it is made here.
"""

from __future__ import annotations

import os
from pathlib import Path

from kommandir.providers import syscalls
from kommandir.providers.faults import ProviderError, ProviderUsageError
from kommandir.providers.rootfs_cache import SHARED, STORE

_FOLDER = "rootfs"


def prepare() -> None:
    """Make both places and the mount, where they are missing; only root may. Raises ProviderError or OSError."""
    if os.geteuid():
        raise ProviderUsageError(
            f"only root fills the cache that jobs share ({SHARED}); as root: kommandir rootfs build --for USER"
        )
    Path(STORE).mkdir(parents=True, exist_ok=True)
    Path(STORE).chmod(0o700)
    store, shared = Path(STORE, _FOLDER), Path(SHARED, _FOLDER)
    for directory in (store, shared):
        directory.mkdir(parents=True, exist_ok=True)
    if not store.samefile(shared):
        _mount(str(store), str(shared))


def _mount(store: str, shared: str) -> None:
    try:
        syscalls.mount(store, shared, None, syscalls.BIND)
        syscalls.mount(store, shared, None, syscalls.BIND | syscalls.REMOUNT | syscalls.RDONLY)
    except OSError as error:
        raise ProviderError(
            f"{store} could not be mounted read-only on {shared} ({error.strerror}), as jobs must not change what they "
            f"share; by hand: mount --bind {store} {shared} && mount -o remount,bind,ro {shared}"
        ) from None
