"""Manual I.4.2 and I.5.1.6 as black boxes: what a step may change of a prototype, and steps that are repeated."""

from __future__ import annotations

import itertools

import pytest

from tests.engine.blackbox import Box, box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step
from tests.engine.test_boxes_inputs import PLAN, TWICE, A, chain, reading

#: Table 1: attribute, the action's value, the step's, whether it may say so.
TABLE_1 = [
    (attribute, own, said, own == said or (own == "yes") == (attribute in {"optional", "list"}))
    for attribute, own, said in itertools.product(("optional", "list", "use", "outdates"), ("yes", "no"), ("yes", "no"))
]


@pytest.mark.parametrize(("attribute", "own", "said", "legal"), TABLE_1)
def test_table_1(attribute: str, own: str, said: str, legal: bool, home: HomeOnDisk) -> None:
    home.module(
        "T",
        'from narval_engine import Element\nMOD_XML = \'\'\'<module><action name="t" func="f">'
        f'<input id="i" {attribute}="{own}"><match>elmt.type == "x"</match></input></action></module>\'\'\'\n'
        "def f(inputs):\n    print('GOT', type(inputs['i']).__name__)\n",
    )
    home.recipes(recipe("r", step("a", "T.t", f'<input id="i" {attribute}="{said}"/>')))
    home.memory("<x/>", '<start-plan recipe="g.r"/>', '<start-plan recipe="g.r"/>')
    code, told, err = home.told()
    assert (code == 2) == (not legal), err
    if told is None:
        assert f"{attribute}={own}" in err
        return
    lasting = said == "yes" and attribute in {"use", "outdates"}
    assert code == (1 if lasting else 0)
    assert ("GOT list" if (attribute, said) == ("list", "yes") else "GOT Element") in err


NARROWED = [
    box(
        "a context of the step holds for all of its inputs",
        *chain(step("a", "M.mkx"), step("b", "M.x", '<context from_context="plan"/>')),
        given='<x v="plan"/>',
        calls="a() b(i=x:plan)",
    ),
    box(
        "an input may say otherwise than the context",
        *chain(step("a", "M.mkx"), step("b", "M.x", '<context from_context="plan"/>' + reading(from_context="step"))),
        given='<x v="plan"/>',
        calls="a() b(i=x:prev)",
    ),
    box(
        "a context that is none", step("a", "M.x", reading(from_context="")), code=2, says="from_context='' of <input>"
    ),
    box(
        "arguments that are text",
        step("a", "M.noop", "<arguments>text</arguments>"),
        code=2,
        says="unexpected text 'text'",
    ),
    box(
        "a step adds a match",
        step("a", "M.x", reading().replace("/>", "><match>elmt.v == '2'</match></input>")),
        given='<x v="1"/><x v="2"/>',
        calls="a(i=x:2)",
    ),
    box(
        "a match of the step is not met",
        step("a", "M.x", reading().replace("/>", "><match>0</match></input>")),
        given='<x v="1"/>',
        code=1,
        errors="a missing input",
    ),
    box(
        "a step adds a match to an output",
        step("a", "M.mkx", '<output id="o"><match>elmt.v == "q"</match></output>'),
        code=1,
        errors="a bad output",
        left="",
    ),
    box("a step makes an optional input mandatory", step("a", "M.x_opt", reading(optional="no")), code=1, calls=""),
    box(
        "a step makes a list single",
        step("a", "M.x_list", reading(list="no")),
        given='<x v="1"/><x v="2"/>',
        calls="a(i=x:1)",
    ),
    box(
        "a step makes an output mandatory",
        step("a", "M.nothing", '<output id="o" optional="no"/>'),
        code=1,
        errors="a bad output",
    ),
    box(
        "a step may not make an output optional",
        step("a", "M.out_missing", '<output id="o" optional="yes"/>'),
        code=2,
        says="optional",
    ),
    box(
        "a step may not keep what an output outdates",
        step("a", "M.mkx_out", '<input id="i" outdates="no"/>'),
        code=2,
        says="outdates=yes",
    ),
    box(
        "a step may not have an output outdate another input",
        step("a", "M.mkx_out", '<output id="o" outdates="j"/>'),
        code=2,
        says="may not change that",
    ),
    box("an unknown input of a step", step("a", "M.x", '<input id="j" use="yes"/>'), code=2, says="'j'; it has i"),
    box("an unknown output of a step", step("a", "M.mkx", '<output id="j"/>'), code=2, says="'j'; it has o"),
    box(
        "an output that a step has outdate",
        *chain(
            step("a", "M.x2x", '<output id="o" outdates="i"/>'), step("b", "M.x_list", reading(from_context="plan"))
        ),
        given='<x v="1"/>',
        calls="a(i=x:1) b(i=[x:2])",
    ),
]


@named(NARROWED)
def test_narrowed(case: Box, home: HomeOnDisk) -> None:
    check(case, home)


FOREACH = [
    box("foreach none", step("a", "M.x2y", foreach="i"), code=1, errors="a missing input", calls=""),
    box("foreach none optional", step("a", "M.x_opt", foreach="i"), calls="", plans="g.r done"),
    box("foreach one", step("a", "M.x2y", foreach="i"), given='<x v="1"/>', calls="a(i=x:1)", left="x:1 y:1"),
    box(
        "foreach many",
        *chain(step("a", "M.x2y", foreach="i"), step("b", "M.ylist")),
        given='<x v="1"/><x v="2"/><x v="3"/>',
        left="x:1 x:2 x:3 y:1 y:2 y:3",
        steps="a=history b=done",
    ),
    box(
        "foreach with an error in one",
        *chain(step("a", "M.x2y_err2", foreach="i"), step("b", "M.ylist")),
        code=1,
        given='<x v="1"/><x v="2"/><x v="3"/>',
        left="x:1 x:2 x:3 y:1 y:3",
        steps="a=error b=impossible",
        errors="a myerr",
    ),
    box(
        "foreach error handled",
        step("a", "M.x2y_err2", foreach="i"),
        step("b", "M.noop"),
        step("c", "M.handler"),
        step("d", "M.noop"),
        link("t", "a", "b"),
        link("u", "!a", "c"),
        link("v", "b", "d"),
        link("w", "c", "d"),
        given='<x v="1"/><x v="2"/>',
        steps="a=error b=impossible c=history d=done",
    ),
    box(
        "foreach takes one rank",
        *chain(step("a", "M.mkx2"), step("b", "M.x2y", foreach="i")),
        given=PLAN,
        left="x:p1 x:p2 x:plan y:p1 y:p2",
    ),
    box(
        "foreach makes lists",
        *chain(step("a", "M.x2xx", foreach="i"), step("b", "M.x_list")),
        given='<x v="1"/><x v="2"/>',
        left="x:1 x:1a x:1b x:2 x:2a x:2b",
    ),
    box(
        "foreach and another input",
        step("a", "M.xz_use", foreach="a"),
        given='<x v="1"/><x v="2"/><z v="5"/>',
        plans="g.r done",
    ),
    box("foreach on a list", step("a", "M.x_list", foreach="i"), code=2, says="list"),
    box(
        "foreach of a list made single",
        step("a", "M.x_list", reading(list="no"), foreach="i"),
        given='<x v="1"/>',
        calls="a(i=x:1)",
    ),
    box("foreach on an unknown input", step("a", "M.x", foreach="k"), code=2, says="'k'"),
    box(
        "foreach on a recipe",
        step("a", "g.c", type="recipe", foreach="i"),
        others=(recipe("c", A),),
        code=2,
        says="foreach",
    ),
    box(
        "foreach uses",
        step("a", "M.x_use", foreach="i"),
        memory=('<x v="1"/>', '<x v="2"/>'),
        then=(TWICE,),
        code=1,
        plans="g.r done, g.r failed",
    ),
    box(
        "foreach outdates",
        *chain(step("a", "M.mkx_out", foreach="i"), step("b", "M.x_list", reading(from_context="plan"))),
        given='<x v="1"/><x v="2"/>',
        left="x:1 x:2 x:new x:new",
    ),
    box(
        "foreach inside a called recipe",
        *chain(step("a", "g.c", type="recipe"), step("b", "M.ylist")),
        given='<x v="1"/><x v="2"/>',
        others=(recipe("c", step("k", "M.x2y", foreach="i")),),
        plans="g.r done, g.c done",
        left="x:1 x:2 y:1 y:2",
    ),
]


@named(FOREACH)
def test_foreach(case: Box, home: HomeOnDisk) -> None:
    check(case, home)
