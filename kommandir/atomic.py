"""Files that are either the old one or the new one, whenever the process is killed or the disk is full."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace ``path`` by ``content`` in one step; on an OSError the old file stays and nothing else is left.

    ``durable`` also waits until content and name are on the disk, for state that an effect relies upon.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as new:
            os.fchmod(new.fileno(), mode)
            new.write(data)
            if durable:
                new.flush()
                os.fsync(new.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sweep(path: Path) -> None:
    """Remove what writers of ``path`` that were killed left beside it; nobody may be writing it meanwhile."""
    for left in path.parent.glob(f".{path.name}.*.new"):
        left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
