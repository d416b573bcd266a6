"""The command ``exekutir toolkit``."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from exekutir.toolkit import Toolkit
from kommandir import yamlfile
from kommandir.cancellation import Cancellation


def shown(out: IO[str], *, python: str | None, machine: str | None, libc: str | None, wheel_cache: Path | None) -> int:
    """Write a YAML mapping: ``release``; for a Python also ``folder`` of the wheels and their ``bundle``, a tar."""
    toolkit = Toolkit.of_this(wheel_cache=wheel_cache)
    told = {"release": toolkit.release}
    if python:
        cancellation = Cancellation()
        with cancellation.handling_signals():
            bundle = toolkit.bundle(python, machine, libc, cancellation=cancellation)
        told |= {"folder": str(bundle.with_suffix("")), "bundle": str(bundle)}
    out.write(yamlfile.dump(told))
    return 0
