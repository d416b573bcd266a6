"""Cases E to G: foreach, outputs, errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from narval_engine import ErrorElement, Output, Plan, PlanStep, RecipeError
from tests.engine.stage import Cases, Stage, kinds, makes, matching, of, states, takes, values, when, written, x, y, z

case = Cases()


def types(plan: Plan) -> list[str]:
    return [element.type for element in plan.elements]


@case("E01")
def _(s: Stage) -> None:
    s.recipe("R", "x2y", changes={"x2y": {"foreach": "i"}})
    plan = s.run("R", x(1), x(2), x(3))
    assert plan.state == "done"
    assert sorted(given["i"] for given in s.inputs("x2y")) == ["x:1", "x:2", "x:3"]
    assert values(plan.elements, "y") == [1, 2, 3]


@case("E02")
def _(s: Stage) -> None:
    s.recipe("R", "x2y", changes={"x2y": {"foreach": "i"}})
    plan = s.run("R")
    assert (plan.state, kinds(plan), s.names) == ("failed", ["missing input"], [])


@case("E03")
def _(s: Stage) -> None:
    changes = {"x_list": {"foreach": "i"}}
    with pytest.raises(RecipeError, match="takes a list already"):
        s.recipe("R", "x_list", changes=changes)
    s.recipe("R", "x_list", changes=changes, unchecked=True)
    plan = s.run("R", x(1))
    assert (plan.state, kinds(plan)) == ("failed", ["bad foreach"])


@case("E04")
def _(s: Stage) -> None:
    changes = {"x": {"foreach": "nonesuch"}}
    with pytest.raises(RecipeError, match=r"foreach names 'nonesuch', no input of a\.x; its inputs are: i"):
        s.recipe("R", "x", changes=changes)
    s.recipe("R", "x", changes=changes, unchecked=True)
    plan = s.run("R", x(1))
    assert (plan.state, kinds(plan)) == ("failed", ["bad foreach"])


@case("E05")
def _(s: Stage) -> None:
    s.recipe("R", "n=noop e=x2y_err2 l=ylist", "n -> e", "e -> l", changes={"e": {"foreach": "i"}})
    plan = s.run("R", x(1), x(2), x(3))
    assert len(s.inputs("x2y_err2")) == 3
    assert (plan.state, kinds(plan)) == ("failed", ["myerr"])
    assert states(plan) == {"n": "history", "e": "error", "l": "impossible"}
    assert values(plan.elements, "y") == [1, 3]


@case("E05 with an error transition")
def _(s: Stage) -> None:
    s.recipe("R", "e=x2y_err2 l=ylist", "!e -> l", changes={"e": {"foreach": "i"}})
    assert s.run("R", x(1), x(2), x(3)).state == "done"
    assert s.inputs("ylist") == [{"i": ["y:1", "y:3"]}]


@case("E07")
def _(s: Stage) -> None:
    s.recipe("R", "x_opt", changes={"x_opt": {"foreach": "i"}})
    assert s.run("R").state == "done"
    assert s.calls == []


@case("E08 the other inputs are the same for each")
def _(s: Stage) -> None:
    s.recipe("R", "xz2y", changes={"xz2y": {"foreach": "i"}})
    assert s.run("R", x(1), x(2), z(5)).state == "done"
    assert sorted((given["i"], given["k"]) for given in s.inputs("xz2y")) == [("x:1", "z:5"), ("x:2", "z:5")]


@case("E10")
def _(s: Stage) -> None:
    s.memory(x(1), x(2))
    s.recipe("R", "x_use", changes={"x_use": {"foreach": "i"}})
    first = s.run("R")
    s.memory(x(3))
    assert [first.state, s.run("R").state] == ["done", "done"]
    assert sorted(given["i"] for given in s.inputs("x_use")) == ["x:1", "x:2", "x:3"]


@case("E11")
def _(s: Stage) -> None:
    s.recipe("R", "e=x2x_outdates n=noop l=x_list", "e -> n", "n -> l", changes={"e": {"foreach": "i"}})
    plan = s.run("R", x(1), x(10))
    assert plan.state == "done"
    assert s.inputs("x_list") == [{"i": ["x:2", "x:11"]}]
    assert [element.v for element in s.engine.memory if element.outdated] == [1, 10]


@case("F_out_unknown")
def _(s: Stage) -> None:
    s.recipe("R", "o=out_unknown n=noop", "o -> n")
    plan = s.run("R")
    assert (plan.state, kinds(plan), types(plan)) == ("failed", ["bad output"], ["bad output"])


@case("F_out_nomatch")
def _(s: Stage) -> None:
    s.recipe("R", "o=out_nomatch n=noop", "o -> n")
    plan = s.run("R")
    assert (plan.state, kinds(plan), types(plan)) == ("failed", ["bad output"], ["bad output"])


@case("F_out_missing")
def _(s: Stage) -> None:
    s.recipe("R", "out_missing")
    plan = s.run("R")
    assert (plan.state, kinds(plan), plan.errors[0].output) == ("failed", ["bad output"], "o")


@case("F_out_opt")
def _(s: Stage) -> None:
    s.recipe("R", "out_opt")
    assert s.run("R").state == "done"


@case("F_out_list")
def _(s: Stage) -> None:
    s.recipe("R", "out_list")
    plan = s.run("R")
    assert (plan.state, values(plan.elements, "y")) == ("done", [1, 2])


@case("F one output matched by several elements")
def _(s: Stage) -> None:
    s.recipe("R", "out_several")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["bad output"])


@case("F_out_errplain")
def _(s: Stage) -> None:
    s.recipe("R", "out_errplain")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["bad output"])


@case("F anything else but a mapping")
def _(s: Stage) -> None:
    s.recipe("R", "out_list_value")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["bad output"])


@case("F_boom")
def _(s: Stage) -> None:
    s.recipe("R", "boom n=noop", "boom -> n")
    plan = s.run("R")
    assert (plan.state, states(plan)["boom"], kinds(plan)) == ("failed", "error", ["ValueError"])
    assert "raise ValueError" in plan.errors[0].traceback
    assert plan.errors[0] in plan.elements


@case("F_err")
def _(s: Stage) -> None:
    s.recipe("R", "err n=noop", "err -> n")
    plan = s.run("R")
    assert (plan.state, kinds(plan), types(plan)) == ("failed", ["myerr"], ["myerr"])


@case("F_err_and_y")
def _(s: Stage) -> None:
    s.recipe("R", "err_and_y n=noop", "err_and_y -> n")
    plan = s.run("R")
    assert (plan.state, types(plan)) == ("failed", ["myerr"])


@case("G01")
def _(s: Stage) -> None:
    s.recipe("R", "n1=noop err n2=noop", "n1 -> err", "err -> n2")
    plan = s.run("R")
    assert (plan.state, states(plan)["n2"]) == ("failed", "impossible")


def handled(s: Stage, first: str, **said: Any) -> Plan:
    """A=first; A -> normal -> end; on-error A -> handler -> end."""
    links = ["A -> normal", "normal -> end", ("!A -> handler", said), "handler -> end"]
    s.recipe("R", f"A={first} normal=noop handler end=noop", *links)
    return s.run("R")


@case("G02")
def _(s: Stage) -> None:
    plan = handled(s, "err")
    assert (plan.state, states(plan)["normal"]) == ("done", "impossible")
    assert s.inputs("handler") == [{"e": "Error<myerr>"}]
    assert types(plan) == ["myerr"]


@case("G03")
def _(s: Stage) -> None:
    plan = handled(s, "noop")
    assert (plan.state, states(plan)["handler"], states(plan)["normal"]) == ("done", "impossible", "history")


@case("G04b")
def _(s: Stage) -> None:
    plan = handled(s, "err", **matching("isinstance(elmt, ErrorElement) and elmt.type == 'myerr'"))
    assert (plan.state, s.names) == ("done", ["err", "handler"])


@case("G04c")
def _(s: Stage) -> None:
    plan = handled(s, "err", **matching("isinstance(elmt, ErrorElement) and elmt.type == 'other'"))
    assert (plan.state, s.names) == ("failed", ["err"])
    assert plan.transitions["t2"].state == "fail"


@case("G05")
def _(s: Stage) -> None:
    plan = handled(s, "x")
    assert plan.state == "done"
    assert s.inputs("handler") == [{"e": "Error<missing input>"}]


@case("G07")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop A=err B=x B2=mky end=noop", "S -> A, B", "B -> B2", "A + B2 -> end")
    plan = s.run("R", x(1))
    assert (plan.state, kinds(plan)) == ("failed", ["myerr"])
    assert sorted(s.names) == ["err", "x"]


@case("G08")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop A=err A2=x B=mky end=noop", "S -> A, B", "A -> A2", "B -> end")
    plan = s.run("R")
    assert (plan.state, kinds(plan), states(plan)["A2"]) == ("done", ["myerr"], "impossible")
    assert "myerr" in types(plan)


@case("G10")
def _(s: Stage) -> None:
    links = ["!A -> h1", "h1 -> m", "m -> end", ("!A -> h2", when("y")), "h2 -> end"]
    s.recipe("R", "A=err h1=mky m=noop h2=x end=noop", *links)
    plan = s.run("R")
    assert (plan.state, states(plan)["h2"], plan.transitions["t3"].state) == ("done", "impossible", "impossible")


@case("G11")
def _(s: Stage) -> None:
    plan = handled(s, "err_and_y")
    assert (plan.state, types(plan)) == ("done", ["myerr"])


@case("G12")
def _(s: Stage) -> None:
    s.memory(ErrorElement("foreign", "other"))
    s.recipe("R", "n1=noop n2=noop", "n1 -> n2")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("done", [])


@case("G13")
def _(s: Stage) -> None:
    s.recipe("R", "noop err", "noop -> err")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["myerr"])


@case("J15")
def _(s: Stage) -> None:
    plan = handled(s, "oom")
    assert (plan.state, states(plan)["A"], s.names) == ("failed", "killed", ["oom"])
    s.recipe("R2", "noop")
    assert s.run("R2").state == "done"


@case("J17")
def _(s: Stage) -> None:
    told: list[tuple[str, str | None]] = []

    def finalizer(plan: Plan) -> None:
        told.append(("finalizer", plan.state))

    def nonexecuted(step: PlanStep) -> None:
        told.append(("nonexecuted", step.id))

    s.add("fin", finalizer=finalizer, nonexecuted=nonexecuted)
    s.recipe("R", "noop err fin", "noop -> err", "err -> fin")
    assert s.run("R").state == "failed"
    assert sorted(told) == [("finalizer", "failed"), ("nonexecuted", "fin")]
    s.recipe("good", "fin")
    assert s.run("good").state == "done"
    assert told[2:] == [("finalizer", "done")]


@case("an element that is returned twice was made once")
def _(s: Stage) -> None:
    twin = x(1)
    s.add("twice", [], [makes("o", "x", list=True), makes("p", "x")], lambda _inputs: {"o": [twin, twin], "p": twin})
    s.recipe("R", "twice l=x_list", "twice -> l")
    assert s.run("R").state == "done"
    assert s.inputs("x_list") == [{"i": ["x:1"]}]


@case("an action may return what it took")
def _(s: Stage) -> None:
    s.add("pass_on", [takes("i", "x")], [makes("o", "x")], lambda given: {"o": given["i"]})
    s.recipe("R", "pass_on x", "pass_on -> x")
    s.memory(x("mem"))
    plan = s.run("R")
    assert (plan.state, s.inputs("x"), values(s.engine.memory)) == ("done", [{"i": "x:mem"}], ["mem"])


@case("an error element under a declared output is an error all the same")
def _(s: Stage) -> None:
    output = Output("o", ("isinstance(elmt, ErrorElement)",))
    s.add("typed", [], [output], lambda _inputs: {"o": ErrorElement("no", "typed")})
    s.recipe("R", "typed")
    plan = s.run("R")
    assert (plan.state, kinds(plan)) == ("failed", ["typed"])


@pytest.mark.parametrize("name", case)
def test_case(name: str, stage: Stage) -> None:
    case[name](stage)


@pytest.mark.parametrize("side", ["foreach", "out steps"])
def test_workers_really_run_side_by_side(make_stage: Any, side: str) -> None:
    s = make_stage(inline=False)
    together = threading.Barrier(3)
    s.add("meet", [takes("i", "x")], [makes("o", "y")], lambda given: (together.wait(20), {"o": y(given["i"].v)})[1])
    if side == "foreach":
        s.recipe("R", "meet", changes={"meet": {"foreach": "i"}})
    else:
        links = ["S -> a, b, c", "a + b + c -> end"]
        s.engine.add_recipe(written("R", "S=noop a=meet b=meet c=meet end=noop", *links))
    assert s.run("R", x(1), x(2), x(3)).state == "done"


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_workers_than_the_limit(make_stage: Any, limit: int) -> None:
    s = make_stage(inline=False, workers=limit)
    at_once: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def busy(_given: Any) -> None:
        with lock:
            at_once.append(1)
            most.append(len(at_once))
        threading.Event().wait(0.01)
        with lock:
            at_once.pop()

    s.add("busy", [takes("i", "x")], [], busy)
    s.recipe("R", "busy", changes={"busy": {"foreach": "i", **of("i", use=True)}})
    assert s.run("R", *[x(number) for number in range(8)]).state == "done"
    assert max(most) == limit
