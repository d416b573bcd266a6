"""The toolkit: this exekutir and all that it runs with, as wheels, so that a kommandir gets exactly the same."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from exekutir.toolkit import closure, packing, tree, wheelhouse
from exekutir.toolkit.closure import Pin
from exekutir.toolkit.wheels import Target
from kommandir import atomic
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError
from kommandir.hosting.places import Places
from kommandir.providers import rootfs_cache
from kommandir.version import __version__

__all__ = ["Target", "Toolkit"]

#: Releases of this exekutir that stay in the cache: a developer's checkout makes a new one with each change.
KEPT = 4
REQUIREMENTS = "requirements.txt"
_RECORD = "RECORD"


@dataclass(frozen=True)
class Toolkit:
    """This exekutir as something to install elsewhere."""

    #: Where its wheel and the wheelhouses are kept.
    cache: Path
    #: Where the wheels of other packages are, which a person may fill.
    wheel_cache: Path
    _pins: tuple[Pin, ...] = field(repr=False)

    @classmethod
    def of_this(cls, *, cache: Path | None = None, wheel_cache: Path | None = None) -> Toolkit:
        """The running exekutir; the caches are ``$EXEKUTIR_CACHE`` and its ``wheels`` where not named otherwise.

        Raises KommandirError when a package that it needs is not installed.
        """
        top = cache or Path(rootfs_cache.cache_directory())
        return cls(top / "toolkit", wheel_cache or top / "wheels", tuple(closure.pinned()))

    @cached_property
    def release(self) -> str:
        """Its name among others: the version, and twelve digits of a digest over our files and the pinned packages."""
        record = (self._packed() / _RECORD).read_text()
        digest = hashlib.sha256(f"{record}\n{self.pins}".encode()).hexdigest()
        return f"{__version__}-{digest[:12]}"

    @property
    def pins(self) -> str:
        """The packages that this exekutir runs with, one a line."""
        return "".join(f"{pin}\n" for pin in self._pins)

    def wheel(self) -> Path:
        """A wheel of exactly this exekutir, packed when it is not in the cache."""
        return self._packed() / packing.NAME

    def wheelhouse(
        self,
        python: str,
        machine: str | None = None,
        libc: str | None = None,
        *,
        deadline: Deadline | None = None,
        cancellation: Cancellation | None = None,
    ) -> Path:
        """A folder with our wheel, one of each package that it needs, one of pip, and ``requirements.txt`` with hashes.

        ``python`` is ``3.11``, ``machine`` what ``uname -m`` says, ``libc`` ``glibc-2.36`` or ``musl-1.2``; those of
        this host where not named. Raises KommandirError where a wheel is not to be had, LockError, TimeOutError,
        StoppedError.
        """
        target = _target(python, machine, libc)
        folder = self.cache / "releases" / self.release / target.label
        if (folder / REQUIREMENTS).exists():
            return folder
        moment = deadline or Deadline.never()
        with wheelhouse.locked(self.wheel_cache, moment):
            if not (folder / REQUIREMENTS).exists():
                self._assemble(folder, target, moment, cancellation)
        return folder

    def _assemble(self, folder: Path, target: Target, deadline: Deadline, cancellation: Cancellation | None) -> None:
        try:
            pins = closure.pinned(target)
            found = wheelhouse.filled(pins, target, self.wheel_cache, deadline=deadline, cancellation=cancellation)
            wanted = [self.wheel(), *found.values()]
            text = wheelhouse.requirements(wanted)
            _swept(folder.parent.parent, KEPT)
            wheelhouse.assembled(folder, [*wanted, wheelhouse.pip_wheel(target, self.wheel_cache)], text)
        except OSError as error:
            raise KommandirError(
                f"the wheels for a kommandir can't be put together: {error.strerror}",
                why=str(error),
                hint=f"look at the disk of {self.wheel_cache}",
            ) from error

    def bundle(
        self,
        python: str,
        machine: str | None = None,
        libc: str | None = None,
        *,
        deadline: Deadline | None = None,
        cancellation: Cancellation | None = None,
    ) -> Path:
        """What belongs into the folder of this release on a kommandir, installed from the wheelhouse, as one tar.

        The parameters and errors are those of ``wheelhouse``.
        """
        folder = self.wheelhouse(python, machine, libc, deadline=deadline, cancellation=cancellation)
        target = _target(python, machine, libc)
        tar = folder.parent / f"{folder.name}.tar.gz"
        moment = deadline or Deadline.never()
        if not tar.exists():
            with wheelhouse.locked(self.wheel_cache, moment):
                if not tar.exists():
                    place = str(Places().releases / self.release)
                    self._planted(folder, target, place, tar, moment, cancellation)
        return tar

    def _planted(
        self, folder: Path, target: Target, place: str, tar: Path, deadline: Deadline, cancellation: Cancellation | None
    ) -> None:
        try:
            tree.packed(folder, target, place, tar, deadline=deadline, cancellation=cancellation)
        except OSError as error:
            raise KommandirError(
                f"the toolkit for a kommandir can't be packed: {error.strerror}",
                why=str(error),
                hint=f"look at the disk of {self.cache}",
            ) from error

    def _packed(self) -> Path:
        """The folder of the cache with our wheel and its RECORD, told from others by the state of our files."""
        try:
            folder = self.cache / "packed" / self._fingerprint
            if not (folder / _RECORD).exists():
                self._pack(folder)
        except OSError as error:
            raise KommandirError(
                f"exekutir can't be packed for the kommandir: {error.strerror}",
                why=str(error),
                hint=f"look at the disk of {self.cache}, and at $EXEKUTIR_CACHE",
            ) from error
        return folder

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(__version__.encode())
        for name, path in packing.own_files():
            state = path.stat()
            digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_mode}\n".encode())
        for member in packing.own_information():
            digest.update(member.content())
        return digest.hexdigest()[:24]

    def _pack(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _swept(folder.parent, KEPT)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            record = packing.write_own(new)
            atomic.write(new / _RECORD, record)
            new.chmod(0o755)
            if not (folder / _RECORD).exists():
                shutil.rmtree(folder, ignore_errors=True)
                new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _target(python: str, machine: str | None, libc: str | None) -> Target:
    """What it is made for; this host's where nothing is named."""
    return Target(python, machine or platform.machine(), libc or "-".join(platform.libc_ver()))


def _swept(folder: Path, kept: int) -> None:
    """Remove the oldest entries; another process that needs one makes it again."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = sorted(folder.iterdir(), key=lambda entry: entry.lstat().st_mtime, reverse=True)
    for old in entries[kept:]:
        shutil.rmtree(old, ignore_errors=True)
