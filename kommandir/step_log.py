"""The log of one step: all of its output, redacted, in one file under ``results/logs``."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from types import TracebackType
from typing import IO

from kommandir.events import EventStream

#: Colours and cursor movements of terminals.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")


def plain(text: str) -> str:
    """``text`` without colours, cursor movements and carriage returns."""
    return _ANSI.sub("", text).replace("\r", "")


class StepLog:
    """A text file that is written line by line; a full disk ends the log with a warning, not the job."""

    def __init__(self, path: Path, workspace: Path, events: EventStream) -> None:
        self.path = path
        #: As events name it.
        self.name = str(path.relative_to(workspace)) if path.is_relative_to(workspace) else str(path)
        self._events = events
        self._file: IO[bytes] | None = None
        self._broken = False

    def write(self, text: str) -> None:
        """Append ``text`` as one or more lines."""
        if self._broken:
            return
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = io.FileIO(self.path, "w")
                self.path.chmod(0o600)
            self._file.write(self._events.redactor.text(plain(text)).encode(errors="replace") + b"\n")
        except OSError as error:
            self._broken = True
            self._events.emit("warning", message=f"the log {self.name} can't be written: {error.strerror}")

    def __enter__(self) -> StepLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # nothing is lost: writes are unbuffered
                self._file.close()
