"""What the peons' own JUnit files say.

Peons are not trusted: no entity is expanded, no link followed, nothing but plain files opened, sizes are limited.
"""

from __future__ import annotations

import os
import xml.parsers.expat as expat
from pathlib import Path

from exekutir.results.cleaning import one_line, shortened
from exekutir.results.record import JUnitFile, PeonTest

#: Bytes of a JUnit file and test cases of a file that are read at most.
LARGEST = 32 << 20
MOST_CASES = 50_000
_KEPT_TEXT = 16_384


def read_file(file: Path, *, peon: str, path: str) -> JUnitFile | None:
    """What a JUnit file says, as far as it can be read; None where it is another kind of XML."""
    read = JUnitFile(peon, path)
    reader = _Reader(read)
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if os.fstat(handle).st_size > LARGEST:
                read.broken = f"larger than {LARGEST >> 20} MiB, not read"
            else:
                reader.parser.ParseFile(stream)
    except OSError as error:
        read.broken = error.strerror or "not readable"
    except expat.ExpatError as error:
        read.broken = one_line(error)
    except _RefusedError as error:
        read.broken = str(error)
    reader.forget()
    return read if reader.is_junit or read.broken else None


class _RefusedError(Exception):
    """The file holds what an honest JUnit file never does, or too much of it."""


class _Reader:
    """Reads test cases as expat comes along them."""

    def __init__(self, into: JUnitFile) -> None:
        self.is_junit = False
        self._into = into
        self._depth = 0
        self._suites: list[str] = []
        self._case: dict[str, str] | None = None
        self._text: list[str] | None = None
        self._kept = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse_entity

    def forget(self) -> None:
        """Break the circle of references between the parser and its handlers."""
        self.parser.StartElementHandler = self.parser.EndElementHandler = None
        self.parser.CharacterDataHandler = self.parser.EntityDeclHandler = None

    def _refuse_entity(self, *_declaration: object) -> None:
        raise _RefusedError("it declares entities, not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self.is_junit = name in ("testsuites", "testsuite")
        if not self.is_junit:
            return
        if name == "testsuite":
            self._suites.append(one_line(attributes.get("name")))
        elif name == "testcase":
            self._start_case(attributes)
        elif self._case is not None and name in ("failure", "error", "skipped"):
            self._case["outcome"] = "failed" if name == "failure" else name
            self._case["message"] = attributes.get("message", "")
            self._open_text()
        elif self._case is not None and name in ("system-out", "system-err"):
            self._open_text()

    def _start_case(self, attributes: dict[str, str]) -> None:
        if len(self._into.cases) >= MOST_CASES:
            raise _RefusedError(f"more than {MOST_CASES:,} test cases, the others not read")
        told = {key: attributes.get(key, "") for key in ("classname", "name", "time")}
        self._case = {"outcome": "passed", "message": "", "output": "", **told}

    def _open_text(self) -> None:
        self._text, self._kept = [], 0

    def _characters(self, data: str) -> None:
        if self._text is not None and self._kept < _KEPT_TEXT:
            self._text.append(data[: _KEPT_TEXT - self._kept])
            self._kept += len(data)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._text is not None and self._case is not None:
            if name in ("failure", "error", "skipped", "system-out", "system-err"):
                self._case["output"] += "".join(self._text).strip() + "\n"
                self._text = None
        elif name == "testcase" and self._case is not None:
            self._end_case(self._case)
            self._case = None
        elif name == "testsuite" and self._suites:
            self._suites.pop()

    def _end_case(self, case: dict[str, str]) -> None:
        bad = case["outcome"] in ("failed", "error")
        output = shortened(case["output"]) if bad else ""
        self._into.cases.append(
            PeonTest(
                suite=next((suite for suite in reversed(self._suites) if suite), ""),
                classname=one_line(case["classname"]),
                name=one_line(case["name"]) or "test",
                seconds=_seconds(case["time"]),
                outcome=case["outcome"],
                message=shortened(case["message"], 2000) or one_line(output),
                output=output,
            )
        )


def _seconds(text: str) -> float:
    """``1.5``, ``1,234.5`` (as some runners write it); 0 for what is no duration."""
    try:
        seconds = float((text or "0").replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
