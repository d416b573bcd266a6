"""``$VAR`` and ``${VAR}``, and the words of ``arguments``."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.xn import words
from kommandir.xn.substitution import substituted

VALUES = {"WORKSPACE": "/w", "WORKSPACE2": "/w2", "A": "$B", "B": "b", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$WORKSPACE/x ${WORKSPACE}x", "/w/x /wx"),
        ("$WORKSPACE2 ${WORKSPACE2} $WORKSPACE.exit", "/w2 /w2 /w.exit"),
        ("$A${B}$A", "$Bb$B"),
        ("[$EMPTY]", "[]"),
        ("$UNKNOWN ${UNKNOWN} $WORKSPACEx", "$UNKNOWN ${UNKNOWN} $WORKSPACEx"),
        ("$$ $? $1 $(ls) $[1+1] ${B:-x} ${#B} $ ${ ${}", "$$ $? $1 $(ls) $[1+1] ${B:-x} ${#B} $ ${ ${}"),
        ("\\$B \\${B} \\\\$B", "\\$B \\${B} \\\\b"),
        ("a\\\n$B", "a\\\nb"),
        ("", ""),
    ],
)
def test_known_variables_are_replaced_and_nothing_else(text: str, expected: str) -> None:
    assert substituted(text, VALUES) == expected


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True)


@given(st.text(), st.dictionaries(NAMES, st.text()))
def test_a_text_without_a_dollar_stays_as_it_is(text: str, values: dict[str, str]) -> None:
    text = text.replace("$", "")
    assert substituted(text, values) == text


@given(st.lists(st.tuples(st.text(alphabet="ab ./-'\n"), NAMES)), st.dictionaries(NAMES, st.text()))
def test_each_name_in_braces_is_replaced_by_its_own_value(parts: list[tuple[str, str]], values: dict[str, str]) -> None:
    text = "".join(f"{plain}${{{name}}}" for plain, name in parts)
    expected = "".join(plain + values.get(name, f"${{{name}}}") for plain, name in parts)
    assert substituted(text, values) == expected


@given(st.text(), st.dictionaries(NAMES, st.text()))
def test_values_are_not_looked_into(text: str, values: dict[str, str]) -> None:
    harmless = {name: value.replace("$", "") for name, value in values.items()}
    once = substituted(text, {name: f"<{name}>" for name in harmless})
    for name, value in harmless.items():
        once = once.replace(f"<{name}>", value) if f"<{name}>" not in text else once
    if not any(f"<{name}>" in text + "".join(harmless.values()) for name in harmless):
        assert substituted(text, harmless) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n ", []),
        ('a \'b c\' "d\\"e"', ["a", "b c", 'd"e']),
        ("-c 'exit \"$X\"' '' \"\"", ["-c", 'exit "$X"', "", ""]),
        ("a # don't\nb", ["a", "b"]),
        ("http://x/#top x'y'#z", ["http://x/#top", "xy#z"]),
        ("# all of it", []),
        ("a\\\nb c \\\n d", ["ab", "c", "d"]),
        ("a\\ b \\# \\'", ["a b", "#", "'"]),
        ('"a\\$b\\n" "a\\\nb"', ["a$b\\n", "ab"]),
        ("'a\\b\n# c'", ["a\\b\n# c"]),
    ],
)
def test_words_are_split_as_a_shell_does(text: str, expected: list[str]) -> None:
    assert words.split(text) == expected


@pytest.mark.parametrize(("text", "why"), [("a 'b", "the quote ' in line 1"), ('a\n"b', 'the quote " in line 2'),
                                           ("a\\", "a backslash stands at the end")])  # fmt: skip
def test_what_is_never_closed_is_named(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        words.split(text)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_quoted_words_come_back(parts: list[str]) -> None:
    assert words.split(shlex.join(parts)) == parts


@given(st.text(alphabet="ab '\"\\ \t", max_size=30))
def test_where_no_comment_or_line_end_is_near_it_splits_as_the_library_does(text: str) -> None:
    try:
        expected = shlex.split(text, comments=False)
    except ValueError:
        with pytest.raises(ValueError, match=r"not closed|at the end"):
            words.split(text)
    else:
        assert words.split(text) == expected
