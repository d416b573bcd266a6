"""The command ``exekutir toolkit``."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import IO

from exekutir.toolkit import Toolkit
from exekutir.toolkit import rootfs as root_filesystem
from kommandir import yamlfile
from kommandir.cancellation import Cancellation


def shown(
    out: IO[str], *, python: str | None, machine: str | None, libc: str | None, wheel_cache: Path | None, rootfs: bool
) -> int:
    """Write a YAML mapping about this exekutir.

    ``release``, ``machine``, ``rootfs`` (the tar of peons' root filesystem in its cache, or null); for a Python also
    the ``bundle``, a tar of the toolkit as it lies there; with ``rootfs`` also ``packed``, the root filesystem's
    tar compressed, or null. Raises what ``Toolkit`` raises.
    """
    toolkit = Toolkit.of_this(wheel_cache=wheel_cache)
    tar = root_filesystem.existing()
    told: dict[str, object] = {
        "release": toolkit.release,
        "machine": platform.machine(),
        "rootfs": str(tar) if tar else None,
    }
    cancellation = Cancellation()
    with cancellation.handling_signals():
        if python:
            bundle = toolkit.bundle(python, machine, libc, cancellation=cancellation)
            told["bundle"] = str(bundle)
        if rootfs:
            told["packed"] = str(root_filesystem.packed(tar, cancellation=cancellation)) if tar else None
    out.write(yamlfile.dump(told))
    return 0
