"""What this exekutir runs with: the exact version of every package that it needs, and of the extras that are there."""

from __future__ import annotations

import importlib.metadata as metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from exekutir.toolkit.wheels import Target
from kommandir.errors import KommandirError

DISTRIBUTION = "exekutir"
#: Extras that matter where jobs run; those of developers do not.
EXTRAS = ("mitogen",)


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """A package in one version."""

    #: As packages are compared: small letters and dashes.
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def pinned(target: Target | None = None) -> list[Pin]:
    """The packages with which this exekutir runs, itself left out, sorted; with ``target`` what it needs on that.

    Raises KommandirError when one is not installed here, so that there is no version to name.
    """
    environment = _environment(target)
    found: dict[str, Pin] = {}
    todo = [(DISTRIBUTION, _extras())]
    seen: set[tuple[str, str]] = set()
    while todo:
        name, extras = todo.pop()
        for requirement in _required(name, extras, environment):
            key = canonicalize_name(requirement.name)
            wanted = frozenset(requirement.extras)
            if (key, "".join(sorted(wanted))) in seen:
                continue
            seen.add((key, "".join(sorted(wanted))))
            found[key] = Pin(key, _version(key, name, target))
            todo.append((key, wanted))
    return sorted(found.values())


def _environment(target: Target | None) -> dict[str, str]:
    """What markers are asked about: this Python, or that of the target."""
    own = {key: str(value) for key, value in default_environment().items()}
    if target is None:
        return own
    theirs = {
        "python_version": target.python,
        "python_full_version": f"{target.python}.0",
        "implementation_version": f"{target.python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": target.machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    return {**own, **theirs} if target.python != own["python_version"] else {**own, "platform_machine": target.machine}


def _required(name: str, extras: frozenset[str], environment: Mapping[str, str]) -> Iterator[Requirement]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)):
            yield requirement


def _extras() -> frozenset[str]:
    """Those of EXTRAS of which every package is installed."""
    return frozenset(extra for extra in EXTRAS if all(map(_installed, _of_extra(extra))))


def _of_extra(extra: str) -> Iterator[str]:
    for text in metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        if requirement.marker and "extra" in str(requirement.marker) and requirement.marker.evaluate({"extra": extra}):
            yield requirement.name


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _version(name: str, needed_by: str, target: Target | None) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        where = f" with Python {target.python}" if target else ""
        raise KommandirError(
            f"{needed_by} needs {name}{where}, which is not installed beside this exekutir",
            hint=f"install {name} in exekutir's environment, or let the kommandir have the Python that runs exekutir",
        ) from None
