"""Cases J, K, V and X: life cycle, time, validity, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from narval_engine import Computed, Element, Recipe, RecipeError, StartPlan, Step, Transition
from tests.engine.stage import Cases, Stage, at, kinds, matching, of, values, when, written, x, y

case = Cases()


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time, so that local time is not simply seconds."""
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def refused(s: Stage, *parts: str, **recipe: Any) -> None:
    """The recipe is refused, and the mistakes say all of this."""
    with pytest.raises(RecipeError) as caught:
        s.engine.add_recipe(Recipe(group="c", name="R", **recipe))
    text = str(caught.value)
    for part in parts:
        assert part in text
    with pytest.raises(RecipeError, match="there is no recipe"):
        s.start("R")


def noops(*names: str) -> tuple[Step, ...]:
    return tuple(Step(id=name, target="a.noop") for name in names)


def links(*pairs: str) -> tuple[Transition, ...]:
    """``"a b"`` is a transition from a to b."""
    return tuple(
        Transition(id=f"t{number}", inputs=(pair.split()[0],), outputs=(pair.split()[1],))
        for number, pair in enumerate(pairs)
    )


@case("J01")
def _(s: Stage) -> None:
    s.engine.add_recipe(Recipe(group="c", name="R", steps=noops("only")))
    plan = s.run("R")
    assert (plan.state, plan.steps["only"].state) == ("done", "done")


@case("J02")
def _(s: Stage) -> None:
    refused(s, "initial step is missing", steps=noops("a", "b", "c"), transitions=links("a c", "b c"))


@case("J02b")
def _(s: Stage) -> None:
    refused(s, "final step is missing", steps=noops("a", "b", "c"), transitions=links("a b", "a c"))


@case("J03")
def _(s: Stage) -> None:
    said = {"start_step": "n1", "end_step": "n3"}
    transitions = links("n1 n2", "n2 n3", "n2 n1")
    refused(s, "cycle [n1, n2]", steps=noops("n1", "n2", "n3"), transitions=transitions, **said)


@case("J03b")
def _(s: Stage) -> None:
    transitions = links("A B", "B A", "B end")
    refused(s, "cycle [A, B]", steps=noops("A", "B", "end"), transitions=transitions, start_step="A", end_step="end")


@case("J05")
def _(s: Stage) -> None:
    steps, transitions = noops("a", "b", "loose"), links("a b")
    said: dict[str, Any] = {"start_step": "a", "end_step": "b"}
    refused(
        s, "step 'loose' has no incoming", "step 'loose' has no outgoing", steps=steps, transitions=transitions, **said
    )
    s.engine.add_recipe(Recipe(group="c", name="R", steps=steps, transitions=transitions, **said), unchecked=True)
    assert s.run("R").state == "done"


@case("V1")
def _(s: Stage) -> None:
    refused(s, "no elements")


@case("V2")
def _(s: Stage) -> None:
    parts = ("initial step is missing", "final step is missing", "'s' has no incoming", "'s' has no outgoing")
    refused(s, *parts, steps=noops("s"), start_step="", end_step="")


@case("V4")
def _(s: Stage) -> None:
    parts = ("step 'a' has no outgoing transition", "step 'b' has no incoming transition")
    refused(s, *parts, steps=noops("a", "b"), start_step="a", end_step="b")


@case("V5")
def _(s: Stage) -> None:
    refused(s, "cycle [s]", steps=noops("s"), transitions=links("s s"), start_step="s", end_step="s")


@case("V10")
def _(s: Stage) -> None:
    refused(s, "there is no action 'a.nop'; did you mean 'a.noop'?", steps=(Step(id="s", target="a.nop"),))


@case("V11")
def _(s: Stage) -> None:
    said = {"start_step": "a", "end_step": "c"}
    refused(s, "step 'b' has no outgoing transition", steps=noops("a", "b", "c"), transitions=links("a b", "a c"))
    refused(s, "step 'c' cannot be reached", steps=noops("a", "b", "c"), transitions=links("a b"), **said)


@case("J12")
def _(s: Stage) -> None:
    s.recipe("R", "mkx")
    plan = s.run("R")
    assert plan.state == "done"
    s.go()
    assert s.names == ["mkx"]
    with pytest.raises(RecipeError):
        s.start("nonesuch")


@case("J13")
def _(s: Stage) -> None:
    step = Step(id="s", target="a.x", arguments=(Computed("Element('x', v="),))
    refused(s, "is no Python expression", steps=(step,))


@case("J14")
def _(s: Stage) -> None:
    s.recipe("R", "x")
    plan = s.run("R", Computed("Element('x', v=1/0)"))
    assert (plan.state, kinds(plan), s.names) == ("failed", ["ZeroDivisionError"], [])
    good = s.run("R", Computed("Element('x', v=1 + 1)"))
    assert (good.state, s.inputs("x")) == ("done", [{"i": "x:2"}])


@case("J14 of a step")
def _(s: Stage) -> None:
    s.recipe("R", "x", changes={"x": {"arguments": (Computed("Element('x', v=2 * 3)"),)}})
    assert s.run("R").state == "done"
    assert s.inputs("x") == [{"i": "x:6"}]


@case("J18")
def _(s: Stage) -> None:
    s.memory(x(1), x(2))
    s.recipe("R", "S=noop end=noop", ("S -> end", when("x", use=True)), restart=True)
    s.run("R")
    assert [plan.state for plan in s.engine.plans] == ["done", "done", "running"]
    assert s.engine.plans[2].elements == []


@case("J18 not after a failure, not inside of another plan")
def _(s: Stage) -> None:
    s.recipe("bad", "err", restart=True)
    s.recipe("C", "mkx", restart=True)
    s.recipe("R", "C=[C]")
    assert (s.run("bad").state, s.run("R").state) == ("failed", "done")
    assert len(s.engine.plans) == 3


@case("J19")
def _(s: Stage) -> None:
    s.memory(x("mem"))
    s.recipe("R", "x mkx", "x -> mkx", decay=10)
    plan = s.run("R", y("given"))
    assert len([each for each in s.engine.memory if each.type != "recipe"]) == 4
    s.clock.advance(9)
    s.go()
    assert plan in s.engine.plans
    s.clock.advance(1)
    s.go()
    assert (s.engine.plans, values(s.engine.memory), values(s.engine.memory, "y")) == ([], ["mem"], [])


@case("J19 what another plan refers to stays")
def _(s: Stage) -> None:
    s.recipe("P", "mkx", decay=1)
    s.recipe("R", "x")
    s.run("P")
    s.run("R")
    s.clock.advance(1)
    s.go()
    assert [plan.name for plan in s.engine.plans] == ["c.R"]
    assert values(s.engine.memory) == ["prev"]


@case("X_remove")
def _(s: Stage) -> None:
    element = x(1)
    s.memory(element)
    s.recipe("R", "x", changes={"x": of("i", outdates=True)})
    plan = s.run("R")
    assert element.outdated
    s.engine.remove_element(element)
    assert (element in s.engine.memory, element in plan.elements) == (False, False)


@case("X_remove2")
def _(s: Stage) -> None:
    element = x(1)
    s.memory(element)
    s.recipe("R", "x")
    first = s.run("R")
    s.engine.remove_element(element)
    assert (element in s.engine.memory, first.elements) == (False, [])
    assert s.run("R").state == "failed"


@case("X_xml")
def _(s: Stage) -> None:
    s.recipe("R", "S=noop end=noop", ("S -> end", when("x")))
    plan = s.run("R")
    s.memory(x(1))
    s.go()
    assert plan.state == "done"


@case("X an element is replaced")
def _(s: Stage) -> None:
    old, new = x(1), x(2)
    s.memory(old)
    s.engine.replace_element(old, new)
    s.recipe("R", "x")
    s.run("R")
    assert s.inputs("x") == [{"i": "x:2"}]


@case("J21")
def _(s: Stage) -> None:
    s.recipe("C", "mkx")
    s.recipe("R", "mkstart")
    assert s.run("R").state == "done"
    assert [(plan.name, plan.state, plan.parent_plan) for plan in s.engine.plans] == [
        ("c.R", "done", None),
        ("c.C", "done", None),
    ]


@case("J21 with elements, and of an unknown recipe")
def _(s: Stage) -> None:
    s.recipe("C", "x")
    s.memory(StartPlan("c.C", (x(5),)), Element("start-plan", recipe="c.NOPE"))
    s.go()
    assert s.inputs("x") == [{"i": "x:5"}]
    assert [element.type for element in s.engine.memory if element.type == "unknown recipe"] == ["unknown recipe"]


@pytest.mark.parametrize("name", case)
def test_case(name: str, stage: Stage) -> None:
    case[name](stage)


def test_elements_that_nobody_uses_are_forgotten(make_stage: Callable[..., Stage]) -> None:
    s = make_stage(forget_after=60)
    s.memory(x("unused"), y("used"), Element("z", v="waiting"))
    s.recipe("W", "S=noop end=noop", ("S -> end", when("nothing")))
    s.recipe("Y", "ylist")
    s.recipe("P", "S=noop end=noop", ("S -> end", when("z")))
    s.start("W", Element("x", v="held"))
    s.clock.advance(40)
    s.run("Y")
    s.clock.advance(40)
    s.go()
    assert [element.v for element in s.engine.memory if not element.private] == ["used", "held"]


def test_j16(make_stage: Callable[..., Stage]) -> None:
    s = make_stage()
    for name in ("P", "Q"):
        s.recipe(name, "n1=noop n2=noop n3=noop", "n1 -> n2", "n2 -> n3")
    order: list[str] = []
    s.engine.subscribe(
        lambda event: order.append(event.plan.name[-1]) if event.kind == "step_started" and event.plan else None
    )
    plans = [s.start("P"), s.start("Q")]
    s.go()
    assert [plan.state for plan in plans] == ["done", "done"]
    assert order == ["P", "Q"] * 3


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


TIMES = [
    ("K02", {"minutes": "0,30", "seconds": 0}, "2026-03-05 10:29:59", "2026-03-05 10:30:00"),
    ("K02 now", {"minutes": "0,30", "seconds": 0}, "2026-03-05 10:30:00", "2026-03-05 10:30:00"),
    ("K03", {"hours": "8-10,14", "minutes": 0, "seconds": 0}, "2026-03-05 10:00:01", "2026-03-05 14:00:00"),
    ("K04", {"monthdays": 31, "hours": 0, "minutes": 0, "seconds": 0}, "2026-02-01 12:00:00", "2026-03-31 00:00:00"),
    ("K05", {"weekdays": 0, "hours": 9, "minutes": 0, "seconds": 0}, "2026-03-03 10:00:00", "2026-03-09 09:00:00"),
    ("K06", {"weekdays": 0, "monthdays": 1}, "2026-03-03 10:00:00", "2026-06-01 00:00:00"),
    ("K07", {"yeardays": 366}, "2026-03-03 10:00:00", "2028-12-31 00:00:00"),
    ("K11", {"minutes": 5}, "2026-03-03 10:06:00", "2026-03-03 11:05:00"),
    (
        "K an hour that never comes",
        {"hours": 2, "minutes": 30, "seconds": 0},
        "2026-03-28 12:00:00",
        "2026-03-30 02:30:00",
    ),
    (
        "K an hour that comes twice",
        {"hours": 2, "minutes": 30, "seconds": 0},
        "2026-10-25 01:00:00",
        "2026-10-25 02:30:00",
    ),
    ("K11 running", {"minutes": 5}, "2026-03-03 10:05:30", "2026-03-03 10:05:30"),
]


@pytest.mark.parametrize(("fields", "ended", "fired"), [each[1:] for each in TIMES], ids=[each[0] for each in TIMES])
def test_time(make_stage: Callable[..., Stage], fields: dict[str, Any], ended: str, fired: str) -> None:
    s = make_stage(now=moment(ended))
    s.recipe("R", "S=noop end=noop", ("S -> end", at(**fields)))
    plan = s.run("R")
    if ended != fired:
        assert (plan.waiting, plan.transitions["t0"].state) == (True, "wait-time")
        s.clock.set(moment(fired).timestamp() - 1)
        s.go()
        assert plan.waiting
        s.clock.set(moment(fired))
        s.go()
    assert plan.state == "done"


def test_k09(make_stage: Callable[..., Stage]) -> None:
    s = make_stage(now=moment("2026-03-03 10:00:30"))
    s.recipe("E", "S=noop end=noop", ("S -> end", {**at(seconds=0), **when("y")}))
    s.recipe("R", "S=noop end=noop", ("S -> end", {**at(seconds=0), **when("x")}))
    early, late = s.run("E", y("early")), s.run("R")
    assert {early.transitions["t0"].state, late.transitions["t0"].state} == {"wait-time"}
    s.clock.set(moment("2026-03-03 10:01:00"))
    s.go()
    assert (early.state, late.transitions["t0"].state) == ("done", "wait-condition")
    s.clock.set(moment("2026-03-03 10:01:20"))
    s.memory(x(1))
    s.go()
    assert late.state == "done"


def test_k12(make_stage: Callable[..., Stage]) -> None:
    s = make_stage(now=moment("2026-03-03 10:00:30"))
    both = {"times": (*at(hours=15, minutes=0, seconds=0)["times"], *at(minutes=20, seconds=0)["times"])}
    s.recipe("R", "S=noop end=noop", ("S -> end", both))
    plan = s.run("R")
    s.clock.set(moment("2026-03-03 10:20:00"))
    s.go()
    assert plan.state == "done"


def test_past_years_make_the_transition_impossible(make_stage: Callable[..., Stage]) -> None:
    s = make_stage(now=moment("2026-03-03 10:00:30"))
    s.recipe("R", "S=noop end=noop", ("S -> end", at(years="1999-2025")))
    plan = s.run("R")
    assert (plan.state, plan.transitions["t0"].state, kinds(plan)) == ("failed", "impossible", ["failed"])


def test_the_real_clock_is_waited_for(make_stage: Callable[..., Stage]) -> None:
    from narval_engine import Engine

    s = make_stage()
    second = (int(time.time()) + 2) % 60
    with Engine(s.registry) as engine:
        engine.add_recipe(written("R", "S=noop end=noop", ("S -> end", at(seconds=second))))
        plan = engine.start_plan("c.R")
        engine.run()
        assert plan.state == "done"
        assert int(time.time()) % 60 == second


@pytest.mark.parametrize("field", ["61", "5-2", "x", "", "1,,2", "-1", "1-2-3", "*/5", "9" * 400])
def test_bad_time_fields_are_refused(make_stage: Callable[..., Stage], field: str) -> None:
    s = make_stage()
    with pytest.raises(RecipeError, match="seconds takes"):
        s.recipe("R", "S=noop end=noop", ("S -> end", at(seconds=field)))


@pytest.mark.parametrize(
    ("link", "said", "part"),
    [
        ("S -> nowhere", {}, "out names the unknown step 'nowhere'"),
        ("S -> end", matching("elmt.v =="), "is no Python expression"),
        ("S -> end", matching("__import__('os')"), "is not allowed"),
        ("S -> end", {"conditions": ()}, ""),
        ("S -> end", when("x", from_context="outer space"), "it is one of step, plan, parent_plan, memory"),
        ("S -> end", when("x", from_context="memory", to_context="plan"), "nothing can ever be found"),
    ],
)
def test_transitions_are_checked(make_stage: Callable[..., Stage], link: str, said: dict[str, Any], part: str) -> None:
    s = make_stage()
    recipe = written("R", "S=noop end=noop", (link, said), *([] if link == "S -> end" else ["S -> end"]))
    if not part:
        assert s.engine.add_recipe(recipe) == []
        return
    with pytest.raises(RecipeError) as caught:
        s.engine.add_recipe(recipe)
    assert part in str(caught.value)
