from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from exekutir.results.cleaning import clean, one_line, shortened, tail

ANY_TEXT = st.text(st.characters(codec=None), max_size=200)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;38;5;200mx\x1b[K", "x"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1b(Bplain", "plain"),
        ("\x1b]2;never ended\nnext", "\nnext"),
        ("\x1b", ""),
        ("a\r\nb\rc", "a\nb\nc"),
        ("tab\tstays", "tab\tstays"),
        ("nul\0bell\x07", "nul\ufffdbell\ufffd"),
        ("\ud800 alone", "\ufffd alone"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\ufffe\uffff", "\ufffd\ufffd"),
        ("日本 ü 🎉", "日本 ü 🎉"),
        (None, ""),
        (7, "7"),
        (["a", 1], "['a', 1]"),
    ],
)
def test_cleans(dirty: object, expected: str) -> None:
    assert clean(dirty) == expected


@given(ANY_TEXT)
def test_clean_text_controls_nothing_and_fits_into_xml(text: str) -> None:
    cleaned = clean(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", cleaned)
    element = etree.Element("x")
    element.text = cleaned
    assert etree.fromstring(etree.tostring(element)).text in (cleaned, None)


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(ANY_TEXT, st.integers(2, 50))
def test_one_line_is_one_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


@given(ANY_TEXT, st.integers(1, 5))
def test_tail_has_no_more_lines_than_asked_for(text: str, lines: int) -> None:
    assert len(tail(text, lines)) <= lines


def test_tail_is_the_end_without_empty_lines() -> None:
    assert tail("a\nb\n\n\tc  \n\n", 3) == ["b", "    c"]


def test_long_text_loses_its_middle() -> None:
    text = shortened("a" * 5000 + "b" * 5000, 1000)
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert "9000 characters left out" in text
