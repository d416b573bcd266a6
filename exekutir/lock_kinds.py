"""Which kind of lock a folder has: the kernel's, for one host, or leases, for hosts that share a file system.

A lock of the kernel is free at once when its holder dies, but only the one host that runs the kernel can be trusted to
know of it. A lease is a file that its holder refreshes; who sees it unrefreshed for its whole length takes it. The two
do not see each other, so the folder's first user records the kind there, and whoever would use the other is refused.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import time
from pathlib import Path

from kommandir.errors import UsageError
from kommandir.journal import now

#: Length of a lease in seconds, where nobody gave another: a host that stalls for a minute is taken for gone.
LEASE = 60.0
FILE_NAME = ".kind"

#: Types of file systems that several hosts may share; each may have locks of its own, but not such as SQLite trusts.
_SHARED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "lustre", "glusterfs", "afs", "ocfs2", "gfs2"}
    | {"gpfs", "beegfs", "orangefs", "pvfs2", "coda", "ncpfs", "panfs", "vboxsf", "prl_fs"}
)
#: File systems in user space that are local all the same.
_LOCAL = frozenset({"fuse.fuse-overlayfs", "fuse.lxcfs", "fuse.unionfs", "fuse.mergerfs", "fuse.gocryptfs"})


def agreed(folder: Path, wanted: float | None) -> float:
    """The length of the leases in ``folder`` in seconds, 0 for locks of the kernel; recorded there by its first user.

    ``wanted`` is the variable ``lock_lease``, None to find out. Raises UsageError when it is not what is recorded, or
    locks of the kernel are recorded on a file system that hosts share; OSError when the folder can't be used.
    """
    recorded = _recorded(folder)
    if recorded is None:
        first = wanted if wanted is not None else LEASE if shared(folder) else 0.0
        try:
            recorded = _recorded_first(folder, first)
        except OSError as error:
            if first or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            recorded = first  # locks of the kernel need no space, and cleanup must work on a full disk
    if wanted is not None and wanted != recorded:
        raise _mixed(folder, recorded, f"but `lock_lease` is {wanted:g} here")
    if wanted is None and not recorded and shared(folder):
        raise _mixed(folder, recorded, f"but here it is on {file_system(folder)}, which hosts may share")
    return recorded


def shared(folder: Path) -> bool:
    """Whether ``folder`` is on a file system that several hosts may share."""
    kind = file_system(folder)
    return kind in _SHARED or (kind.startswith("fuse.") and kind not in _LOCAL)


def file_system(folder: Path) -> str:
    """The type of the file system that ``folder`` is on, as the kernel names it; "" where it does not tell."""
    place, best, found = os.path.realpath(folder), -1, ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            point = before.split(" ")[4].encode().decode("unicode_escape").rstrip("/")
            # Of two on the same place the later one is on top.
            if (place == point or place.startswith(f"{point}/")) and len(point) >= best:
                best, found = len(point), after.split(" ")[0]
    return found


def _mixed(folder: Path, recorded: float, but: str) -> UsageError:
    kind = f"leases of {recorded:g} s" if recorded else "the kernel's, for one host"
    return UsageError(
        f"the locks in {folder} are {kind}, {but}",
        log=folder / FILE_NAME,
        hint="let all who share that folder have the same `lock_lease`. To change it, wait until no job uses the "
        "folder, then remove that file",
    )


def _recorded(folder: Path) -> float | None:
    """What is recorded; a record without content, of a process that was killed right there, is removed."""
    path = folder / FILE_NAME
    for _ in range(20):
        try:
            return float(json.loads(path.read_text())["lease"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            time.sleep(0.05)
    path.unlink(missing_ok=True)
    return None


def _recorded_first(folder: Path, lease: float) -> float:
    """Record ``lease`` unless somebody was faster; what is recorded then comes back."""
    text = json.dumps({"lease": lease, "by": socket.gethostname(), "since": now()})
    path, new = folder / FILE_NAME, folder / f"{FILE_NAME}.{secrets.token_hex(4)}.new"
    try:
        new.write_text(text)
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        with contextlib.suppress(FileExistsError), path.open("x") as record:
            record.write(text)
    finally:
        new.unlink(missing_ok=True)
    found = _recorded(folder)
    return lease if found is None else found
