"""Wheels of what is installed here: of exekutir itself, as it runs, and of any package that is still as it came."""

from __future__ import annotations

import fnmatch
import importlib.metadata as metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from packaging.tags import parse_tag
from packaging.utils import canonicalize_name

from exekutir.toolkit import wheels
from exekutir.toolkit.closure import DISTRIBUTION, Pin
from exekutir.toolkit.wheels import Member, Target
from kommandir import content
from kommandir.version import __version__

PACKAGES = ("exekutir", "kommandir", "narval_engine")
#: What goes from a checkout below ``kommandir/_content``, as the build of a wheel has it.
CONTENT = ("ansible.cfg", "inventory", "job_path", "playbooks", "roles")
_LEFT_OUT = ("__pycache__", "*.pyc", ".*")
#: Files of a dist-info folder that tell how it was installed here, or that are written anew.
_OF_INSTALLATION = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "WHEEL"}
_WHEEL = "Wheel-Version: 1.0\nGenerator: exekutir\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
NAME = f"{DISTRIBUTION}-{__version__}-py3-none-any.whl"
INFORMATION = f"{DISTRIBUTION}-{__version__}.dist-info"


def own_files() -> list[tuple[str, Path]]:
    """The files of the running exekutir and their names in a wheel, sorted."""
    found = [entry for package in PACKAGES for entry in _files(_folder(package), package)]
    root = content.root()
    if not root.is_relative_to(_folder("kommandir")):
        for name in CONTENT:
            path, inside = root / name, f"kommandir/_content/{name}"
            found += _files(path, inside) if path.is_dir() else [(inside, path)]
    return sorted(found)


def _folder(package: str) -> Path:
    specification = importlib.util.find_spec(package)
    if specification is None or specification.origin is None:
        raise FileNotFoundError(f"the package {package} is not to be found; install exekutir again")
    return Path(specification.origin).resolve().parent


def _files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for entry in os.scandir(folder):
        if any(fnmatch.fnmatch(entry.name, pattern) for pattern in _LEFT_OUT):
            continue
        if entry.is_dir():
            yield from _files(Path(entry.path), f"{name}/{entry.name}")
        else:
            yield f"{name}/{entry.name}", Path(entry.path)


def own_information() -> list[Member]:
    """The files of our dist-info folder but RECORD, for a wheel."""
    ours = metadata.distribution(DISTRIBUTION)
    # An editable installation remembers the version that the checkout had when it was installed.
    text = re.sub(r"(?m)^Version: .*$", f"Version: {__version__}", ours.read_text("METADATA") or "", count=1)
    members = {"METADATA": text.encode(), "WHEEL": _WHEEL.encode()}
    for file in ours.files or ():
        folder, *inner = file.parts
        if folder.endswith(".dist-info") and "/".join(inner) not in _OF_INSTALLATION | set(members):
            members["/".join(inner)] = Path(str(file.locate())).read_bytes()
    return [Member(f"{INFORMATION}/{name}", text) for name, text in members.items()]


def write_own(folder: Path) -> str:
    """Pack the running exekutir into a wheel in ``folder``; its RECORD comes back."""
    members = [wheels.of_file(name, path) for name, path in own_files()]
    return wheels.write(folder / NAME, [*members, *own_information()], INFORMATION)


def repacked(pin: Pin, folder: Path, target: Target) -> Path | None:
    """A wheel of an installed package in ``folder``; None where it can't be one.

    That is: it does not run on ``target``, its files were changed since, or it was not installed from a wheel.
    """
    try:
        package = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return None
    text = package.read_text("WHEEL")
    tags = re.findall(r"(?m)^Tag: *(\S+)", text or "")
    suits = {tag for each in tags for tag in parse_tag(each)} & set(target.tags())
    members = _unchanged(package) if suits and package.version == pin.version else None
    if members is None:
        return None
    information = next(member.name for member in members if member.name.endswith("/METADATA")).rpartition("/")[0]
    name = canonicalize_name(pin.name).replace("-", "_")
    wheel = folder / f"{name}-{pin.version}-{_compressed(tags)}.whl"
    wheels.write(wheel, members, information)
    return wheel


def _compressed(tags: list[str]) -> str:
    """All tags as one, as names of wheels have them."""
    columns = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(column)) for column in columns)


def _unchanged(package: metadata.Distribution) -> list[Member] | None:
    """What came in the package's wheel, checked against RECORD; None when anything differs."""
    members = []
    scripts = {entry.name for entry in package.entry_points if entry.group.endswith("_scripts")}
    for file in package.files or ():
        name = PurePosixPath(file).as_posix()
        if _made_by_installation(file, scripts):
            continue
        path = Path(str(file.locate()))
        if name.startswith("..") or file.hash is None or file.hash.mode != "sha256" or not path.is_file():
            return None
        member = wheels.of_file(name, path)
        if wheels.hash_in_record(member.content()) != file.hash.value:
            return None
        members.append(member)
    return members or None


def _made_by_installation(file: PurePosixPath, scripts: set[str]) -> bool:
    """Whether a file was in no wheel: compiled code, notes of pip, commands that it makes of entry points."""
    if file.parts[0] == "..":
        # pip adds names of its own to its command.
        return file.parent.name == "bin" and (file.name in scripts or re.fullmatch(r"pip[\d.]*", file.name) is not None)
    noted = file.parent.name.endswith(".dist-info") and file.name in _OF_INSTALLATION - {"WHEEL"}
    return noted or file.suffix == ".pyc"
