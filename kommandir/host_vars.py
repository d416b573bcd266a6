"""The host variables of a workspace's inventory: what a provisioning command printed is merged into them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kommandir import atomic, yamlfile
from kommandir.yamlfile import UnsafeValue

#: Where Ansible looks, in this order; only the first that is there counts.
_PLACES = ("", ".yml", ".yaml", ".json")
#: In a folder of host variables Ansible reads the files in the order of their names.
_LAST = "zz_provisioned.yml"


def place(workspace: Path, host: str) -> Path:
    """The file whose values Ansible takes last for ``host``: ``inventory/host_vars/HOST.yml`` where there is none."""
    folder = workspace / "inventory" / "host_vars"
    for suffix in _PLACES:
        path = folder / f"{host}{suffix}"
        if path.is_dir():
            return path / _LAST
        if path.exists():
            return path
    return folder / f"{host}.yml"


def read(workspace: Path, host: str) -> dict[str, Any]:
    """The variables in that file, {} where there is none; raises UsageError when it is broken."""
    path = place(workspace, host)
    return dict(yamlfile.mapping(path).value) if path.exists() else {}


def merged(workspace: Path, host: str, told: Mapping[str, Any], templates: Mapping[str, str] | None = None) -> Path:
    """Merge variables into that file in one step, and return it; it is for the owner's eyes, as it may hold secrets.

    ``told`` are texts of a foreign program, so a template in one of them stays a text. ``templates`` are ours.
    Raises UsageError when the file that is there is broken, OSError when it can't be written.
    """
    path = place(workspace, host)
    known = read(workspace, host)
    new = {**known, **(templates or {}), **{key: _untemplated(value) for key, value in told.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    if new != known:
        atomic.write(path, "---\n" + yamlfile.dump(new), mode=0o600)
    return path


def emptied(workspace: Path, host: str) -> None:
    """Forget all variables in that file, which stays: Ansible remembers in a process which files there are.

    Raises OSError when it can't be written.
    """
    path = place(workspace, host)
    if path.exists():
        atomic.write(path, "--- {}\n", mode=0o600)


def _untemplated(value: Any) -> Any:
    if isinstance(value, str):
        return UnsafeValue(value) if "{{" in value or "{%" in value or "{#" in value else value
    if isinstance(value, Mapping):
        return {key: _untemplated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_untemplated(item) for item in value]
    return value
