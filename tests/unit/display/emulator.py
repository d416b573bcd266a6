"""A terminal as far as the display uses one: a screen, a cursor, and what scrolled away."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b(.)")


class Terminal:
    """Feeds on what a program writes; ``lines`` is what a person sees, scrolled lines first."""

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self.rows: list[str] = [""]
        self.row = self.column = 0
        self.cursor_shown = True
        #: Escape sequences that this terminal does not know.
        self.unknown: list[str] = []

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            found = _SEQUENCE.match(text, position)
            if found:
                self._control(found)
                position = found.end()
            else:
                self._character(text[position])
                position += 1

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in "\n".join(self.rows).rstrip().split("\n")]

    def _character(self, character: str) -> None:
        if character == "\n":
            self.row, self.column = self.row + 1, 0
        elif character == "\r":
            self.column = 0
        else:
            if self.column == self.columns:
                self.row, self.column = self.row + 1, 0
            self._fill()
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1
        self._fill()

    def _fill(self) -> None:
        while len(self.rows) <= self.row:
            self.rows.append("")

    def _control(self, found: re.Match[str]) -> None:
        arguments, kind = found.group(1), found.group(2)
        if kind == "A":
            self.row = max(0, self.row - int(arguments or 1))
        elif kind == "K" and arguments == "2":
            self.rows[self.row] = ""
        elif kind in "hl" and arguments == "?25":
            self.cursor_shown = kind == "h"
        elif kind != "m":
            self.unknown.append(found.group())
