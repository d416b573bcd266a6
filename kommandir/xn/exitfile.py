"""``exitfile``, ``stdoutfile`` and ``stderrfile``: files that an item writes."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

from kommandir import atomic
from kommandir.errors import KommandirError, UsageError
from kommandir.xn.reading import Item
from kommandir.xn.request import StepResult
from kommandir.xn.surroundings import Surroundings


def begin(item: Item, surroundings: Surroundings) -> None:
    """Empty the ``exitfile``, so that nobody takes an earlier exit code for that of an item that was killed."""
    path = surroundings.file(item, "exitfile")
    if path is not None:
        _write(item, path, "")


def end(item: Item, surroundings: Surroundings, result: StepResult) -> StepResult:
    """Write the exit code into the ``exitfile``, where there is one: then it does not stop the job.

    What a signal or a deadline ended stops the job all the same.
    """
    path = surroundings.file(item, "exitfile")
    if path is None:
        return result
    _write(item, path, str(result.exit_code))
    return dataclasses.replace(result, swallowed=not result.stopped)


def opened(item: Item, path: Path) -> OutputFile:
    """``path`` emptied and opened for the output of an item, readable by its owner alone if it is new."""
    try:
        new = not path.exists()
        file = OutputFile(path)
        if new:
            path.chmod(0o600)
    except OSError as error:
        raise UsageError(
            f"{item.place}: {path} can't be written: {error.strerror}", hint="make its directory"
        ) from error
    return file


class OutputFile(io.FileIO):
    """A file for the output of an item. When it can't take all of it (disk full), KommandirError ends the item."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        self.path = path

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            raise KommandirError(
                f"the output can't be written to {self.path}: {error.strerror}",
                hint="free some space, then run it again",
            ) from error
        return len(data)


def _write(item: Item, path: Path, text: str) -> None:
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a device or a pipe is not to be replaced
        else:
            atomic.write(path.resolve(), text)
    except OSError as error:
        raise UsageError(
            f"{item.place}: {path} can't be written: {error.strerror}", hint="make its directory"
        ) from error
