"""Real terminals and pipes for the display."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tests.event_streams import Told
from tests.unit.display.emulator import Terminal


class Pty:
    """A pseudo terminal; ``stream`` is its program's side, ``seen`` what a person has seen so far."""

    def __init__(self, columns: int, lines: int, encoding: str) -> None:
        self.master, slave = pty.openpty()
        self.columns = columns
        self._set_size(columns, lines)
        self.stream: TextIO = os.fdopen(slave, "w", encoding=encoding)
        self._data = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 1 << 16):
                self._data += data

    def raw(self) -> str:
        """Everything that was written, after the program's side was closed."""
        self.stream.close()
        self._reader.join(10)
        return self._data.decode("utf-8", "replace").replace("\r\n", "\n")

    def terminal(self) -> Terminal:
        terminal = Terminal(self.columns)
        terminal.feed(self.raw())
        return terminal


@pytest.fixture
def new_pty() -> Iterator[Callable[..., Pty]]:
    """Makes pseudo terminals of a size; they are closed after the test."""
    opened: list[Pty] = []

    def make(columns: int = 80, lines: int = 24, encoding: str = "utf-8") -> Pty:
        opened.append(Pty(columns, lines, encoding))
        return opened[-1]

    yield make
    for one in opened:
        one.raw()
        os.close(one.master)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TextIO]:
    """A file as standard output."""
    with (tmp_path / "stdout").open("w+", encoding="utf-8") as stream:
        yield stream


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """A fresh workspace, to tell events to."""
    return Told(tmp_path / "ws")
