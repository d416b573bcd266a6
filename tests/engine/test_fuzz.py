"""Nonsense never crashes the engine, never hangs it, and never gets out of the sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from narval_engine import Element, Input, Recipe, Registry
from narval_engine.calendars import FIELDS, Schedule, TimeError
from narval_engine.expressions import ExpressionError, compiled
from narval_engine.places import Mistake
from narval_engine.recipes import Time
from narval_engine.validity import mistakes_of
from narval_engine.xmlrecipes import recipes_of as xml_recipes
from narval_engine.yamlrecipes import recipes_of as yaml_recipes

ESCAPES = [
    "__import__('os').system('true')",
    "open('/etc/passwd')",
    "eval('1')",
    "exec('1')",
    "globals()",
    "elmt.__class__.__mro__",
    "elmt.__dict__",
    "elmt._begin('x')",
    "().__class__.__bases__[0].__subclasses__()",
    "[x for x in (1,)].__class__",
    "(x for x in [1]).gi_frame.f_back.f_globals",
    "any(elmt.gi_frame for elmt in [(x for x in [1])])",
    "[1 for elmt.v in [1]]",
    "[1 for elmt.d['k'] in [1]]",
    "'{0.__class__}'.format(elmt)",
    "'%s' % elmt",
    "f'{elmt}'",
    "getattr(elmt, '__class__')",
    "getattr(elmt, '__cl' + 'ass__')",
    "hasattr(elmt, '__class__') and getattr(elmt, '__init__')",
    "getattr(isinstance, '__self__')",
    "elmt.attributes.__globals__",
    "elmt.attributes.__func__",
    "getattr(elmt.attributes, 'f_globals')",
    "elmt.module.system('true')",
    "elmt.function.__globals__",
    "elmt.function()",
    "(lambda: 1)()",
    "(yield 1)",
    "(await elmt)",
    "(x := 1)",
    "elmt.l.append(1)",
    "elmt.d.clear()",
    "elmt.d.pop('k')",
    "[*elmt.l]",
    "dict(**elmt.d)",
    "print(1)",
    "type(elmt)",
    "vars(elmt)",
    "str.__subclasses__()",
    "int.from_bytes(b'a', 'big')",
    "Element.mro()",
    "_attribute(elmt, '__class__')",
    "NAMES",
    "__builtins__",
]
COSTLY = [
    "9 ** 9 ** 9",
    "1 << 10 ** 10",
    "'a' * 10000000000",
    "[0] * 10000000000",
    "round(1, -999999999)",
    "sum([[1]], [])",
    "[a for a in elmt.l for b in elmt.l for c in elmt.l]",
    "any([any(b for b in elmt.l) for a in elmt.l] for c in elmt.l)",
    "'%1000000000d' % 1",
    "'a'.ljust(1000000000)",
    "'a'.replace('', 'b')",
    "int('9' * 100000)",
    "(" * 500 + "1" + ")" * 500,
    "-" * 1900 + "1",
    "not " * 490 + "1",
    "[" * 300 + "]" * 300,
    "1+" * 990 + "1",
    "elmt" + ".a" * 900,
    "1 if 1 else " * 150 + "1",
    "x" * 100_000,
]


ACTIONS = Registry()
ACTIONS.register("M.x", lambda _given: None, [Input("i", ("elmt.type == 'x'",))])


def element() -> Element:
    return Element("x", v=1, l=[1] * 300, d={"k": 1}, module=os, function=element, text="some")


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_leads_out_of_an_expression(source: str) -> None:
    thing = element()
    before = (list(thing.l), dict(thing.d), thing.v)
    try:
        expression = compiled(source)
    except ExpressionError:
        pass
    else:
        assert not expression.matches(thing)
    assert (thing.l, thing.d, thing.v) == before


def test_no_expression_costs_much() -> None:
    """All of them in a process that has little memory and some seconds of CPU."""
    program = (
        "import json, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "from narval_engine import Element\n"
        "from narval_engine.expressions import ExpressionError, compiled\n"
        "for source in json.load(sys.stdin):\n"
        "    try:\n"
        "        compiled(source).matches(Element('x', v=1, l=[1] * 300, d={'k': 1}))\n"
        "    except ExpressionError:\n"
        "        pass\n"
        "print('through')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(COSTLY), capture_output=True, text=True, check=False
    )
    assert answer.stdout == "through\n", answer.stderr


ATOMS = st.sampled_from(
    ["elmt", "elmt.v", "elmt.type", "elmt.l", "elmt.d", "1", "'x'", "None", "[]", "{}", "len", "a", "__class__", "True"]
)
OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "==", "<", "in", "is", "and", "or"])
expressions = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(lambda a, op, b: f"({a} {op} {b})", inner, OPERATORS, inner),
        st.builds(
            lambda a, name: f"{a}.{name}", inner, st.sampled_from(["v", "real", "keys", "__class__", "mro", "append"])
        ),
        st.builds(lambda a, b: f"{a}({b})", inner, inner),
        st.builds(lambda a, b: f"{a}[{b}]", inner, inner),
        st.builds(lambda a, b: f"[{a} for a in {b}]", inner, inner),
        st.builds(lambda a, b, c: f"({a} if {b} else {c})", inner, inner, inner),
    ),
    max_leaves=12,
)


@given(expressions | st.text(max_size=60))
@example("elmt.v == 1")
@settings(max_examples=400)
def test_any_text_is_an_expression_or_refused(source: str) -> None:
    thing = element()
    try:
        expression = compiled(source, ("a",))
    except ExpressionError:
        return
    assert expression.matches(thing, {"a": Element("y")}) in {True, False}
    assert (thing.v, len(thing.l), thing.d) == (1, 300, {"k": 1})


def test_facts_of_an_expression_never_hide_what_it_matches() -> None:
    @given(expressions)
    @settings(max_examples=300)
    def check(source: str) -> None:
        try:
            expression = compiled(f"elmt.type == 'x' and {source}")
        except ExpressionError:
            return
        if expression.matches(element()):
            assert set(expression.facts.types) <= {"x"}

    check()


PIECES = st.sampled_from(
    [
        *(
            "<recipe group='g' name='r'>",
            "</recipe>",
            "<cookbook>",
            "</cookbook>",
            "<step id='a' type='action' target='M.x'>",
        ),
        *(
            "</step>",
            "<transition id='t'>",
            "</transition>",
            "<in idref='a'/>",
            "<out idref='b'/>",
            "<time hours='25'/>",
        ),
        *(
            "<condition>",
            "</condition>",
            "<match>",
            "</match>",
            "elmt.",
            "&amp;",
            "&x;",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
        ),
        *(
            "<!DOCTYPE a [<!ENTITY x 'y'>]>",
            "\x00",
            "é",
            "<arguments>",
            "</arguments>",
            "<eval>",
            "</eval>",
            "<x eid='1'/>",
        ),
        *("<?xml version='1.0' encoding='utf-9'?>", "<x narval:class='Plan'/>", "<x narval:values='{'/>", " "),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=80) | st.binary(max_size=80))
@settings(max_examples=300)
def test_any_xml_is_read_or_refused(text: str | bytes) -> None:
    mistakes: list[Mistake] = []
    recipes = xml_recipes(text, "f.xml", mistakes)
    assert recipes or mistakes or b"cookbook" in (text if isinstance(text, bytes) else text.encode())
    check(recipes, mistakes)


def check(recipes: list[Recipe], mistakes: list[Mistake]) -> None:
    """Whatever was read can be checked, and every mistake has its place."""
    known = {recipe.full_name: recipe for recipe in recipes}
    for recipe in recipes:
        mistakes += mistakes_of(recipe, ACTIONS.get, known)
    for mistake in mistakes:
        assert mistake.place is not None
        assert mistake.place.line >= 1


LINES = st.sampled_from(
    [
        *(
            "recipe:",
            "  group: g",
            "  name: r",
            "  steps:",
            "    a: {target: M.x}",
            "    - {id: b, target: [1]}",
            "  restart: maybe",
        ),
        *(
            "  transitions:",
            "    - {in: a, out: b, when: {match: elmt.v}}",
            "    t: {in: {error: a}, out: [b], time: [1]}",
        ),
        *(
            "recipes:",
            "  - recipe",
            "&a",
            "*a",
            "!!python/object:os.system {}",
            "<<: *a",
            "  decay: .nan",
            "? [a]: b",
            "\t",
            "---",
        ),
        *(
            "    a:",
            "      arguments: [{x: {v: 1}}, {eval: 1}, 3, {}]",
            "      inputs: {i: {match: [a, 1]}}",
            "      attempts: 1e400",
        ),
    ]
)


@given(st.lists(LINES, max_size=14).map("\n".join) | st.text(max_size=80) | st.binary(max_size=80))
@settings(max_examples=300)
def test_any_yaml_is_read_or_refused(text: str | bytes) -> None:
    mistakes: list[Mistake] = []
    recipes = yaml_recipes(text, "f.yml", mistakes)
    assert recipes or mistakes or b"recipes" in (text if isinstance(text, bytes) else text.encode())
    check(recipes, mistakes)


@given(st.sampled_from(FIELDS), st.text("0123456789,-*/ ", max_size=12), st.floats(-1e10, 2e11))
@settings(max_examples=300)
def test_any_time_is_read_or_refused(field: str, text: str, now: float) -> None:
    try:
        said: dict[str, Any] = {field: text}
        schedule = Schedule.of(Time(**said))
    except TimeError:
        return
    due = schedule.next(now)
    assert due is None or isinstance(due, float)


@pytest.mark.parametrize("kind", ["xml", "yml"])
def test_bombs_are_refused(kind: str) -> None:
    """In a process of its own, which has little memory."""
    xml = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    yml = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    text = f"{xml}]><cookbook>&j;</cookbook>" if kind == "xml" else yml
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29)); "
        f"from narval_engine.{'xml' if kind == 'xml' else 'yaml'}recipes import recipes_of; m = []; "
        "print(recipes_of(sys.stdin.read(), 'f', m), len(m))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.startswith("[] ")
    assert answer.stdout.strip() != "[] 0"
