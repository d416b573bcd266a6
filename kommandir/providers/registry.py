"""The providers there are: those that ship, and executables in a job's ``providers`` folder, which win by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kommandir.errors import ProvisioningError, UsageError

#: Name to file, of those that ship. A new one is one file, and a line here.
SHIPPED = {"namespace": "namespace.py", "podman": "podman.py", "qemu": "qemu.py", "existing": "existing.py"}
#: The folder of a job, and so of a workspace, with its own providers, each an executable file.
FOLDER = "providers"
#: Seconds that a provider may take to say what it is.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """What a provider says about itself."""

    name: str
    #: The executable.
    path: Path
    summary: str = ""
    #: Whether it works on this host.
    available: bool = False
    #: Why it does not.
    why: str | None = None
    #: Option to its kind, default and meaning.
    options: dict[str, Any] = field(default_factory=dict)


def names(workspace: Path | None = None) -> list[str]:
    """The names of all providers, those that ship first."""
    own = sorted(path.name for path in _own(workspace))
    return [*SHIPPED, *(name for name in own if name not in SHIPPED)]


def _own(workspace: Path | None) -> Iterator[Path]:
    folder = (workspace or Path()) / FOLDER
    if workspace is not None and folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))


def provider_executable(name: str, workspace: Path | None = None) -> list[str]:
    """How to call a provider: the words before its action. Raises UsageError for a name that is none."""
    own = next((path for path in _own(workspace) if path.name == name), None)
    if own:
        return [str(own.resolve())]
    if name not in SHIPPED:
        known = ", ".join(names(workspace))
        raise UsageError(
            f"{name}: there is no such provider", hint=f"there are: {known}; a new one is an executable in {FOLDER}/"
        )
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name(SHIPPED[name]))]


def called(name: str, *arguments: str, workspace: Path | None = None, seconds: float = PATIENCE) -> str:
    """The standard output of a provider's action, which must succeed.

    Raises ProvisioningError with what it said on standard error, UsageError for a name that is no provider.
    """
    command = [*provider_executable(name, workspace), *arguments]
    try:
        outcome = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProvisioningError(f"the provider {name} could not be asked to {arguments[0]}", why=str(error)) from error
    if outcome.returncode:
        raise ProvisioningError(
            f"the provider {name} ended with {outcome.returncode} when asked to {' '.join(arguments)}",
            why=outcome.stderr,
        )
    return outcome.stdout


def parsed(name: str, text: str) -> Any:
    """What a provider printed; raises ProvisioningError when it is not YAML."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProvisioningError(
            f"the provider {name} printed what is not YAML", why=f"{error}\n{text[:500]}"
        ) from error


def available_providers(workspace: Path | None = None) -> list[ProviderInfo]:
    """All providers with what they say about themselves; one that cannot be asked is not available, and says why."""
    return [_described(name, workspace) for name in names(workspace)]


def _described(name: str, workspace: Path | None) -> ProviderInfo:
    path = Path(provider_executable(name, workspace)[-1])
    try:
        told = parsed(name, called(name, "describe", workspace=workspace))
    except ProvisioningError as error:
        return ProviderInfo(name=name, path=path, why=str(error))
    if not isinstance(told, dict):
        return ProviderInfo(name=name, path=path, why="its `describe` prints no mapping")
    why = told.get("why")
    return ProviderInfo(
        name=name,
        path=path,
        summary=str(told.get("summary", "")),
        available=bool(told.get("available")),
        why=None if why is None else str(why),
        options=dict(told.get("options") or {}),
    )
