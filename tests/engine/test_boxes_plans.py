"""Manual I.3, I.4.1, II.1.1 and II.4 as black boxes: plans in order, in time, and in plans."""

from __future__ import annotations

from tests.engine.blackbox import Box, box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step
from tests.engine.test_boxes_inputs import MEMORY, TWICE, A, chain, condition

B, C, D, E = (step(name, "M.noop") for name in "bcde")
NEVER = '<time years="9000"/>'
PAST = '<time years="1999"/>'
ERROR_NAMED = condition("isinstance(elmt, ErrorElement)")

ORDER = [
    box(
        "a join runs once, after all", A, B, C, D, link("t", "a", "b c"), link("u", "b c", "d"), calls="a() b() c() d()"
    ),
    box(
        "a wide join",
        A,
        *[step(f"s{at}", "M.noop") for at in range(40)],
        D,
        link("t", "a", " ".join(f"s{at}" for at in range(40))),
        link("u", " ".join(f"s{at}" for at in range(40)), "d"),
        plans="g.r done",
    ),
    box(
        "the end is the end",
        A,
        B,
        C,
        D,
        link("t", "a", "d b"),
        link("u", "b", "c"),
        attributes={"end_step": "d"},
        calls="a() d() b()",
        plans="g.r done",
    ),
    box(
        "what waits beside the end",
        A,
        B,
        C,
        D,
        link("t", "a", "b d"),
        link("u", "b", "c", condition()),
        attributes={"end_step": "d"},
        plans="g.r done",
    ),
    box(
        "a time beside the end",
        A,
        B,
        C,
        D,
        link("t", "a", "b d"),
        link("u", "b", "c", NEVER),
        attributes={"end_step": "d"},
        plans="g.r done",
    ),
    box(
        "a time that was overtaken",
        A,
        B,
        C,
        D,
        link("t", "a", "b", NEVER, priority="9"),
        link("u", "a", "c"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        steps="a=history b=impossible c=history d=done",
    ),
    box(
        "a time of a plan that failed",
        A,
        step("b", "M.boom"),
        C,
        D,
        E,
        link("t", "a", "b c"),
        link("u", "c", "d", NEVER),
        link("v", "b d", "e"),
        code=1,
        plans="g.r failed",
    ),
    box("a time that is past", *chain(A, B, inside=PAST), code=1, plans="g.r failed"),
    box("a time that is past and another", *chain(A, B, inside=PAST + '<time seconds="*"/>'), plans="g.r done"),
    box(
        "a time that is now",
        *chain(A, B, inside='<time years="-5-9000" weekdays="0-3,4,5-6" hours="*, 3"/>'),
        plans="g.r done",
    ),
    box("a time and then a condition", *chain(A, B, inside='<time seconds="*"/>' + condition()), code=3),
    box(
        "a time and a condition that is met",
        *chain(A, B, inside='<time seconds="*"/>' + condition()),
        given='<x v="1"/>',
        plans="g.r done",
    ),
    box("an order that does not matter", link("t", "a", "b"), B, A, steps="b=done a=history"),
    box(
        "two transitions to a step",
        A,
        B,
        C,
        D,
        E,
        link("t", "a", "b c"),
        link("u", "b", "d"),
        link("v", "c", "d"),
        link("w", "d", "e"),
        calls="a() b() c() d() e()",
        plans="g.r done",
    ),
    box("a start plan that a step makes", step("a", "M.start"), others=(recipe("c", A),), plans="g.r done, g.c done"),
    box(
        "start and end named",
        A,
        B,
        link("t", "a", "b"),
        attributes={"start_step": "a", "end_step": "b"},
        plans="g.r done",
    ),
    box(
        "end named before the last",
        A,
        B,
        C,
        link("t", "a", "b"),
        link("u", "b", "c"),
        attributes={"end_step": "b"},
        steps="a=history b=done c=todo",
        plans="g.r done",
    ),
    box("two plans in turn", *chain(A, B), then=(TWICE,), calls="a() a() b() b()"),
    box(
        "restart until it fails",
        step("a", "M.x_use"),
        attributes={"restart": "yes"},
        code=1,
        memory=('<x v="1"/>', '<x v="2"/>'),
        plans="g.r done, g.r done, g.r failed",
    ),
    box(
        "restart until it waits",
        *chain(A, B, inside=condition(use="yes")),
        attributes={"restart": "yes"},
        code=3,
        memory=('<x v="1"/>', '<x v="2"/>'),
        plans="g.r done, g.r done, g.r running",
    ),
    box(
        "restart begins with an empty context",
        *chain(A, B, inside=condition(to_context="plan")),
        code=3,
        attributes={"restart": "yes"},
        given='<x v="1"/>',
        plans="g.r done, g.r running",
    ),
    box(
        "no restart of what was called",
        step("a", "g.c", type="recipe"),
        others=(recipe("c", A, restart="yes"),),
        plans="g.r done, g.c done",
    ),
    box("decayed", step("a", "M.mkx"), attributes={"decay": "0"}, memory=MEMORY, plans=""),
    box("not decayed yet", step("a", "M.mkx"), attributes={"decay": "3600"}, plans="g.r done"),
]


def sub(name: str, target: str, inside: str = "") -> str:
    return step(name, target, inside, type="recipe")


CALLED = [
    box(
        "a plan in a plan",
        *chain(sub("a", "g.c"), B),
        others=(recipe("c", *chain(A, B)),),
        calls="a() b() b()",
        plans="g.r done, g.c done",
        steps="a=history b=done",
    ),
    box(
        "an error rises",
        *chain(sub("a", "g.c"), B),
        others=(recipe("c", *chain(A, step("b", "M.boom"))),),
        code=1,
        plans="g.r failed, g.c failed",
        steps="a=failed b=impossible",
        errors="a ValueError",
    ),
    box(
        "an error rises and is handled",
        sub("a", "g.c"),
        step("b", "M.handler"),
        link("t", "!a", "b"),
        others=(recipe("c", step("a", "M.boom")),),
        code=1,
        plans="g.r done, g.c failed",
        steps="a=failed b=done",
        calls="a() b(e=ValueError:)",
    ),
    box(
        "an error that was handled below",
        *chain(sub("a", "g.c"), B),
        plans="g.r done, g.c done",
        errors="",
        others=(recipe("c", step("a", "M.boom"), step("b", "M.handler"), link("t", "!a", "b")),),
    ),
    box(
        "what it made goes up",
        *chain(sub("a", "g.c"), step("b", "M.x_list")),
        given='<x v="plan"/>',
        others=(recipe("c", *chain(step("a", "M.mkx"), B)),),
        calls="a() b() b(i=[x:prev])",
    ),
    box(
        "what it made joins the context",
        *chain(sub("a", "g.c"), B, step("c", "M.x")),
        memory=MEMORY,
        others=(recipe("c", step("a", "M.mkx")),),
        calls="a() b() c(i=x:prev)",
    ),
    box(
        "what it consulted does not go up",
        *chain(sub("a", "g.c"), step("b", "M.x", '<input id="i" to_context="step"/>')),
        memory=MEMORY,
        others=(recipe("c", step("a", "M.x")),),
        code=1,
        errors="b missing input",
    ),
    box(
        "it sees what its caller has",
        *chain(step("a", "M.mkx"), sub("b", "g.c")),
        memory=MEMORY,
        others=(recipe("c", step("a", "M.x")),),
        calls="a() a(i=x:prev)",
    ),
    box(
        "three deep",
        sub("a", "g.c"),
        others=(recipe("c", sub("a", "g.d")), recipe("d", step("a", "M.err"))),
        code=1,
        plans="g.r failed, g.c failed, g.d failed",
        errors="a myerr",
    ),
    box("without end", sub("a", "g.r"), code=1, errors="a recursion", says="nested deeper"),
    box(
        "it waits for its caller's element",
        A,
        sub("b", "g.c"),
        step("c", "M.mkx"),
        D,
        link("t", "a", "b c"),
        link("u", "b c", "d"),
        others=(recipe("c", *chain(A, B, inside=condition())),),
        plans="g.r done, g.c done",
    ),
    box(
        "it waits and so does its caller",
        sub("a", "g.c"),
        others=(recipe("c", *chain(A, B, inside=condition())),),
        code=3,
        plans="g.r running, g.c running",
        steps="a=running",
    ),
    box(
        "arguments for a plan",
        sub("a", "g.c", '<arguments><x v="arg"/></arguments>'),
        memory=MEMORY,
        others=(recipe("c", step("a", "M.x")),),
        calls="a(i=x:arg)",
    ),
    box(
        "called side by side",
        A,
        sub("b", "g.c"),
        sub("c", "g.c"),
        D,
        link("t", "a", "b c"),
        link("u", "b c", "d"),
        others=(recipe("c", step("k", "M.mkx")),),
        plans="g.r done, g.c done, g.c done",
        left="x:prev x:prev",
    ),
    box("an unknown recipe", sub("a", "g.nope"), code=2, says="g.nope"),
]


@named([*ORDER, *CALLED])
def test_plans(case: Box, home: HomeOnDisk) -> None:
    check(case, home)
