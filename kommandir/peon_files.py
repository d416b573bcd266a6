"""The files of a peon in the kommandir's workspace, beside its host variables: its private record and its results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kommandir import atomic, yamlfile
from kommandir.cloud_command import CloudCommand
from kommandir.errors import ExekutirError, KommandirError, UsageError
from kommandir.redaction import Redactor, secret_values

PRIVATE = "private"
RESULTS = "results"
#: Files below ``private/`` that describe a peon end like this; other files there do not.
_SUFFIX = ".yml"
_NOT_PEONS = ("extra_vars",)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeonRecord:
    """All that is needed to destroy a peon without its inventory; ``private/NAME.yml``, for the owner's eyes."""

    name: str
    #: Its name at the provider.
    peon_name: str
    uuid: str
    #: The group of its provider; "" for a command that belongs to none.
    provider: str
    #: When its lease ends, in seconds since the epoch.
    expires: int
    #: How to destroy it; None for a host that is never destroyed.
    destruction: CloudCommand | None
    #: The environment of the commands, as ``cloud_environment`` has it.
    environment: Mapping[str, str] = field(default_factory=dict)


def demand_name(name: str) -> str:
    """The name of a peon, which is the name of files as well; raises UsageError when it can't be one."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` can't be the name of a peon",
            hint="use letters, digits, `.`, `_` and `-`, a letter, digit or `_` first",
        )
    return name


def record_place(workspace: Path, name: str) -> Path:
    """Where a peon's private record is."""
    return workspace / PRIVATE / f"{demand_name(name)}{_SUFFIX}"


def keep_record(workspace: Path, record: PeonRecord) -> None:
    """Write a peon's private record, on the disk when it returns; raises KommandirError when that can't be."""
    path = record_place(workspace, record.name)
    told = {
        "name": record.name,
        "peon_name": record.peon_name,
        "uuid": record.uuid,
        "provider": record.provider,
        "expires": record.expires,
        "destruction": record.destruction.told() if record.destruction else None,
        "environment": dict(record.environment),
    }
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        atomic.write(path, "---\n" + yamlfile.dump(told), mode=0o600)
    except OSError as error:
        raise _unwritable(path, error) from error


def record_of(workspace: Path, name: str) -> PeonRecord | None:
    """A peon's private record, None where there is none; raises UsageError when it is broken."""
    path = record_place(workspace, name)
    if not path.exists():
        return None
    told = yamlfile.mapping(path).value
    try:
        return PeonRecord(
            name=name,
            peon_name=str(told["peon_name"]),
            uuid=str(told["uuid"]),
            provider=str(told["provider"]),
            expires=int(told["expires"]),
            destruction=CloudCommand.parsed(told["destruction"], name="destruction") if told["destruction"] else None,
            environment={str(key): str(value) for key, value in (told["environment"] or {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not a record of a peon: {error}") from error


def recorded(workspace: Path) -> Iterator[str]:
    """The names of all peons that have a private record."""
    for path in sorted((workspace / PRIVATE).glob(f"*{_SUFFIX}")):
        if path.stem not in _NOT_PEONS and _NAME.fullmatch(path.stem):
            yield path.stem


def forget_record(workspace: Path, name: str) -> None:
    """Remove a peon's private record; nothing to do where there is none."""
    record_place(workspace, name).unlink(missing_ok=True)


def result_place(workspace: Path, name: str, file: str) -> Path:
    """A file among the results of a peon; its folder is made. Raises KommandirError when that can't be."""
    folder = workspace / RESULTS / demand_name(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder / file


def keep_result(workspace: Path, name: str, file: str, content: str, redactor: Redactor) -> Path:
    """Write a file among the results of a peon, redacted, and return it; raises KommandirError when that can't be."""
    path = result_place(workspace, name, file)
    try:
        atomic.write(path, redactor.text(content), durable=False)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def redactor_of(environment: Mapping[str, Any], *more: Mapping[str, Any]) -> Redactor:
    """A redactor for what the commands of a peon print: knows the secrets in their environment and in variables."""
    redactor = Redactor(secret_values(environment))
    for variables in more:
        redactor.add(secret_values(variables))
    return redactor


def _unwritable(path: Path, error: OSError) -> ExekutirError:
    return KommandirError(
        f"{path} can't be written: {error.strerror}",
        hint="free some space or make the workspace writable, then run the same command again",
    )
