"""Homes as data: what a home holds, and what the manual says comes of it, looked at through the command alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.engine.homes import HomeOnDisk, recipe

#: The actions of the cases; each tells on standard error with what it was called: ``CALL step(input=type:v ...)``.
ACTIONS = """
import sys

from narval_engine import Element, ErrorElement, running

X, Y = 'elmt.type == "x"', 'elmt.type == "y"'


def _in(name, match=X, more=""):
    return f'<input id="{name}" {more}><match>{match}</match></input>'


def _out(match=X, more=""):
    return f'<output id="o" {more}><match>{match}</match></output>'


ACTIONS = {
    "noop": "", "x": _in("i"), "x_use": _in("i", X, 'use="yes"'), "x_out": _in("i", X, 'outdates="yes"'),
    "x_list": _in("i", X, 'list="yes"'), "x_list_use": _in("i", X, 'list="yes" use="yes"'),
    "x_opt": _in("i", X, 'optional="yes"'), "x_list_opt": _in("i", X, 'list="yes" optional="yes"'),
    "x_plan": _in("i", X, 'to_context="plan"'), "x_not_use": _in("i", X, 'use="no" outdates="no"'),
    "xx": _in("a") + _in("b"), "xx_use": _in("a", X, 'use="yes"') + _in("b", X, 'use="yes"'),
    "xxl": _in("a") + _in("b", X, 'list="yes"'), "xlx": _in("b", X, 'list="yes"') + _in("a"),
    "xox": _in("a", X, 'optional="yes"') + _in("b"),
    "xz_use": _in("a", X, 'use="yes"') + _in("b", 'elmt.type == "z"'),
    "ab": _in("a") + _in("b", Y + "</match><match>int(b.v) == int(a.v) + 1"),
    "handler": _in("e", "isinstance(elmt, ErrorElement)"),
    "mkx": _out(), "mkx2": _out(X, 'list="yes"'), "mky": _out(Y), "mkx_out": _in("i") + _out(X, 'outdates="i"'),
    "x2x": _in("i") + _out(), "x2y": _in("i") + _out(Y), "x2y_err2": _in("i") + _out(Y),
    "x2xx": _in("i") + _out(X, 'list="yes"'), "ylist": _in("i", Y, 'list="yes"'),
    "err": "", "boom": "", "err_and_y": _out(Y), "err_list": "", "nothing": _out(Y, 'optional="yes"'),
    "out_unknown": _out(Y), "out_nomatch": _out(Y), "out_missing": _out(Y), "out_many": _out(Y),
    "out_none": "", "out_text": "", "out_number": _out(Y), "out_errplain": "", "out_twice": _out(Y, 'list="yes"'),
    "start": '<output id="o"><match>elmt.type == "start-plan"</match></output>',
}


def _function(name):
    own = name.startswith(("mk", "err", "out", "x2")) or name in {"boom", "start", "nothing"}
    return name if own else "noop"


MOD_XML = "<module name='M'>"
for name, inside in ACTIONS.items():
    MOD_XML += f'<action name="{name}" func="{_function(name)}">{inside}</action>'
MOD_XML += "</module>"


def shown(value):
    if value is None:
        return "-"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    return f"{value.type}:{getattr(value, 'v', '')}"


def noop(inputs):
    told = " ".join(f"{name}={shown(value)}" for name, value in inputs.items())
    sys.stderr.write(f"CALL {running().step.id}({told})" + chr(10))


def made(function):
    def call(inputs):
        noop(inputs)
        return function(inputs)
    return call


def _next(inputs):
    return str(int(inputs["i"].v) + 1)


def _x2y_err2(inputs):
    if inputs["i"].v == "2":
        return {"error": ErrorElement("two", "myerr")}
    return {"o": Element("y", v=inputs["i"].v)}


def _boom(inputs):
    raise ValueError("boom")


y = Element("y", v="1")
mkx = made(lambda inputs: {"o": Element("x", v="prev")})
mkx_out = made(lambda inputs: {"o": Element("x", v="new")})
mkx2 = made(lambda inputs: {"o": [Element("x", v="p1"), Element("x", v="p2")]})
mky = made(lambda inputs: {"o": Element("y", v="1")})
x2x = made(lambda inputs: {"o": Element("x", v=_next(inputs))})
x2xx = made(lambda inputs: {"o": [Element("x", v=inputs["i"].v + "a"), Element("x", v=inputs["i"].v + "b")]})
x2y = made(lambda inputs: {"o": Element("y", v=inputs["i"].v)})
x2y_err2 = made(_x2y_err2)
boom = made(_boom)
err = made(lambda inputs: {"error": ErrorElement("mine", "myerr", code="7")})
err_list = made(lambda inputs: {"error": [ErrorElement("one", "e1"), ErrorElement("two", "e2")]})
err_and_y = made(lambda inputs: {"o": Element("y", v="1"), "error": ErrorElement("mine", "myerr")})
nothing = made(lambda inputs: None)
start = made(lambda inputs: {"o": Element("start-plan", recipe="g.c")})
out_unknown = made(lambda inputs: {"o": Element("y"), "p": Element("y")})
out_nomatch = made(lambda inputs: {"o": Element("x")})
out_missing = made(lambda inputs: {})
out_many = made(lambda inputs: {"o": [Element("y"), Element("y")]})
out_none = made(lambda inputs: None)
out_text = made(lambda inputs: "text")
out_number = made(lambda inputs: {"o": 3})
out_errplain = made(lambda inputs: {"error": "text"})


def _twice(inputs):
    one = Element("y", v="1")
    return {"o": [one, one]}


out_twice = made(_twice)
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """A home, and what comes of running it. What is ``None`` is not looked at.

    ``plans`` are "g.r done", in order; ``steps`` those of the first plan, as "a=history b=done"; ``errors`` its errors,
    as "step type"; ``memory`` the elements as "type:v", error elements left out, without looking at their order;
    ``calls`` what the actions say that they were called with, without looking at their order either.
    """

    name: str
    recipes: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    modules: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    code: int = 0
    plans: str | None = None
    steps: str | None = None
    errors: str | None = None
    calls: str | None = None
    left: str | None = None
    says: str | None = None
    #: In a process of its own.
    apart: bool = False


def box(name: str, *parts: str, **wanted: Any) -> Box:
    """One recipe ``g.r`` of these parts, of which a plan is started (with the elements ``given``)."""
    given = wanted.pop("given", "")
    others = wanted.pop("others", ())
    attributes = wanted.pop("attributes", {})
    wanted["memory"] = (
        *wanted.get("memory", ()),
        f'<start-plan recipe="g.r">{given}</start-plan>',
        *wanted.pop("then", ()),
    )
    return Box(name=name, recipes=(recipe("r", *parts, **attributes), *others), **wanted)


def named(cases: list[Box]) -> Callable[[Any], Any]:
    """Parametrises a test with boxes, each under its name."""
    assert len({case.name for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def check(case: Box, home: HomeOnDisk) -> None:
    """Runs the box and compares."""
    home.module("M", ACTIONS)
    for name, text in case.modules.items():
        home.module(name, text)
    if case.recipes:
        home.recipes(*case.recipes)
    home.memory(*case.memory)
    for file, text in case.files.items():
        path = home.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code, told, err = (home.told_apart if case.apart else home.told)(*case.arguments)
    found: dict[str, Any] = {"code": code}
    if told is not None:
        found |= _summary(told, err)
    wanted = {
        name: value
        for name in ("code", "plans", "steps", "errors", "calls", "left")
        if (value := getattr(case, name)) is not None
    }
    if "left" in wanted:
        wanted["left"] = " ".join(sorted(wanted["left"].split()))
    if "calls" in wanted:
        wanted["calls"] = sorted(re.findall(r"\S+?\(.*?\)", wanted["calls"]))
    assert {name: found.get(name) for name in wanted} == wanted, err
    if case.says is not None:
        assert re.search(case.says, err + repr(told), re.S), err


def _summary(told: dict[str, Any], err: str) -> dict[str, Any]:
    plans = told["plans"]
    first = plans[0] if plans else {"steps": {}, "errors": []}
    kept = [
        f"{each['type']}:{each['attributes'].get('v', '')}"
        for each in told["memory"]
        if "message" not in each["attributes"]
    ]
    return {
        "plans": ", ".join(f"{plan['recipe']} {plan['state']}" for plan in plans),
        "steps": " ".join(f"{name}={state}" for name, state in first["steps"].items()),
        "errors": ", ".join(f"{each['step']} {each['type']}" for each in first["errors"]),
        "calls": sorted(re.findall(r"CALL (.*)", err)),
        "left": " ".join(sorted(kept)),
    }
