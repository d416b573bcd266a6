"""Wheel files: written byte by byte the same from the same files, and told apart by what they run on."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from kommandir.errors import UsageError

#: The date of every file in a wheel: the first that a zip can tell.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a wheel."""

    #: Its path inside, with slashes.
    name: str
    #: Its content, or the file that has it.
    source: bytes | Path
    executable: bool = False

    def content(self) -> bytes:
        """All of its bytes."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def of_file(name: str, path: Path) -> Member:
    """A member with the content and the right to be run of a file."""
    return Member(name, path, bool(path.stat().st_mode & stat.S_IXUSR))


def write(wheel: Path, members: Iterable[Member], information: str) -> str:
    """Write a wheel in one step and return its RECORD; ``information`` is its folder ``NAME-VERSION.dist-info``.

    The same members make the same file. Raises OSError.
    """
    wheel.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=wheel.parent, prefix=f".{wheel.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            record = _filled(archive, sorted(members, key=lambda member: member.name), f"{information}/RECORD")
        Path(name).chmod(0o644)
        Path(name).replace(wheel)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return record


def _filled(archive: zipfile.ZipFile, members: Iterable[Member], record: str) -> str:
    lines = []
    for member in members:
        content = member.content()
        _add(archive, member.name, content, member.executable)
        lines.append(f"{_field(member.name)},sha256={hash_in_record(content)},{len(content)}\n")
    text = "".join([*lines, f"{_field(record)},,\n"])
    _add(archive, record, text.encode(), executable=False)
    return text


def _add(archive: zipfile.ZipFile, name: str, content: bytes, executable: bool) -> None:
    information = zipfile.ZipInfo(name, _DATE)
    information.compress_type = zipfile.ZIP_DEFLATED
    information.create_system = 3  # Unix, wherever it is written
    information.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    archive.writestr(information, content)


def _field(text: str) -> str:
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if re.search('[",\r\n]', text) else text


def hash_in_record(content: bytes) -> str:
    """A SHA-256 as RECORD files have it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def checksum(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Target:
    """What the wheels are to run on: CPython's version (``3.11``), the machine (``x86_64``), the C library.

    The last one is ``glibc-2.36`` or ``musl-1.2``.
    """

    python: str
    machine: str
    libc: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d+", self.python):
            raise UsageError(f"`{self.python}` is no version of Python", hint="two numbers, as in 3.11")
        if not re.fullmatch(r"(glibc-2|musl-1)\.\d+", self.libc):
            raise UsageError(f"`{self.libc}` is no C library", hint="as in glibc-2.36 or musl-1.2")
        if not re.fullmatch(r"\w+", self.machine):
            raise UsageError(f"`{self.machine}` is no kind of machine", hint="what `uname -m` says there")

    @property
    def label(self) -> str:
        """A word for folders."""
        return f"{self.python}-{self.machine}-{self.libc}"

    @property
    def version(self) -> tuple[int, int]:
        """Python's version."""
        major, minor = self.python.split(".")
        return int(major), int(minor)

    def platforms(self) -> list[str]:
        """The platform tags of wheels that run there, best first."""
        library, _, version = self.libc.partition("-")
        newest = int(version.partition(".")[2])
        if library == "musl":
            return [f"musllinux_1_{minor}_{self.machine}" for minor in range(newest, -1, -1)]
        older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        found = []
        for minor in range(newest, 4, -1):
            found.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in older:
                found.append(f"{older[minor]}_{self.machine}")
        return [*found, f"linux_{self.machine}"]

    def tags(self) -> list[Tag]:
        """The tags of wheels that run there, best first."""
        platforms = self.platforms()
        interpreter = "cp{}{}".format(*self.version)
        own = cpython_tags(self.version, abis=[interpreter], platforms=platforms)
        return [*own, *compatible_tags(self.version, interpreter, platforms)]


def suiting(folder: Path, target: Target) -> Iterator[tuple[int, str, str, Path]]:
    """The wheels in a folder that run on ``target``: rank (0 is best), name, version, file."""
    ranks = {tag: rank for rank, tag in reversed(list(enumerate(target.tags())))}
    for wheel in sorted(folder.glob("*.whl")):
        try:
            name, version, _, tags = parse_wheel_filename(wheel.name)
        except ValueError:  # somebody's own file: not for us to judge
            continue
        found = [ranks[tag] for tag in tags if tag in ranks]
        if found:
            yield min(found), canonicalize_name(name), str(version), wheel
