"""The wheels with which a kommandir is set up: from the wheel cache, from what is installed here, from an index.

The cache is a folder of wheels that anybody may fill by hand. Beside each wheel is ``WHEEL.sha256``, written when it
was first seen; a wheel that is another one later is refused.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from exekutir.toolkit import packing, wheels
from exekutir.toolkit.closure import Pin
from exekutir.toolkit.wheels import Target
from kommandir import atomic, process
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, LockError

#: Seconds that fetching all wheels, or waiting for another process that does, may take.
PATIENCE = 900.0
PIP = "pip"


@contextlib.contextmanager
def locked(folder: Path, deadline: Deadline) -> Iterator[None]:
    """Hold the lock of a cache folder, which is made; raises LockError."""
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", timeout=min(deadline.remaining(), PATIENCE))
    try:
        with lock:
            yield
    except filelock.Timeout:
        raise LockError(
            f"another process has been filling {folder} for {PATIENCE:g} s", hint=f"see who: fuser {lock.lock_file}"
        ) from None


def filled(
    pins: Sequence[Pin], target: Target, cache: Path, *, deadline: Deadline, cancellation: Cancellation | None = None
) -> dict[Pin, Path]:
    """A wheel in ``cache`` for each pin; the lock of the cache is held.

    Raises KommandirError, which names what is missing and how to put it there, TimeOutError and StoppedError.
    """
    _sweep(cache)
    found = _cached(pins, target, cache)
    for pin in (pin for pin in pins if pin not in found):
        made = packing.repacked(pin, cache, target)
        if made:
            found[pin] = made
    missing = [pin for pin in pins if pin not in found]
    if missing:
        _fetch(missing, target, cache, deadline, cancellation)
        found |= _cached(missing, target, cache)
    for wheel in found.values():
        _check(wheel)
    return found


def pip_wheel(target: Target, cache: Path) -> Path:
    """A wheel of pip itself, with which a kommandir installs the others, as its own Python may have none.

    Raises KommandirError where this exekutir has no pip.
    """
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        wheel = packing.repacked(Pin(PIP, metadata.version(PIP)), cache, target)
        if wheel:
            return wheel
    specification = importlib.util.find_spec("ensurepip")
    bundled = Path(specification.origin).parent / "_bundled" if specification and specification.origin else cache
    known = sorted([*bundled.glob("pip-*.whl"), *cache.glob("pip-*.whl")])
    if not known:
        raise KommandirError(
            f"no wheel of pip is to be had for the kommandir: it is not installed in {sys.prefix}",
            hint=f"put one into {cache}, or install pip there: {sys.executable} -m ensurepip",
        )
    return known[0]


def _sweep(cache: Path) -> None:
    """Remove what killed processes left; the lock is held, so nobody is at work on it."""
    for left in [*cache.glob(".new-*"), *cache.glob(".*.new")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _cached(pins: Sequence[Pin], target: Target, cache: Path) -> dict[Pin, Path]:
    """The best wheel of the cache for each pin that has one."""
    wanted = set(pins)
    ranked = sorted(entry for entry in wheels.suiting(cache, target) if Pin(entry[1], entry[2]) in wanted)
    return {Pin(name, version): wheel for _, name, version, wheel in reversed(ranked)}


def _check(wheel: Path) -> None:
    note = wheel.with_name(f"{wheel.name}.sha256")
    actual = wheels.checksum(wheel)
    if not note.exists():
        atomic.write(note, f"{actual}  {wheel.name}\n")
    elif note.read_text().split()[:1] != [actual]:
        raise KommandirError(
            f"{wheel} is another file than it was when it came",
            why=f"its SHA-256 is {actual}, but {note.name} says {note.read_text().strip()}",
            hint="remove both, then run the same command again",
        )


def _fetch(
    missing: Sequence[Pin], target: Target, cache: Path, deadline: Deadline, cancellation: Cancellation | None
) -> None:
    """Download wheels into the cache, each in one step; raises KommandirError with pip's own reason."""
    if importlib.util.find_spec(PIP) is None:
        raise _unfetched(missing, target, cache, f"{sys.prefix} has no pip: {sys.executable} -m ensurepip")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as name:
        new = Path(name)
        command = download_command(missing, target, new)
        outcome = process.run(
            [sys.executable, "-m", *command],
            environment=os.environ,  # pip is told by it which index to ask, and through which proxy
            deadline=deadline.within(PATIENCE),
            cancellation=cancellation,
            doing="downloading wheels for the kommandir",
        )
        if not outcome.good:
            said = [line for line in outcome.stderr.splitlines() if not line.startswith("WARNING")]
            raise _unfetched(missing, target, cache, "\n".join(said[-4:]) or outcome.end)
        for wheel in new.glob("*.whl"):
            atomic.write(cache / f"{wheel.name}.sha256", f"{wheels.checksum(wheel)}  {wheel.name}\n")
            wheel.replace(cache / wheel.name)


def download_command(pins: Sequence[Pin], target: Target, folder: Path) -> list[str]:
    """The words of the command, from ``pip`` on, that fetches wheels for ``target`` into ``folder``."""
    platforms = [word for platform in target.platforms() for word in ("--platform", platform)]
    interpreter = ["--python-version", target.python, "--implementation", "cp"]
    plain = ["download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    return [PIP, *plain, *interpreter, *platforms, "--dest", str(folder), *map(str, pins)]


def _unfetched(missing: Sequence[Pin], target: Target, cache: Path, why: str) -> KommandirError:
    names = " ".join(map(str, missing))
    words = f"--only-binary :all: --no-deps --python-version {target.python} --platform manylinux_2_28_{target.machine}"
    return KommandirError(
        f"wheels for a kommandir with Python {target.python} on {target.machine} are missing: {names}",
        why=why,
        hint=f"where there is a network: pip download {words} --dest DIR {names}; then copy DIR/*.whl to {cache}",
    )


def assembled(folder: Path, members: Sequence[Path], requirements: str) -> None:
    """Make ``folder`` hold these wheels and a ``requirements.txt``, in one step; an older one is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        new.chmod(0o755)
        for wheel in members:
            _placed(wheel, new / wheel.name)
        (new / "requirements.txt").write_text(requirements)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _placed(wheel: Path, place: Path) -> None:
    try:
        os.link(wheel, place)
    except OSError:  # another file system
        shutil.copyfile(wheel, place)


def requirements(wheel_files: Sequence[Path]) -> str:
    """The text of a requirements file that lets pip take exactly these wheels."""
    lines = []
    for wheel in sorted(wheel_files):
        name, version = re.split("-", wheel.name)[:2]
        lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{wheels.checksum(wheel)}\n")
    return "".join(lines)
