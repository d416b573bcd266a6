from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

import pytest

from exekutir.display.looks import chosen

UTF8 = {"LANG": "C.UTF-8"}


@pytest.mark.parametrize(
    ("asked", "environ", "form", "colour"),
    [
        ("auto", {"TERM": "xterm"}, "board", True),
        ("auto", {"TERM": "xterm", "CI": "true"}, "plain", True),
        ("auto", {"TERM": "xterm", "CI": "false"}, "board", True),
        ("auto", {"TERM": "dumb"}, "plain", False),
        ("auto", {}, "plain", False),
        ("auto", {"TERM": "dumb", "FORCE_COLOR": "1"}, "plain", True),
        ("auto", {"TERM": "xterm", "NO_COLOR": "1"}, "board", False),
        ("auto", {"TERM": "xterm", "NO_COLOR": ""}, "board", True),
        ("auto", {"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, "board", False),
        ("plain", {"TERM": "xterm"}, "plain", True),
        ("json", {"TERM": "xterm", "FORCE_COLOR": "1"}, "json", False),
    ],
)
def test_on_a_terminal(
    new_pty: Callable[..., Any], asked: str, environ: dict[str, str], form: str, colour: bool
) -> None:
    looks = chosen(asked, new_pty().stream, environ)
    assert (looks.form, looks.colour) == (form, colour)


@pytest.mark.parametrize(
    ("asked", "environ", "form", "colour"),
    [
        ("auto", {"TERM": "xterm"}, "plain", False),
        ("auto", {"TERM": "xterm", "FORCE_COLOR": "1"}, "plain", True),
        ("auto", {"FORCE_COLOR": "0"}, "plain", False),
        ("json", {}, "json", False),
    ],
)
def test_in_a_file(log: TextIO, asked: str, environ: dict[str, str], form: str, colour: bool) -> None:
    looks = chosen(asked, log, environ)
    assert (looks.form, looks.colour) == (form, colour)


@pytest.mark.parametrize(
    ("environ", "encoding", "unicode"),
    [
        ({"LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "utf-8", False),
        ({"LANG": "C"}, "utf-8", False),
        ({}, "utf-8", False),
        ({"LANG": "C.UTF-8"}, "ascii", False),
        ({"LANG": "C.UTF-8"}, "latin-1", False),
    ],
)
def test_signs_beyond_ascii(new_pty: Callable[..., Any], environ: dict[str, str], encoding: str, unicode: bool) -> None:
    assert chosen("auto", new_pty(encoding=encoding).stream, environ).unicode is unicode


def test_a_closed_stream_is_no_terminal(log: TextIO) -> None:
    log.close()
    assert chosen("auto", log, {"TERM": "xterm"}).form == "plain"
