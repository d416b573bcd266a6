"""Cases A to D: how inputs get their elements."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from narval_engine import Input, Output, RecipeError
from tests.engine.stage import Cases, Stage, kinds, makes, matching, of, states, takes, values, when, written, x, y, z

case = Cases()


@case("A01")
def _(s: Stage) -> None:
    s.recipe("R", "x", changes={"x": {"arguments": (x("arg"),)}})
    assert s.run("R", x("plan")).state == "done"
    assert s.calls == [("x", {"i": "x:arg"})]


@case("A03")
def _(s: Stage) -> None:
    s.recipe("R", "mkx x", ("mkx -> x", matching("elmt.v == 'cond'")))
    assert s.run("R", x("cond")).state == "done"
    assert s.inputs("x") == [{"i": "x:cond"}]


@case("A04")
def _(s: Stage) -> None:
    s.recipe("R", "mkx x", "mkx -> x")
    assert s.run("R", x("plan")).state == "done"
    assert s.inputs("x") == [{"i": "x:prev"}]


@case("A07")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "x")
    plan = s.run("R")
    assert plan.state == "done"
    assert s.inputs("x") == [{"i": "x:mem"}]
    assert values(plan.elements) == ["mem"]


@case("A08")
def _(s: Stage) -> None:
    s.recipe("P", "mkx")
    s.recipe("R", "x")
    assert s.run("P").state == "done"
    assert s.run("R").state == "done"
    assert s.inputs("x") == [{"i": "x:prev"}]


@case("A09")
def _(s: Stage) -> None:
    s.recipe("R", "mkx x", "mkx -> x", changes={"x": {"arguments": (x("arg"),), **of("i", from_context="plan")}})
    assert s.run("R", x("plan")).state == "done"
    assert s.inputs("x") == [{"i": "x:plan"}]


@case("A09b")
def _(s: Stage) -> None:
    s.recipe("R", "mky noop x", "mky -> noop", "noop -> x", changes={"x": of("i", from_context="plan")})
    assert s.run("R", x("plan")).state == "done"
    assert s.inputs("x") == [{"i": "x:plan"}]


@case("A10b")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "noop x", "noop -> x", changes={"x": of("i", from_context="memory")})
    assert s.run("R", x("planarg")).state == "done"
    assert s.inputs("x") == [{"i": "x:mem"}]


@case("A11")
def _(s: Stage) -> None:
    s.recipe("R", "noop x", "noop -> x", changes={"x": of("i", to_context="step")})
    plan = s.run("R", x("plan"))
    assert (plan.state, s.names, kinds(plan)) == ("failed", [], ["missing input"])
    assert any(element.type == "missing input" for element in plan.elements)


@case("A13")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("C", "mkx noop x", "mkx -> noop", "noop -> x", changes={"x": of("i", from_context="parent_plan")})
    s.recipe("R", "noop C=[C]", "noop -> C")
    assert s.run("R").state == "done"
    assert s.inputs("x") == [{"i": "x:mem"}]


@case("A13c")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("C", "mkx noop x", "mkx -> noop", "noop -> x", changes={"x": of("i", to_context="parent_plan")})
    s.recipe("R", "noop C=[C]", "noop -> C")
    assert s.run("R").state == "done"
    assert s.inputs("x") == [{"i": "x:prev"}]


@case("A14")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("C", "x", changes={"x": of("i", to_context="parent_plan")})
    s.recipe("R", "C=[C]")
    plan = s.run("R")
    child = plan.steps["C"].child
    assert child is not None
    assert (child.state, kinds(child)) == ("failed", ["missing input"])
    assert (plan.state, states(plan)) == ("failed", {"C": "failed"})


@case("A16b")
def _(s: Stage) -> None:
    s.recipe("R", "xx_use")
    assert s.run("R", x(1), x(2)).state == "done"
    assert s.inputs("xx_use") == [{"a": "x:1", "b": "x:2"}]


@case("A16c")
def _(s: Stage) -> None:
    s.recipe("R", "xx_use")
    plan = s.run("R", x(1))
    assert (plan.state, kinds(plan), s.names) == ("failed", ["missing input"], [])
    assert plan.errors[0].input == "b"


@case("A17")
def _(s: Stage) -> None:
    s.recipe("R", "x")
    assert s.run("R", x(1), x(2)).state == "done"
    assert s.inputs("x") == [{"i": "x:1"}]


@case("A21")
def _(s: Stage) -> None:
    with pytest.raises(RecipeError, match="no match for i"):
        s.recipe("R", "no_match")


@case("B02")
def _(s: Stage) -> None:
    s.recipe("R", "mkx2 x_list", ("mkx2 -> x_list", matching("elmt.v == 'cond'")))
    assert s.run("R", x("cond")).state == "done"
    assert s.inputs("x_list") == [{"i": ["x:cond"]}]


@case("B04")
def _(s: Stage) -> None:
    s.recipe("R", "x_list")
    plan = s.run("R")
    assert (plan.state, kinds(plan), s.names) == ("failed", ["missing input"], [])


@case("B05")
def _(s: Stage) -> None:
    s.recipe("R", "x_list_opt")
    assert s.run("R").state == "done"
    assert s.calls == [("x_list_opt", {"i": []})]


@case("B07")
def _(s: Stage) -> None:
    s.recipe("R", "x_opt")
    assert s.run("R", x(1), x(2)).state == "done"
    assert s.inputs("x_opt") == [{"i": "x:1"}]


@case("B08")
def _(s: Stage) -> None:
    s.recipe("R", "n1=noop x n2=noop", "n1 -> x", "x -> n2")
    plan = s.run("R")
    assert (plan.state, states(plan)["n2"]) == ("failed", "impossible")
    error = plan.errors[0]
    assert (error.type, error.plan, error.step, error.input) == ("missing input", plan.eid, "x", "i")
    for part in ("c.R", "'x'", "'i'"):
        assert part in error.message


@case("C01")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "x_use")
    first, second = s.run("R"), s.run("R")
    assert (first.state, second.state, kinds(second)) == ("done", "failed", ["missing input"])
    assert s.inputs("x_use") == [{"i": "x:mem"}]


@case("C02")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "x")
    assert [s.run("R").state, s.run("R").state] == ["done", "done"]
    assert s.inputs("x") == [{"i": "x:mem"}] * 2


@case("C03")
def _(s: Stage) -> None:
    s.memory(x(1))
    s.recipe("R", "x_use")
    first = s.run("R")
    s.memory(x(2))
    assert [first.state, s.run("R").state] == ["done", "done"]
    assert s.inputs("x_use") == [{"i": "x:1"}, {"i": "x:2"}]


@case("C03b")
def _(s: Stage) -> None:
    s.memory(x(1), x(2))
    s.recipe("R", "x_use")
    assert s.run("R").state == "done"
    assert s.run("R").state == "done"
    assert s.inputs("x_use") == [{"i": "x:1"}, {"i": "x:2"}]


@case("C04")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "x_use")
    s.recipe("R2", "x_use")
    assert [s.run("R").state, s.run("R2").state] == ["done", "done"]


@case("C06")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "xz_use")
    first = s.run("R")
    s.memory(z(1))
    assert [first.state, s.run("R").state] == ["failed", "done"]
    assert s.inputs("xz_use") == [{"a": "x:mem", "b": "z:1"}]


@case("C07b")
def _(s: Stage) -> None:
    s.recipe("R", "x2x n=noop x", "x2x -> n", "n -> x")
    assert s.run("R", x(1)).state == "done"
    assert s.inputs("x") == [{"i": "x:1"}]


@case("C07b with outdates")
def _(s: Stage) -> None:
    s.recipe("R", "x2x_out n=noop x", "x2x_out -> n", "n -> x")
    assert s.run("R", x(1)).state == "done"
    assert s.inputs("x") == [{"i": "x:2"}]


@case("C08")
def _(s: Stage) -> None:
    s.memory(x(1))
    s.recipe("R", "x2x_out")
    s.recipe("R2", "x")
    assert [s.run("R").state, s.run("R2").state] == ["done", "done"]
    assert s.inputs("x") == [{"i": "x:2"}]


@case("C09")
def _(s: Stage) -> None:
    s.add("bad", [takes("i", "x")], [makes("o", "x", outdates="j")])
    with pytest.raises(RecipeError, match="outdates 'j', which is no input; inputs are: i"):
        s.recipe("R", "bad")


@case("C11")
def _(s: Stage) -> None:
    s.memory(x(1), x(2))
    s.recipe("R", "x_list_use")
    first = s.run("R")
    s.memory(x(3))
    assert [first.state, s.run("R").state] == ["done", "done"]
    assert s.inputs("x_list_use") == [{"i": ["x:1", "x:2"]}, {"i": ["x:3"]}]


@case("C15")
def _(s: Stage) -> None:
    for name in ("x2x_out", "x2x_outdates"):
        s.recipe(name, name)
        plan = s.run(name, x(1))
        assert plan.state == "done"
        assert values(plan.elements) == [2]


@case("D03")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "x", changes={"x": of("i", use=True)})
    assert [s.run("R").state, s.run("R").state] == ["done", "failed"]


@case("D06")
def _(s: Stage) -> None:
    with pytest.raises(RecipeError, match="outdates=yes; a step may not make it no"):
        s.recipe("R", "x2x_out", changes={"x2x_out": of("i", outdates=False)})
    s.recipe("R", "x2x", changes={"x2x": of("i", outdates=True)})
    assert values(s.run("R", x(1)).elements) == [2]


@case("D07")
def _(s: Stage) -> None:
    s.recipe("R", "out_opt", changes={"out_opt": {"outputs": (Output("o", optional=False),)}})
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["bad output"])


@case("D11")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.add("near", [takes("i", "x", to_context="plan")])
    s.recipe("inherits", "near")
    s.recipe("overrides", "near", changes={"near": of("i", to_context="memory")})
    assert [s.run("inherits").state, s.run("overrides").state] == ["failed", "done"]


@case("D12")
def _(s: Stage) -> None:
    changes = {"out_missing": {"outputs": (Output("o", optional=True),)}}
    with pytest.raises(RecipeError, match="optional=no; a step may not make it yes"):
        s.recipe("R", "out_missing", changes=changes)
    s.recipe("R", "out_missing", changes=changes, unchecked=True)
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["bad output"])


@case("D13")
def _(s: Stage) -> None:
    s.recipe("R", "mkx", changes={"mkx": {"outputs": (Output("o", ("elmt.v == 'other'",)),)}})
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["bad output"])


@case("table 1")
def _(s: Stage) -> None:
    """Every cell: what the action says, what the step says, and whether that is allowed."""
    allowed = {"optional": (True, False), "list": (True, False), "use": (False, True), "outdates": (False, True)}
    for name, pair in allowed.items():
        for own in (True, False):
            for said in (True, False):
                s.add("cell", [takes("i", "x", **{name: own})])
                recipe = written("cell", "cell", changes={"cell": of("i", **{name: said})})
                if own == said or (own, said) == pair:
                    s.engine.add_recipe(recipe)
                else:
                    with pytest.raises(RecipeError, match=f"a step may not make it {'yes' if said else 'no'}"):
                        s.engine.add_recipe(recipe)


@case("an input may look at those before it")
def _(s: Stage) -> None:
    s.recipe("R", "ab")
    assert s.run("R", x(1), x(2), y(3)).state == "done"
    assert s.inputs("ab") == [{"a": "x:2", "b": "y:3"}]


@case("by matching and not first come, first served")
def _(s: Stage) -> None:
    s.add("pick", [takes("a", "x"), takes("b", "x", "elmt.v == 1")])
    s.recipe("R", "pick")
    assert s.run("R", x(1), x(2)).state == "done"
    assert s.inputs("pick") == [{"a": "x:2", "b": "x:1"}]


@case("a list leaves what a later input needs")
def _(s: Stage) -> None:
    s.add("rest", [takes("l", "x", list=True), takes("a", "x")])
    s.recipe("R", "rest")
    assert s.run("R", x(1), x(2), x(3)).state == "done"
    assert s.inputs("rest") == [{"l": ["x:1", "x:2"], "a": "x:3"}]


@case("an input of a later step may be narrowed by a match")
def _(s: Stage) -> None:
    s.recipe("R", "x", changes={"x": {"inputs": (Input("i", ("elmt.v == 2",)),)}})
    assert s.run("R", x(1), x(2)).state == "done"
    assert s.inputs("x") == [{"i": "x:2"}]


@case("elements that validated a condition come before those of the step before")
def _(s: Stage) -> None:
    s.recipe("R", "mkx2 x_list", ("mkx2 -> x_list", when("x")))
    assert s.run("R").state == "done"
    assert s.inputs("x_list") == [{"i": ["x:p1"]}]


@pytest.mark.parametrize("name", case)
def test_case(name: str, stage: Stage) -> None:
    case[name](stage)


def test_a17_strict(make_stage: Callable[..., Stage]) -> None:
    s = make_stage(strict=True)
    s.recipe("R", "x")
    plan = s.run("R", x(1), x(2))
    assert (plan.state, kinds(plan), s.names) == ("failed", ["undecidable input"], [])
