"""Manual I.6 as black boxes: conditions, priorities and the elements that they take."""

from __future__ import annotations

from tests.engine.blackbox import Box, box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step
from tests.engine.test_boxes_inputs import MEMORY, TWICE, A, X, chain, condition

CHANGING = """
from narval_engine import action, input

@action
@input("i", "elmt.v == 'prev'")
def now(inputs):
    inputs["i"].v = "now"
"""

B, C, D, E = (step(name, "M.noop") for name in "bcde")
NEVER = '<time years="9000"/>'
PAST = '<time years="1999"/>'
ERROR_NAMED = condition("isinstance(elmt, ErrorElement)")

CONDITIONS = [
    box(
        "the one whose condition is met",
        A,
        B,
        C,
        D,
        link("t", "a", "b", condition()),
        link("u", "a", "c", condition("elmt.type == 'q'")),
        link("v", "b", "d"),
        link("w", "c", "d"),
        given='<x v="1"/>',
        steps="a=history b=history c=impossible d=done",
    ),
    box(
        "the higher priority",
        A,
        B,
        C,
        D,
        link("t", "a", "b", condition(), priority="1"),
        link("u", "a", "c", condition(), priority="2"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        given='<x v="1"/>',
        steps="a=history b=impossible c=history d=done",
    ),
    box(
        "a default that is below zero",
        A,
        B,
        C,
        D,
        link("t", "a", "b", priority="-1"),
        link("u", "a", "c", condition(), priority="0"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        steps="a=history b=history c=impossible d=done",
    ),
    box(
        "no default where the condition is met",
        A,
        B,
        C,
        D,
        link("t", "a", "b", priority="-1"),
        link("u", "a", "c", condition(), priority="0"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        given='<x v="1"/>',
        steps="a=history b=impossible c=history d=done",
    ),
    box(
        "a tie",
        A,
        B,
        C,
        D,
        link("t", "a", "b"),
        link("u", "a", "c"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        code=1,
        errors="None bad recipe",
    ),
    box(
        "three conditions, two elements",
        *chain(A, B, inside=condition() * 3),
        given='<x v="1"/><x v="2"/>',
        code=3,
        plans="g.r running",
        steps="a=done b=todo",
    ),
    box(
        "three conditions, three elements",
        *chain(A, step("b", "M.x_list"), inside=condition() * 3),
        given='<x v="1"/><x v="2"/><x v="3"/>',
        calls="a() b(i=[x:1,x:2,x:3])",
    ),
    box(
        "conditions that only fit one way",
        *chain(A, B, inside=condition() + condition("elmt.v == '1'")),
        given='<x v="1"/><x v="2"/>',
        plans="g.r done",
    ),
    box(
        "all matches for one element",
        *chain(
            A, step("b", "M.x_list"), inside=f"<condition><match>{X}</match><match>elmt.v == '2'</match></condition>"
        ),
        given='<x v="1"/><x v="2"/><y v="2"/>',
        calls="a() b(i=[x:2])",
    ),
    box("a condition that nothing meets", *chain(A, B, inside=condition("elmt.v == '2'")), given='<x v="1"/>', code=3),
    box(
        "a condition that uses",
        *chain(A, B, inside=condition(use="yes")),
        memory=MEMORY,
        then=(TWICE,),
        code=3,
        plans="g.r done, g.r running",
    ),
    box(
        "a transition that uses and a step of its name",
        A,
        step("b", "M.x_use"),
        link("b", "a", "b", condition(use="yes")),
        memory=MEMORY,
        calls="a() b(i=x:mem)",
    ),
    box(
        "a condition that consults",
        *chain(A, B, inside=condition()),
        memory=MEMORY,
        then=(TWICE,),
        plans="g.r done, g.r done",
    ),
    box(
        "once for each element",
        *chain(A, step("b", "M.x"), inside=condition(use="yes")),
        then=(TWICE, TWICE),
        code=3,
        memory=('<x v="1"/>', '<x v="2"/>'),
        plans="g.r done, g.r done, g.r running",
    ),
    box(
        "another plan brings it",
        *chain(A, B, inside=condition()),
        others=(recipe("q", step("a", "M.mkx")),),
        then=('<start-plan recipe="g.q"/>',),
        plans="g.r done, g.q done",
    ),
    box(
        "what the step produced, first",
        *chain(step("a", "M.mkx"), step("b", "M.x_list"), inside=condition()),
        given='<x v="plan"/>',
        calls="a() b(i=[x:prev])",
    ),
    box(
        "the plan's before memory",
        *chain(A, step("b", "M.x"), inside=condition()),
        given='<x v="plan"/>',
        memory=MEMORY,
        calls="a() b(i=x:plan)",
    ),
    box(
        "from plan",
        *chain(step("a", "M.mkx"), step("b", "M.x"), inside=condition(from_context="plan")),
        given='<x v="plan"/>',
        calls="a() b(i=x:plan)",
    ),
    box("to plan waits", *chain(A, B, inside=condition(to_context="plan")), memory=MEMORY, code=3),
    box(
        "to step waits",
        *chain(A, B, inside=condition(to_context="step")),
        given='<x v="plan"/>',
        memory=MEMORY,
        code=3,
        steps="a=done b=todo",
    ),
    box(
        "to step, and another plan changes what is there",
        *chain(step("a", "M.mkx"), B, inside=condition('elmt.v == "now"', to_context="step")),
        modules={"O": CHANGING},
        others=(recipe("c", step("n", "M.noop"), step("o", "O.now"), link("t", "n", "o", condition())),),
        then=('<start-plan recipe="g.c"/>',),
        plans="g.r done, g.c done",
    ),
    box(
        "from memory",
        *chain(A, step("b", "M.x"), inside=condition(from_context="memory")),
        given='<x v="plan"/>',
        memory=MEMORY,
        calls="a() b(i=x:mem)",
    ),
    box("a context node", *chain(A, B, inside=condition() + '<context to_context="plan"/>'), memory=MEMORY, code=3),
    *(
        box(f"true is {value}", *chain(A, B, inside=condition(value)), given='<x v="1"/>', code=code)
        for value, code in (
            ("[1]", 0),
            ("[]", 3),
            ("'no'", 0),
            ("''", 3),
            ("0", 3),
            ("2", 0),
            ("0.0", 3),
            ("None", 3),
            ("elmt.nothing", 3),
            ("1/0", 3),
            ("elmt", 0),
        )
    ),
    box(
        "white space in a match",
        *chain(A, B, inside=condition("\n      elmt.type == 'x'\n        and elmt.v == '1'\n  ")),
        given='<x v="1"/>',
        plans="g.r done",
    ),
    box(
        "characters of XML in a match",
        *chain(A, B, inside=condition("0 &lt; int(elmt.v) &lt; 2")),
        given='<x v="1"/>',
        plans="g.r done",
    ),
    box(
        "a section of CDATA in a match",
        *chain(A, B, inside=condition("<![CDATA[0 < int(elmt.v) < 2]]>")),
        given='<x v="1"/>',
        plans="g.r done",
    ),
    box(
        "loops within loops over much",
        *chain(A, B, inside=condition("len([a for a in elmt.text for b in elmt.text]) > 5")),
        given=f"<x>{'y' * 50_000}</x>",
        code=3,
    ),
    box(
        "loops within loops over little",
        *chain(A, B, inside=condition("len([a for a in elmt.text for b in elmt.text if a == b]) > 5")),
        given="<x>hello</x>",
        plans="g.r done",
    ),
    box(
        "no ASCII",
        *chain(A, B, inside=condition("elmt.nöte == 'größer ☃'")),
        given='<x nöte="größer ☃"/>',
        plans="g.r done",
    ),
    box(
        "the text of an element",
        *chain(A, B, inside=condition("elmt.text == 'hi'")),
        given="<x>hi</x>",
        plans="g.r done",
    ),
    box(
        "the children of an element",
        *chain(A, B, inside=condition("any(c.type == 'k' for c in elmt.children)")),
        given="<x><k/></x>",
        plans="g.r done",
    ),
]


@named([*CONDITIONS])
def test_conditions(case: Box, home: HomeOnDisk) -> None:
    check(case, home)
