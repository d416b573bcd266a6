"""Cases H and I: transitions, and plans inside of plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from narval_engine import RecipeError
from tests.engine.stage import Cases, Stage, kinds, matching, of, states, values, when, written, x, y

case = Cases()


@case("H01")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop A=mkx B=mky B2=noop end=ylist", "S -> A, B", "B -> B2", "A + B2 -> end")
    plan = s.run("R")
    assert plan.state == "done"
    assert len(s.inputs("ylist")) == 1
    assert s.names[-1] == "ylist"


@case("H02")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop A=mkx B=mky C=noop end=ylist", "S -> A, B, C", "A + B + C -> end")
    plan = s.run("R")
    assert (plan.state, len(s.inputs("ylist"))) == ("done", 1)
    assert set(states(plan).values()) == {"history", "done"}


@case("H03b")
def _(s: Stage) -> None:
    links = [("S -> A", when("x")), ("S -> B", when("y")), "A -> end", "B -> end"]
    s.recipe("R", "S=noop A=mkx B=mky end=noop", *links)
    plan = s.run("R", x(1))
    assert (plan.state, s.names, states(plan)["B"]) == ("done", ["mkx"], "impossible")


def tied(s: Stage, one: int, other: int) -> None:
    links = [("S -> A", {"priority": one}), ("S -> B", {"priority": other}), "A -> end", "B -> end"]
    s.recipe("R", "S=noop A=mkx B=mky end=noop", *links)


@case("H05")
def _(s: Stage) -> None:
    tied(s, 0, 0)
    plan = s.run("R")
    assert (plan.state, kinds(plan), s.names) == ("failed", ["bad recipe"], [])
    assert any(element.type == "bad recipe" for element in s.engine.memory)


@case("H05b")
def _(s: Stage) -> None:
    tied(s, 3, 3)
    plan = s.run("R")
    assert (plan.state, kinds(plan), s.names) == ("failed", ["bad recipe"], [])


@case("H06")
def _(s: Stage) -> None:
    tied(s, 1, 2)
    assert s.run("R").state == "done"
    assert s.names == ["mky"]


@case("H06b")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop end=mkx", ("S -> end", {"priority": -1}))
    assert s.run("R").state == "done"


@case("H06c")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop end=mkx", ("S -> end", {"priority": -2}))
    assert s.run("R").state == "done"


def defaulted(s: Stage) -> None:
    links = [("S -> A", {"priority": 1, **when("x")}), ("S -> B", {"priority": 0}), "A -> end", "B -> end"]
    s.recipe("R", "S=noop A=mky B=mkx end=noop", *links)


@case("H07")
def _(s: Stage) -> None:
    defaulted(s)
    assert s.run("R").state == "done"
    assert s.names == ["mkx"]


@case("H07b")
def _(s: Stage) -> None:
    defaulted(s)
    assert s.run("R", x(1)).state == "done"
    assert s.names == ["mky"]


@case("H26")
def _(s: Stage) -> None:
    links = [("S -> A", {"priority": 9, **when("x")}), "S -> B", "A -> end", "B -> end"]
    s.recipe("R", "S=noop A=mky B=mkx end=noop", *links)
    plan = s.run("R")
    assert (plan.state, s.names, states(plan)["A"]) == ("done", ["mkx"], "impossible")


def waits(s: Stage, name: str = "R", **said: Any) -> None:
    s.recipe(name, "S=noop end=noop", ("S -> end", when("x", **said)))


@case("H08")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    waits(s, use=True)
    first, second = s.run("R"), s.run("R")
    assert (first.state, second.state, second.waiting) == ("done", "running", True)
    assert second.transitions["t0"].state == "wait-condition"


@case("H08b")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    waits(s)
    assert [s.run("R").state, s.run("R").state] == ["done", "done"]


@case("H08c H08d")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    waits(s, use=True)
    s.run("R")
    second = s.run("R")
    assert second.waiting
    s.memory(x(2))
    s.go()
    assert (second.state, values(second.elements)) == ("done", [2])


@case("H11b")
def _(s: Stage) -> None:
    s.recipe("R", "mkx x", ("mkx -> x", when("x", from_context="plan")))
    assert s.run("R", x("plan")).state == "done"
    assert s.inputs("x") == [{"i": "x:plan"}]


@case("H11d")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    waits(s, to_context="plan")
    assert s.run("R").waiting


@case("H11d, then the element comes into the plan")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    links = ["S -> A, B", ("A -> C", when("x", to_context="plan")), "B -> B2", "C + B2 -> end"]
    s.recipe("R", "S=noop A=noop B=noop B2=x C=noop end=noop", *links)
    assert s.run("R").state == "done"


@case("H13")
def _(s: Stage) -> None:
    s.recipe("W", "S=noop end=noop", ("S -> end", when("x", "y")))
    plan = s.run("W", y(1))
    assert plan.waiting
    s.memory(x(1))
    s.go()
    assert plan.state == "done"


@case("H13d")
def _(s: Stage) -> None:
    waits(s, "W")
    plan = s.run("W")
    s.memory(y(1))
    s.go()
    assert plan.waiting
    s.memory(x(1))
    s.go()
    assert plan.state == "done"


@case("H14 one element for each condition")
def _(s: Stage) -> None:
    s.recipe("W", "S=noop end=noop", ("S -> end", when("x", "x")))
    plan = s.run("W", x(1))
    assert plan.waiting
    s.memory(x(2))
    s.go()
    assert plan.state == "done"
    assert [element.v for element in plan.transitions["t0"].elements] == [1, 2]


@case("H16d")
def _(s: Stage) -> None:
    waits(s, "W")
    plans = [s.run("W"), s.run("W")]
    s.memory(x(1))
    s.go()
    assert [plan.state for plan in plans] == ["done", "done"]


@case("of two that wait to use one element exactly one gets it")
def _(s: Stage) -> None:
    waits(s, "W", use=True)
    plans = [s.run("W"), s.run("W")]
    s.memory(x(1))
    s.go()
    assert [plan.state for plan in plans] == ["done", "running"]


@case("H27")
def _(s: Stage) -> None:
    s.recipe("P", "mkx n1=noop n2=noop n3=noop", "mkx -> n1", "n1 -> n2", "n2 -> n3")
    waits(s, "W")
    ended: list[str] = []
    s.engine.subscribe(
        lambda event: ended.append(event.plan.name) if event.kind == "plan_ended" and event.plan else None
    )
    w, p = s.start("W"), s.start("P")
    s.go()
    assert (w.state, p.state) == ("done", "done")
    assert ended == ["c.W", "c.P"]


@case("H15")
def _(s: Stage) -> None:
    recipe = written("R", "S=noop A=noop B=noop D=mkx end=noop", "S -> A, B", "A -> D", "B -> D", "D -> end")
    warnings = s.engine.add_recipe(recipe)
    assert len(warnings) == 1
    assert "side by side" in warnings[0].message
    plan = s.run("R")
    assert (plan.state, s.names) == ("done", ["mkx"])
    assert sorted(plan.transitions[name].state for name in ("t1", "t2")) == ["fired", "impossible"]


@case("H15 alternatives need no and-join")
def _(s: Stage) -> None:
    links = [("S -> A", when("x")), ("S -> B", when("y")), "A -> end", "B -> end"]
    assert s.engine.add_recipe(written("R", "S=noop A=noop B=noop end=noop", *links)) == []


@case("H16b")
def _(s: Stage) -> None:
    links = [
        "S -> A, B",
        ("A -> A2", {"priority": 1, **when("x")}),
        ("B -> B2", {"priority": 2, **when("x")}),
        "A2 + B2 -> end",
    ]
    s.recipe("R", "S=noop A=noop B=noop A2=mkx B2=mky end=noop", *links)
    plan = s.run("R")
    assert plan.waiting
    s.memory(x(1))
    s.go()
    assert (plan.state, sorted(s.names)) == ("done", ["mkx", "mky"])


@case("H16c")
def _(s: Stage) -> None:
    links = ["S -> A, B", ("A -> A2", when("x")), ("B -> B2", when("x")), "A2 + B2 -> end"]
    s.recipe("R", "S=noop A=noop B=noop A2=noop B2=noop end=noop", *links)
    assert s.run("R", x(1)).state == "done"


@case("H19")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop end=noop after=mkx", "S -> end", "end -> after", start_step="S", end_step="end")
    assert s.run("R").state == "done"
    assert s.names == []


@case("H20")
def _(s: Stage) -> None:
    links = ["S -> end, A", "A -> A2", "A2 -> A3"]
    s.recipe("R", "S=noop end=noop A=mkx A2=mky A3=mky", *links, start_step="S", end_step="end")
    assert s.run("R").state == "done"
    assert s.names == ["mkx"]


@case("H22")
def _(s: Stage) -> None:
    s.recipe("R", "mkx2 x_list", ("mkx2 -> x_list", when("x")))
    assert s.run("R").state == "done"
    assert s.inputs("x_list") == [{"i": ["x:p1"]}]


@case("H23")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    waits(s)
    plan = s.run("R")
    assert (plan.state, values(plan.elements)) == ("done", ["mem"])


@case("H24")
def _(s: Stage) -> None:
    s.memory(x(1))
    s.recipe("out", "x_use", changes={"x_use": of("i", outdates=True)})
    assert s.run("out").state == "done"
    waits(s)
    assert s.run("R").waiting


@case("all matches of a condition hold for the same element")
def _(s: Stage) -> None:
    from narval_engine import Condition

    one = Condition(("elmt.type == 'x'", "elmt.v == 2"))
    s.recipe("R", "S=noop end=x", ("S -> end", {"conditions": (one,)}))
    assert s.run("R", x(1), y(2), x(2)).state == "done"
    assert s.inputs("x") == [{"i": "x:2"}]


@case("a condition on what the in-steps made waits as any other")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop end=noop", ("S -> end", when("x", to_context="step")))
    plan = s.run("R", x(1))
    assert (plan.state, plan.waiting, plan.transitions["t0"].state) == ("running", True, "wait-condition")


@case("I01")
def _(s: Stage) -> None:
    s.recipe("C", "n1=noop n2=mkx", "n1 -> n2")
    s.recipe("R", "C=[C] n=mky", "C -> n")
    plan = s.run("R")
    assert (plan.state, s.names) == ("done", ["mkx", "mky"])
    assert len(s.engine.plans) == 2


@case("I02")
def _(s: Stage) -> None:
    s.recipe("C", "noop boom", "noop -> boom")
    s.recipe("R", "C=[C] n=noop", "C -> n")
    plan = s.run("R")
    child = plan.steps["C"].child
    assert child is not None
    assert (child.state, plan.state, states(plan)["C"]) == ("failed", "failed", "failed")
    assert [element.type for element in child.elements] == ["ValueError"]


@case("I02 an error of a child can be handled")
def _(s: Stage) -> None:
    s.recipe("C", "boom")
    s.recipe("R", "C=[C] h=handler", "!C -> h")
    assert s.run("R").state == "done"
    assert s.inputs("handler") == [{"e": "Error<ValueError>"}]


@case("I03")
def _(s: Stage) -> None:
    s.recipe("C", "mkx noop", "mkx -> noop")
    s.recipe("R", "C=[C] x", "C -> x")
    assert s.run("R", x("plan")).state == "done"
    assert s.inputs("x") == [{"i": "x:prev"}]


@case("I03b")
def _(s: Stage) -> None:
    s.recipe("C", "mkx noop", "mkx -> noop")
    s.recipe("R", "C=[C] noop x", "C -> noop", "noop -> x")
    s.memory(x("mem"))
    assert s.run("R").state == "done"
    assert s.inputs("x") == [{"i": "x:prev"}]


@case("I04")
def _(s: Stage) -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'c\.NOPE'"):
        s.recipe("R", "C=[NOPE]")
    s.recipe("R", "C=[NOPE]", unchecked=True)
    plan = s.run("R")
    assert (plan.state, states(plan), kinds(plan)) == ("failed", {"C": "failed"}, ["unknown recipe"])


@case("I05 a recipe that calls itself")
def _(s: Stage) -> None:
    s.recipe("R", "R=[R]")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["recursion"])
    assert len(s.engine.plans) == 50


@case("I08")
def _(s: Stage) -> None:
    waits(s, "C")
    s.recipe("R", "S=noop sub=[C] A=noop mk=mkx end=noop", "S -> sub, A", "A -> mk", "sub + mk -> end")
    assert s.run("R").state == "done"


@case("I11")
def _(s: Stage) -> None:
    s.recipe("C", "x_use")
    s.recipe("R", "mkx s1=[C] s2=[C]", "mkx -> s1", "s1 -> s2")
    plan = s.run("R")
    assert (plan.state, states(plan)["s1"], states(plan)["s2"]) == ("failed", "history", "failed")


@case("a failing plan stops the plans that it called")
def _(s: Stage) -> None:
    waits(s, "C")
    s.recipe("R", "S=noop C=[C] A=err end=noop", "S -> C, A", "C + A -> end")
    plan = s.run("R")
    child = plan.steps["C"].child
    assert child is not None
    assert (plan.state, child.state, kinds(child)) == ("failed", "failed", ["abandoned"])


@pytest.mark.parametrize("name", case)
def test_case(name: str, stage: Stage) -> None:
    case[name](stage)


def test_a_match_that_raises_does_not_match(make_stage: Callable[..., Stage]) -> None:
    s = make_stage()
    s.recipe("R", "S=noop end=noop", ("S -> end", matching("elmt.v.w.z > 1 / 0")))
    assert s.run("R", x(1)).waiting
