"""Runs mmdebstrap with this host's own package sources, as whoever calls, one build at a time.

What builds from it: ``kommandir.rootfs`` (the peons' root filesystem) and ``kommandir.image`` (the disk of virtual
machines). Only the standard library is needed, as providers import it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kommandir import apt_sources
from kommandir.providers import rootfs_cache
from kommandir.providers.faults import ProviderError

#: Seconds that another build may take.
PATIENCE = 900.0
#: Lines of mmdebstrap's output that an error shows.
_TAIL = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What shall be built."""

    #: What people call it, in front of each line of progress.
    what: str
    #: The result, a tar.
    tar: Path
    packages: tuple[str, ...]
    #: The file that gets all of mmdebstrap's output.
    log: Path
    #: Further arguments of mmdebstrap, in front of those that make the result forget this host.
    options: tuple[str, ...] = ()
    #: What an error adds where mmdebstrap is missing.
    instead: str = ""


def say(what: str, text: str) -> None:
    """Tell the person who waits what is going on."""
    print(f"{time.strftime('%H:%M:%SZ', time.gmtime())} {what}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def lock(directory: Path, what: str) -> Iterator[None]:
    """Hold the lock of the builds in ``directory``, which is made. Raises ProviderError after PATIENCE."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w", encoding="utf-8") as file:
        _wait_for(file.fileno(), what, file.name)
        yield


def _wait_for(handle: int, what: str, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ProviderError(
                    f"another process has been building the {what} for {PATIENCE:g} s; see who: fuser {path}"
                ) from None
            if not told:
                say(what, "another process is building it; waiting for it")
                told = True
            time.sleep(0.2)
        else:
            return


def bootstrap(build: Build) -> None:
    """Have mmdebstrap make the tar. Raises ProviderError with the end of its output, and the file that has it all."""
    if not shutil.which("mmdebstrap"):
        raise ProviderError(f"mmdebstrap is not installed: apt-get install mmdebstrap{build.instead}")
    with tempfile.TemporaryDirectory(prefix="exekutir-build-") as scratch, build.log.open("wb") as output:
        command = _command(build, Path(scratch))
        code = _follow(command, output.fileno(), build)
    if code:
        tail = "\n".join(_lines(build.log)[-_TAIL:])
        raise ProviderError(
            f"mmdebstrap ended with {code}:\n{tail}\nall of it: {build.log}\nthe command: {shlex.join(command)}"
        )


def _command(build: Build, scratch: Path) -> list[str]:
    """mmdebstrap's command line; what fits only this host (proxies, certificates) is removed from the result."""
    release = rootfs_cache.release()
    scratch.chmod(0o755)
    sources = apt_sources.of_release(release)
    options = [
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        "--variant=minbase",
        f"--include={','.join(build.packages)}",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--aptopt={option}" for option in apt_sources.connection_options()),
        *build.options,
        '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf"',
        '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*',
        '--customize-hook=touch "$1/etc/resolv.conf"',
        "--format=tar",
    ]
    command = ["mmdebstrap", *options, release, str(build.tar)]
    for number, (name, text) in enumerate(sources.items()):
        file = scratch / f"{number}{Path(name).suffix}"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)
        command.append(str(file))
    return command


def _follow(command: Sequence[str], output: int, build: Build) -> int:
    """Run the build with its output in a file, and show its steps as they come."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
    shown = 0
    try:
        while True:
            ended = child.poll()
            steps = [line for line in _lines(build.log) if line.startswith("I: ") and "-hook" not in line]
            for line in steps[shown:]:
                say(build.what, line.removeprefix("I: "))
            shown = len(steps)
            if ended is not None:
                return ended
            time.sleep(0.3)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
