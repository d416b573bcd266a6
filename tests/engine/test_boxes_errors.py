"""Manual I.5.3, I.5.4 and I.6.2 as black boxes: outputs, errors and what handles them."""

from __future__ import annotations

from tests.engine.blackbox import Box, box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step
from tests.engine.test_boxes_inputs import A, chain, condition

B, C, D, E = (step(name, "M.noop") for name in "bcde")
NEVER = '<time years="9000"/>'
PAST = '<time years="1999"/>'
ERROR_NAMED = condition("isinstance(elmt, ErrorElement)")

OUTPUTS = [
    box(
        "output " + name,
        *chain(step("a", f"M.{name}"), B),
        code=1,
        errors="a bad output",
        left="",
        calls="a()",
        steps="a=failed b=impossible",
        says=says,
    )
    for name, says in (
        ("out_unknown", "'p'"),
        ("out_nomatch", "'o'"),
        ("out_missing", "'o'"),
        ("out_many", "'o'"),
        ("out_text", "mapping"),
        ("out_number", "'o'"),
        ("out_errplain", "'error'"),
    )
] + [
    box(
        "the error of an output names plan and step",
        *chain(step("a", "M.out_nomatch"), B),
        code=1,
        says=r"(?=.*step .{1,3}a.{1,2} of g[.]r)(?=.*'output': 'o')(?=.*'plan': 1)(?=.*'step': 'a')",
    ),
    box("output optional", *chain(step("a", "M.nothing"), B), plans="g.r done"),
    box("output none", *chain(step("a", "M.out_none"), B), plans="g.r done"),
    box("output list", *chain(step("a", "M.mkx2"), B), left="x:p1 x:p2"),
    box("output the same twice", *chain(step("a", "M.out_twice"), B), left="y:1"),
    box(
        "output with a handler",
        step("a", "M.out_many"),
        step("b", "M.handler"),
        link("t", "!a", "b"),
        steps="a=failed b=done",
        plans="g.r done",
    ),
]
ERRORS = [
    box("an exception", *chain(step("a", "M.boom"), B), code=1, errors="a ValueError", says="boom"),
    box("an error element", *chain(step("a", "M.err"), B), code=1, errors="a myerr", says="'code': '7'"),
    box("errors in a list", *chain(step("a", "M.err_list"), B), code=1, errors="a e1, a e2"),
    box("what came beside an error is dropped", *chain(step("a", "M.err_and_y"), B), code=1, left=""),
    box("an error at the end", *chain(A, step("b", "M.err")), code=1, errors="b myerr", steps="a=history b=error"),
    box("an error in the only step", step("a", "M.err"), code=1, errors="a myerr", steps="a=error"),
    box(
        "handled",
        step("a", "M.err"),
        B,
        step("c", "M.handler"),
        D,
        link("t", "a", "b"),
        link("u", "!a", "c"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        steps="a=error b=impossible c=history d=done",
        calls="a() c(e=myerr:) d()",
        errors="a myerr",
    ),
    box(
        "not needed",
        A,
        B,
        step("c", "M.handler"),
        D,
        link("t", "a", "b"),
        link("u", "!a", "c"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        steps="a=history b=history c=impossible d=done",
    ),
    box(
        "handled if its condition is met",
        step("a", "M.err"),
        step("b", "M.handler"),
        link("u", "!a", "b", condition("elmt.type == 'myerr'")),
        steps="a=error b=done",
    ),
    box(
        "not handled if its condition is not met",
        step("a", "M.err"),
        step("b", "M.handler"),
        link("u", "!a", "b", condition("elmt.type == 'other'")),
        code=1,
        steps="a=error b=todo",
    ),
    box(
        "another handler whose condition is met",
        step("a", "M.err"),
        B,
        C,
        D,
        link("t", "!a", "b", condition("elmt.type == 'other'"), priority="5"),
        link("u", "!a", "c", ERROR_NAMED),
        link("v", "b", "d"),
        link("w", "c", "d"),
        steps="a=error b=impossible c=history d=done",
    ),
    box(
        "the handler of higher priority",
        step("a", "M.err"),
        B,
        C,
        D,
        link("t", "!a", "b", priority="1"),
        link("u", "!a", "c", priority="2"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        steps="a=error b=impossible c=history d=done",
    ),
    box(
        "an error beside what is good",
        A,
        step("b", "M.err"),
        C,
        D,
        E,
        link("t", "a", "b c"),
        link("u", "!b c", "d"),
        link("v", "d", "e"),
        steps="a=history b=error c=history d=history e=done",
    ),
    box(
        "no error beside what is good",
        A,
        B,
        C,
        D,
        E,
        link("t", "a", "b c"),
        link("u", "!b c", "d"),
        link("v", "b c", "e"),
        link("w", "d", "e"),
        steps="a=history b=history c=history d=impossible e=done",
    ),
    box(
        "a join with one error fails",
        A,
        step("b", "M.err"),
        C,
        D,
        link("t", "a", "b c"),
        link("u", "b c", "d"),
        code=1,
        steps="a=history b=error c=done d=impossible",
    ),
    box(
        "both in error",
        A,
        step("b", "M.err"),
        step("c", "M.boom"),
        D,
        link("t", "a", "b c"),
        link("u", "!b !c", "d"),
        steps="a=history b=error c=error d=done",
    ),
    box("one of two in error", A, step("b", "M.err"), C, D, link("t", "a", "b c"), link("u", "!b !c", "d"), code=1),
    box(
        "an error that stays in memory",
        step("a", "M.err"),
        step("b", "M.handler"),
        link("u", "!a", "b"),
        others=(recipe("q", step("a", "M.handler")),),
        then=('<start-plan recipe="g.q"/>',),
        calls="a() a(e=myerr:) b(e=myerr:)",
        plans="g.r done, g.q done",
    ),
    box(
        "an error of another plan",
        *chain(A, B),
        others=(recipe("q", step("a", "M.err")),),
        then=('<start-plan recipe="g.q"/>',),
        code=1,
        plans="g.r done, g.q failed",
    ),
    box(
        "a missing input is handled",
        step("a", "M.x"),
        step("b", "M.handler"),
        link("u", "!a", "b"),
        steps="a=failed b=done",
        calls="b(e=missing input:)",
    ),
    box(
        "an error in a side branch",
        A,
        step("b", "M.err"),
        C,
        D,
        link("t", "a", "b d"),
        link("u", "b", "c"),
        attributes={"end_step": "d"},
        plans="g.r done",
        errors="b myerr",
    ),
    box(
        "a handler that fails",
        step("a", "M.err"),
        step("b", "M.boom"),
        link("u", "!a", "b"),
        code=1,
        errors="a myerr, b ValueError",
    ),
]


@named([*OUTPUTS, *ERRORS])
def test_errors(case: Box, home: HomeOnDisk) -> None:
    check(case, home)
