"""Kommandirs that are not this job's to use or to destroy, though they have its kommandir's name.

A provider such as podman makes its hosts on the very exekutir that calls it, and exekutirs elsewhere do not reach them;
and what one provider made can't be found or destroyed by the commands of another one. Whoever shares ``lock_dir`` in
such a way is told so, before he takes the kommandir of somebody else for lost.
"""

from __future__ import annotations

import socket
from pathlib import Path

from exekutir.generations import Generation
from kommandir.errors import UsageError

#: Providers whose hosts are on the exekutir.
_ON_THE_SPOT = ("podman", "qemu")
_HINT = (
    "name another `lock_dir` or `kommandir_name_prefix` for this one; to share one between hosts, use a kommandir that "
    "all of them reach (`existing`, or a provider of your own)"
)


def maker(group: str) -> dict[str, str]:
    """What tells this exekutir from another one, for a kommandir that lives on it; empty for one that does not."""
    return {"host": socket.gethostname(), "machine": _machine()} if group in _ON_THE_SPOT else {}


def is_ours(one: Generation, group: str) -> bool:
    """Whether the commands of ``group``, called on this host, find it."""
    return one.provider == group and not _elsewhere(one)


def demand_ours(one: Generation, group: str, file: Path) -> None:
    """Raise UsageError where a generation, which is on record in ``file``, is not for a job with that provider here."""
    if is_ours(one, group):
        return
    if _elsewhere(one):
        what = f"it is on the host {one.maker['host']}, where {one.provider} made it, and is reached from there alone"
    else:
        what = f"it was made by `{one.provider}`, and `kommandir_groups` of this job begins with `{group}`"
    raise UsageError(what, host=one.name, log=file, hint=_HINT)


def _elsewhere(one: Generation) -> bool:
    """A host that was given another name is the same machine still, and one that knows no machine, as a container, is
    not told from another one."""
    here = maker(one.provider)
    return bool(one.maker and here) and all(one.maker.get(key) != value for key, value in here.items())


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
