"""The files that peons left in ``results/NAME/``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from exekutir.results.record import JUnitFile

#: Files of a peon that are listed at most.
MOST_FILES = 500


def files_of_peons(results: Path) -> dict[str, list[str]]:
    """The files below each folder of ``results``, relative to it, sorted; MOST_FILES of a folder at most."""
    try:
        folders = sorted(entry.name for entry in os.scandir(results) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return {}
    return {name: list(_files(results, name)) for name in folders if not name.startswith(".")}


def _files(results: Path, name: str) -> Iterator[str]:
    number = 0
    for folder, folders, files in os.walk(results / name):
        folders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            if number < MOST_FILES and _is_plain(path):
                number += 1
                yield str(path.relative_to(results))


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def junit_files(results: Path, files: dict[str, list[str]]) -> list[JUnitFile]:
    """What the JUnit files among ``files`` say; XML of another kind is none."""
    found = [(peon, path) for peon, paths in files.items() for path in paths if path.endswith(".xml")]
    if not found:
        return []
    from exekutir.results import peon_tests

    read = (peon_tests.read_file(results / path, peon=peon, path=f"results/{path}") for peon, path in found)
    return [file for file in read if file is not None]
