"""YAML of users as `job.xn` needs it: several documents, the line of everything, and no text that brings us down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir import yamlfile
from kommandir.errors import UsageError


def test_lines_count_from_the_start_of_the_text_in_every_document() -> None:
    first, second = yamlfile.parse_all("---\n- a: 1\n---\n- b:\n    c: 2\n", "job.xn")
    assert (first.value, first.line(0, "a")) == ([{"a": 1}], 2)
    assert (second.value, second.line(0, "b", "c")) == ([{"b": {"c": 2}}], 5)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: [", "x:3:1: not valid YAML"),
        ("a: 1\na: 2", "x:2: key `a` stands here twice"),
        ("a: &a [*a]", "x:1: an alias stands inside of what it names"),
        ("a:\n  !!int five", "x:2: `five` is no int"),
        ("2020-99-99", "x:1: `2020-99-99` is no timestamp"),
        ("!!timestamp no", "x:1: `no` is no timestamp"),
        ("? [a]\n: 1", "x:1: a list or mapping can't be a key"),
        ("a: !!python/object:os.system 1", "x:1:4: not valid YAML"),
        ("[" * 150, "x:"),
        ("[" * 100_000, "x:1: too deep to be meant"),
        ("- " * 100_000, "x:1: too deep to be meant"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{n}: &b{n} [{','.join(['*a' if n == 0 else f'*b{n - 1}'] * 9)}]\n"
                                                 for n in range(9)), "too large or too deep to be meant"),
        ("\ud800", "x: not valid YAML"),
        ("\x00", "x: not valid YAML"),
    ],
)  # fmt: skip
def test_a_broken_text_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        yamlfile.parse_all(text, "x")
    assert place in str(caught.value)


def test_a_file_of_one_document_has_no_second() -> None:
    with pytest.raises(UsageError, match="x:4: a second document starts here"):
        yamlfile.parse("a: 1\n---\n\nb: 1\n", "x")


@given(st.text(alphabet="ab:-{}[]&*!<>|?,'\"#%@\n \t0.~") | st.text())
def test_any_text_is_read_or_is_a_mistake(text: str) -> None:
    try:
        documents = yamlfile.parse_all(text, "x")
    except UsageError:
        return
    assert all(document.line(0, "a") >= 1 for document in documents)
