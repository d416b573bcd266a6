"""Folders laid over each other, as ``setup`` lays a job over the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

#: Never part of a job's content.
_NOT_CONTENT = frozenset(
    {".git", "__pycache__", "results", "cache", "ssh", "private", "kommandir_workspace", "exekutir_vars.yml"}
)
#: What a workspace has that lies in the folder of its job.
_WORKSPACE_MARK = ".exekutir-workspace"
#: How ``setup`` names the copy of a default that a job may hide.
_DEFAULT = "default_"


@dataclass(frozen=True)
class Overlay:
    """A read-only view of several folders as one; a file of a later one hides an earlier one's."""

    folders: tuple[Path, ...]
    #: A folder whose files are there a second time as ``default_NAME``, hidden or not.
    defaults: Path | None = None
    _below: dict[str, dict[str, Path]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def top(self) -> Mapping[str, Path]:
        """Names of what lies at the top, and where each is."""
        return {name: Path(entry) for folder in self.folders for name, entry in _entries(folder)}

    def files(self, below: str) -> Mapping[str, Path]:
        """All files below a folder at the top, by their way from there (``a/b.yml``), sorted; links are followed."""
        if below not in self._below:
            found: dict[str, Path] = {}
            for folder in self.folders:
                found.update(_walk(folder / below))
            self._below[below] = dict(sorted(found.items(), key=lambda item: PurePosixPath(item[0]).parts))
        return self._below[below]

    def file(self, way: str) -> Path | None:
        """The file at a way from the top that holds, or None."""
        found = next((path for folder in reversed(self.folders) if (path := folder / way).is_file()), None)
        if found is None and self.defaults is not None and way.startswith(_DEFAULT) and "/" not in way:
            kept = self.defaults / way.removeprefix(_DEFAULT)
            return kept if kept.is_file() else None
        return found


def _entries(folder: Path) -> list[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            named = [(entry.name, entry.path) for entry in entries if entry.name not in _NOT_CONTENT]
    except OSError:
        return []
    return sorted((name, path) for name, path in named if not os.path.lexists(f"{path}/{_WORKSPACE_MARK}"))


def _walk(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in _NOT_CONTENT]
        for name in names:
            path = Path(parent, name)
            found[path.relative_to(folder).as_posix()] = path
    return found
