"""The peons' root filesystem as it travels to a kommandir, so that peons there need no network."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

from exekutir.toolkit import wheelhouse
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError
from kommandir.providers import rootfs_cache

#: Bytes that are compressed at a time.
_PIECE = 1 << 22


def existing() -> Path | None:
    """The tar of the current root filesystem in this exekutir's cache; it is not built for this."""
    found = rootfs_cache.existing_tar()
    return Path(found) if found else None


def packed(tar: Path, *, cancellation: Cancellation | None = None) -> Path:
    """The tar compressed to a third, kept in the cache. Raises KommandirError, LockError, StoppedError."""
    folder = Path(rootfs_cache.cache_directory()) / "toolkit" / "rootfs"
    target = folder / f"{tar.parent.name}.tar.gz"
    with wheelhouse.locked(folder, Deadline.never()):
        if target.exists() and target.stat().st_mtime >= tar.stat().st_mtime:
            return target
        try:
            for old in folder.glob("*.tar*"):
                old.unlink()
            _compress(tar, target, cancellation)
        except OSError as error:
            raise KommandirError(
                f"the root filesystem {tar} can't be packed for the kommandir: {error.strerror}",
                hint=f"look at the disk of {folder}",
            ) from error
    return target


def _compress(tar: Path, target: Path, cancellation: Cancellation | None) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.")
    try:
        with os.fdopen(handle, "wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as file, tar.open("rb") as source:
            while piece := source.read(_PIECE):
                if cancellation:
                    cancellation.check("packing the root filesystem of peons")
                file.write(piece)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
