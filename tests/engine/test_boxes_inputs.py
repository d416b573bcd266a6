"""Manual I.5.1 and I.5.2 as black boxes: prototypes, what a step may change, and which elements go where."""

from __future__ import annotations

import itertools

from tests.engine.blackbox import Box, box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step

A = step("a", "M.noop")
ARG = '<arguments><x v="arg"/></arguments>'
PLAN = '<x v="plan"/>'
MEMORY = ('<x v="mem"/>',)
X = 'elmt.type == "x"'


def condition(match: str = X, **attributes: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<condition{more}><match>{match}</match></condition>"


def chain(*steps: str, inside: str = "") -> tuple[str, ...]:
    """Steps a, b, c ... one after the other; the last transition holds ``inside``."""
    names = "abcdefgh"[: len(steps)]
    pairs = list(itertools.pairwise(names))
    return (
        *steps,
        *(link(f"t{at}", one, two, inside if at == len(pairs) else "") for at, (one, two) in enumerate(pairs, 1)),
    )


def reading(**attributes: str) -> str:
    """The input i of a step, with these attributes."""
    return "<input " + " ".join(f'{name}="{value}"' for name, value in {"id": "i", **attributes}.items()) + "/>"


RANKS = [
    # Table 2, each rank against all that are farther, and the from_context and to_context that cut it.
    box(
        "rank 1 first",
        *chain(step("a", "M.mkx"), step("b", "M.x", ARG), inside=condition("elmt.v == 'plan'")),
        given=PLAN,
        memory=MEMORY,
        calls="a() b(i=x:arg)",
    ),
    box(
        "rank 2 first",
        *chain(step("a", "M.mkx"), step("b", "M.x"), inside=condition("elmt.v == 'plan'")),
        given=PLAN,
        memory=MEMORY,
        calls="a() b(i=x:plan)",
    ),
    box(
        "rank 3 first", *chain(step("a", "M.mkx"), step("b", "M.x")), given=PLAN, memory=MEMORY, calls="a() b(i=x:prev)"
    ),
    box("rank 4 first", *chain(A, step("b", "M.x")), given=PLAN, memory=MEMORY, calls="a() b(i=x:plan)"),
    box("rank 6", *chain(A, step("b", "M.x")), memory=MEMORY, calls="a() b(i=x:mem)"),
    box(
        "rank 5 before 6",
        step("a", "g.c", type="recipe"),
        others=(recipe("c", step("k", "M.x")),),
        given=PLAN,
        memory=MEMORY,
        calls="k(i=x:plan)",
    ),
    box(
        "rank 5 iterated",
        step("a", "g.c", type="recipe"),
        given=PLAN,
        memory=MEMORY,
        calls="k(i=x:plan)",
        others=(recipe("c", step("k", "g.d", type="recipe")), recipe("d", step("k", "M.x"))),
    ),
    box(
        "from plan skips 1 to 3",
        *chain(step("a", "M.mkx"), step("b", "M.x", ARG + reading(from_context="plan"))),
        given=PLAN,
        calls="a() b(i=x:plan)",
    ),
    box(
        "from parent skips own",
        step("a", "g.c", type="recipe"),
        given=PLAN,
        calls="k() l(i=x:plan)",
        others=(
            recipe("c", step("k", "M.mkx"), step("l", "M.x", reading(from_context="parent_plan")), link("t", "k", "l")),
        ),
    ),
    box(
        "from memory skips plan",
        *chain(A, step("b", "M.x", reading(from_context="memory"))),
        given=PLAN,
        memory=MEMORY,
        calls="a() b(i=x:mem)",
    ),
    box(
        "from memory finds nothing",
        *chain(A, step("b", "M.x", reading(from_context="memory"))),
        given=PLAN,
        code=1,
        calls="a()",
        errors="b missing input",
    ),
    box(
        "to step takes an argument",
        *chain(A, step("b", "M.x", ARG + reading(to_context="step"))),
        given=PLAN,
        calls="a() b(i=x:arg)",
    ),
    box(
        "to step takes what came",
        *chain(step("a", "M.mkx"), step("b", "M.x", reading(to_context="step"))),
        calls="a() b(i=x:prev)",
    ),
    box(
        "to step stops there",
        *chain(A, step("b", "M.x", reading(to_context="step"))),
        given=PLAN,
        memory=MEMORY,
        code=1,
        calls="a()",
        errors="b missing input",
    ),
    box(
        "to plan takes the plan's",
        *chain(A, step("b", "M.x", reading(to_context="plan"))),
        given=PLAN,
        calls="a() b(i=x:plan)",
    ),
    box(
        "to plan stops there",
        *chain(A, step("b", "M.x", reading(to_context="plan"))),
        memory=MEMORY,
        code=1,
        calls="a()",
        errors="b missing input",
    ),
    box(
        "to parent stops there",
        step("a", "g.c", type="recipe"),
        memory=MEMORY,
        code=1,
        others=(recipe("c", step("k", "M.x", reading(to_context="parent_plan"))),),
        calls="",
        plans="g.r failed, g.c failed",
        errors="a missing input",
    ),
    box(
        "to parent takes the parent's",
        step("a", "g.c", type="recipe"),
        given=PLAN,
        memory=MEMORY,
        others=(recipe("c", step("k", "M.x", reading(to_context="parent_plan"))),),
        calls="k(i=x:plan)",
    ),
    box("the action's own context", *chain(A, step("b", "M.x_plan")), memory=MEMORY, code=1, calls="a()"),
    box(
        "a step widens the context",
        *chain(A, step("b", "M.x_plan", reading(to_context="memory"))),
        memory=MEMORY,
        calls="a() b(i=x:mem)",
    ),
    box(
        "of a join both",
        step("a", "M.noop"),
        step("b", "M.mkx"),
        step("c", "M.mkx2"),
        step("d", "M.x_list"),
        link("t", "a", "b c"),
        link("u", "b c", "d"),
        given=PLAN,
        calls="a() b() c() d(i=[x:prev,x:p1,x:p2])",
    ),
    box(
        "only the step before",
        *chain(step("a", "M.mkx"), A.replace('"a"', '"b"'), step("c", "M.x_list")),
        given=PLAN,
        calls="a() b() c(i=[x:plan,x:prev])",
    ),
    box(
        "an argument that fits nothing",
        *chain(A, step("b", "M.x", '<arguments><z v="1"/></arguments>')),
        given=PLAN,
        calls="a() b(i=x:plan)",
        left="x:plan",
    ),
    box("an argument is taken", step("a", "M.x", ARG), left="x:arg"),
    box(
        "arguments as a list",
        step("a", "M.x_list", '<arguments><x v="1"/><x v="2"/></arguments>'),
        given=PLAN,
        calls="a(i=[x:1,x:2])",
    ),
    box("the oldest of a rank", step("a", "M.x"), given='<x v="1"/><x v="2"/>', calls="a(i=x:1)"),
]
SHARED = [
    box("one element for one input", step("a", "M.xx"), given='<x v="1"/>', code=1, calls="", errors="a missing input"),
    box("two elements for two inputs", step("a", "M.xx"), given='<x v="1"/><x v="2"/>', calls="a(a=x:1 b=x:2)"),
    box("a list leaves one", step("a", "M.xlx"), given='<x v="1"/><x v="2"/><x v="3"/>', calls="a(b=[x:1,x:2] a=x:3)"),
    box(
        "a list takes the rest",
        step("a", "M.xxl"),
        given='<x v="1"/><x v="2"/><x v="3"/>',
        calls="a(a=x:1 b=[x:2,x:3])",
    ),
    box("the optional one goes without", step("a", "M.xox"), given='<x v="1"/>', calls="a(a=- b=x:1)"),
    box(
        "a list of one rank",
        *chain(step("a", "M.mkx2"), step("b", "M.x_list")),
        given=PLAN,
        memory=MEMORY,
        calls="a() b(i=[x:p1,x:p2])",
    ),
    box(
        "an input may look at one before",
        step("a", "M.ab"),
        given='<x v="1"/><y v="9"/><y v="2"/>',
        calls="a(a=x:1 b=y:2)",
    ),
    box(
        "another first input makes it fit",
        step("a", "M.ab"),
        given='<x v="1"/><x v="8"/><y v="9"/>',
        calls="a(a=x:8 b=y:9)",
    ),
    box("nothing fits together", step("a", "M.ab"), given='<x v="1"/><y v="1"/>', code=1, errors="a missing input"),
    box("optional and there", step("a", "M.x_opt"), given=PLAN, calls="a(i=x:plan)"),
    box("optional and not there", step("a", "M.x_opt"), calls="a(i=-)"),
    box("an optional list that is empty", step("a", "M.x_list_opt"), calls="a(i=[])"),
    box("a mandatory list that is empty", step("a", "M.x_list"), code=1, errors="a missing input", calls=""),
    box(
        "the error names plan step action input",
        step("a", "M.x"),
        code=1,
        errors="a missing input",
        says="(?=.*'a')(?=.*g[.]r)(?=.*M[.]x)(?=.*'i')",
    ),
]
TWICE = '<start-plan recipe="g.r"/>'
USED = [
    box("consulted by two plans", step("a", "M.x"), memory=MEMORY, then=(TWICE,), plans="g.r done, g.r done"),
    box(
        "used by one of two plans",
        step("a", "M.x_use"),
        memory=MEMORY,
        then=(TWICE,),
        code=1,
        plans="g.r done, g.r failed",
    ),
    box(
        "used by another recipe",
        step("a", "M.x_use"),
        memory=MEMORY,
        others=(recipe("q", step("a", "M.x_use")),),
        then=('<start-plan recipe="g.q"/>',),
        plans="g.r done, g.q done",
    ),
    box(
        "used by another step",
        *chain(step("a", "M.x_use"), step("b", "M.x_use")),
        memory=MEMORY,
        calls="a(i=x:mem) b(i=x:mem)",
    ),
    box(
        "the next plan takes the next",
        step("a", "M.x_use"),
        memory=('<x v="1"/>', '<x v="2"/>'),
        then=(TWICE,),
        calls="a(i=x:1) a(i=x:2)",
    ),
    box(
        "used as a list",
        step("a", "M.x_list_use"),
        memory=('<x v="1"/>', '<x v="2"/>'),
        then=(TWICE,),
        code=1,
        calls="a(i=[x:1,x:2])",
        plans="g.r done, g.r failed",
    ),
    box(
        "elements of other plans are in memory",
        step("a", "M.xz_use"),
        memory=MEMORY,
        code=1,
        then=('<start-plan recipe="g.r"><z v="1"/></start-plan>',),
        plans="g.r done, g.r failed",
    ),
    box(
        "outdated for all",
        *chain(step("a", "M.x_out"), step("b", "M.x")),
        memory=MEMORY,
        code=1,
        errors="b missing input",
    ),
    box(
        "outdated by another plan",
        step("a", "M.x_out"),
        memory=MEMORY,
        others=(recipe("q", step("a", "M.x")),),
        then=('<start-plan recipe="g.q"/>',),
        code=1,
        plans="g.r done, g.q failed",
    ),
    box(
        "outdated for conditions",
        *chain(step("a", "M.x_out"), step("b", "M.noop"), inside=condition()),
        memory=MEMORY,
        code=3,
        plans="g.r running",
    ),
    box(
        "replaced as a variable is",
        *chain(step("a", "M.mkx_out"), step("b", "M.x_list")),
        memory=MEMORY,
        calls="a(i=x:mem) b(i=[x:new])",
    ),
    box(
        "replaced for the next plan",
        step("a", "M.mkx_out"),
        memory=MEMORY,
        then=(TWICE,),
        calls="a(i=x:mem) a(i=x:new)",
    ),
    box("used in one call only once", step("a", "M.xx_use"), memory=MEMORY, code=1, errors="a missing input"),
    box(
        "a recipe called twice",
        *chain(step("a", "g.c", type="recipe"), step("b", "g.c", type="recipe")),
        code=1,
        memory=MEMORY,
        others=(recipe("c", step("k", "M.x_use")),),
        plans="g.r failed, g.c done, g.c failed",
    ),
]


@named([*RANKS, *SHARED, *USED])
def test_inputs(case: Box, home: HomeOnDisk) -> None:
    check(case, home)
