"""One SSH connection for many commands: the first one makes it, and those that follow do without a handshake."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from exekutir.remote.host import RemoteHost

#: Seconds that an idle connection outlives its last command, should nobody be left to close it.
IDLE = 60
_PREFIX = "exekutir-ssh-"
#: Seconds after which an empty folder of ours is that of an exekutir that was killed.
FORGOTTEN = 3600.0
#: Bytes of the longest path to a socket, less what ssh appends while it makes one.
_LONGEST = 107 - 20


@contextlib.contextmanager
def multiplexed(host: RemoteHost) -> Iterator[RemoteHost]:
    """The same host, all of whose commands share one connection, which is closed at the end.

    Its socket is in a folder that only this user can enter. Where none can be made, commands connect one by one.
    """
    folder = _folder()
    if folder is None:
        yield host
        return
    settings = ("ControlMaster=auto", f"ControlPath={folder}/s", f"ControlPersist={IDLE}")
    options = tuple(word for setting in settings for word in ("-o", setting))
    # Of an option that is given twice ssh takes the first one, and a provider may share connections of its own.
    shared = replace(host, options=(*options, *host.options))
    try:
        yield shared
    finally:
        _closed(shared)
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path | None:
    """A new private folder with a path that is short enough for a socket; None where there is none."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), "/tmp", tempfile.gettempdir()):  # noqa: S108  a private one in it
        if base and len(os.fsencode(f"{base}/{_PREFIX}12345678/s")) <= _LONGEST:
            with contextlib.suppress(OSError):
                _swept(Path(base))
                return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    return None


def _swept(base: Path) -> None:
    """Remove what killed exekutirs left: their connections ended long ago, and so their folders are empty."""
    for folder in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is another user's, gone, or in use
            if time.time() - folder.stat().st_mtime > FORGOTTEN:
                folder.rmdir()


def _closed(host: RemoteHost) -> None:
    *words, target = host.ssh()
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # it ends by itself when it is idle
        subprocess.run(
            [*words, "-O", "exit", target], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10
        )
