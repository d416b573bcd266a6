"""Rules of the engine, tried on whatever hypothesis thinks of."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from narval_engine import (
    Condition,
    Element,
    Engine,
    ErrorElement,
    Event,
    Input,
    Output,
    Plan,
    Recipe,
    Registry,
    Step,
    recipewriting,
)
from narval_engine import Transition as Link
from narval_engine.assignment import Slot, UnassignedError, assign
from narval_engine.index import Index
from narval_engine.places import Mistake
from narval_engine.programs import Pattern
from narval_engine.reach import Reach
from narval_engine.validity import mistakes_of
from narval_engine.xmlrecipes import recipes_of

KINDS = ("x", "y", "z")
FINAL = {"fired", "impossible", "fail"}


def registry() -> Registry:
    """Actions that take, make, use, outdate and fail."""
    made = Registry()
    made.register("a.noop", lambda _given: None, inline=True)
    made.register("a.fail", lambda _given: {"error": ErrorElement("no", "no")}, inline=True)
    for kind in KINDS:
        one = Input("i", (f"elmt.type == {kind!r}",))
        two = Input("j", (f"elmt.type == {kind!r}",))
        output = Output("o", (f"elmt.type == {kind!r}",))
        make = lambda _given, kind=kind: {"o": Element(kind, v=0)}  # noqa: E731 -- bound to the kind of this turn
        made.register(f"a.take_{kind}", lambda _given: None, [one], inline=True)
        made.register(f"a.both_{kind}", lambda _given: None, [one, two], inline=True)
        made.register(f"a.make_{kind}", make, [], [output], inline=True)
        using = Input("i", one.match, use=True)
        made.register(f"a.use_{kind}", lambda _given: None, [using], inline=True)
        replacing = Input("i", one.match, outdates=True)
        made.register(f"a.replace_{kind}", make, [replacing], [output], inline=True)
    return made


REGISTRY = registry()
IN_WORKERS = Registry()
for each in REGISTRY:
    IN_WORKERS.register(each.name, each.function, each.prototype.inputs, each.prototype.outputs)
conditions = st.lists(
    st.builds(lambda kind, use: Condition(f"elmt.type == {kind!r}", use=use), st.sampled_from(KINDS), st.booleans()),
    max_size=2,
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """A recipe without cycles: transitions lead from earlier to later steps."""
    count = draw(st.integers(1, 7))
    names = [f"s{at}" for at in range(count)]
    targets = draw(st.lists(st.sampled_from(REGISTRY.names()), min_size=count, max_size=count))
    steps = tuple(Step(id=name, target=target) for name, target in zip(names, targets, strict=True))
    links = []
    for at in range(1, count):
        for number in range(draw(st.integers(1, 2))):
            ins = draw(st.lists(st.sampled_from(names[:at]), min_size=1, max_size=3, unique=True))
            outs = draw(st.lists(st.sampled_from(names[at:]), max_size=2, unique=True))
            outs = list(dict.fromkeys([names[at], *outs]))
            outs = [out for out in outs if names.index(out) > max(names.index(each) for each in ins)]
            flagged = draw(st.lists(st.sampled_from(ins), max_size=1)) if draw(st.integers(0, 3)) == 0 else []
            links.append(
                Link(
                    id=f"t{at}.{number}",
                    inputs=tuple(each for each in ins if each not in flagged),
                    on_error=tuple(flagged),
                    outputs=tuple(outs),
                    conditions=tuple(draw(conditions)),
                    priority=draw(st.integers(-2, 2)),
                )
            )
    return Recipe("r", "r", steps, tuple(links), start_step="s0", end_step=names[-1])


elements = st.lists(st.builds(lambda kind, v: (kind, v), st.sampled_from(KINDS), st.integers(0, 3)), max_size=6)


def played(
    recipe: Recipe, memory: Any, arguments: Any, plans: int = 2, actions: Registry = REGISTRY
) -> tuple[list[Plan], list[Event]]:
    """Some plans of the recipe, run to where nothing can happen, and all that happened."""
    told: list[Event] = []
    with Engine(actions) as engine:
        engine.subscribe(told.append)
        engine.add_recipe(recipe, unchecked=True)
        engine.add_element(*[Element(kind, v=v) for kind, v in memory])
        for _plan in range(plans):
            engine.start_plan("r.r", [Element(kind, v=v) for kind, v in arguments])
        engine.run(timeout=20)
        return engine.plans, told


def trace(told: list[Event]) -> list[Any]:
    return [
        (
            event.kind,
            event.plan and event.plan.eid,
            event.step and event.step.id,
            event.transition,
            [e.eid for e in event.elements],
        )
        for event in told
    ]


@given(recipes(), elements, elements)
def test_whatever_the_recipe_says_the_rules_hold(recipe: Recipe, memory: Any, arguments: Any) -> None:
    keep_the_rules(recipe, *played(recipe, memory, arguments))


@given(recipes(), elements, elements)
@settings(max_examples=40)
def test_the_rules_hold_for_workers(recipe: Recipe, memory: Any, arguments: Any) -> None:
    keep_the_rules(recipe, *played(recipe, memory, arguments, actions=IN_WORKERS))


def keep_the_rules(recipe: Recipe, plans: list[Plan], told: list[Event]) -> None:
    fired = Counter(
        (event.plan and event.plan.eid, event.transition) for event in told if event.kind == "transition_fired"
    )
    started = Counter(
        (event.plan and event.plan.eid, event.step and event.step.id) for event in told if event.kind == "step_started"
    )
    assert set(fired.values()) <= {1}
    assert set(started.values()) <= {1}
    for event in told:
        if event.kind in {"step_started", "transition_fired"}:
            eids = [element.eid for element in event.elements]
            assert len(eids) == len(set(eids)), "an element went to two inputs or conditions"
    for plan in plans:
        check(plan)
    check_use(recipe, told)


def check(plan: Plan) -> None:
    states = {name: step.state for name, step in plan.steps.items()}
    assert plan.active == 0
    assert "running" not in states.values()
    if plan.state == "done":
        assert states[plan.program.steps[plan.program.end].id] == "done"
    elif plan.state == "failed":
        assert plan.errors
    else:
        assert plan.waiting
        assert any(way.state == "wait-condition" for way in plan.transitions.values())
    left = Counter(
        step
        for transition in plan.recipe.transitions
        if plan.transitions[transition.id].state == "fired"
        for step, _flagged in transition.links()
    )
    assert set(left.values()) <= {1}, "a step was left through two transitions"
    for transition in plan.recipe.transitions:
        if plan.transitions[transition.id].state == "fired":
            for step, flagged in transition.links():
                assert states[step] == ("history" if not flagged else states[step])
                assert (states[step] in {"error", "failed"}) is flagged


def check_use(recipe: Recipe, told: list[Event]) -> None:
    """No element is used twice by one step, whichever plan it is of; an outdated one is taken by nobody after."""
    used: set[tuple[str, int | None]] = set()
    outdated: set[int | None] = set()
    targets = {step.id: step.target for step in recipe.steps}
    for event in told:
        if event.kind != "step_started" or event.step is None:
            continue
        for element in event.elements:
            assert element.eid not in outdated
            if targets[event.step.id].startswith("a.use"):
                assert (event.step.id, element.eid) not in used
                used.add((event.step.id, element.eid))
            if targets[event.step.id].startswith("a.replace"):
                outdated.add(element.eid)


@given(recipes(), elements, elements)
@settings(max_examples=50)
def test_the_same_recipe_and_inputs_give_the_same_trace(recipe: Recipe, memory: Any, arguments: Any) -> None:
    assert trace(played(recipe, memory, arguments)[1]) == trace(played(recipe, memory, arguments)[1])


@given(recipes())
@settings(max_examples=50)
def test_checking_a_recipe_never_fails(recipe: Recipe) -> None:
    for mistake in mistakes_of(recipe, REGISTRY.get, {}):
        assert str(mistake)


@given(recipes())
def test_a_recipe_written_as_xml_reads_the_same(recipe: Recipe) -> None:
    mistakes: list[Mistake] = []
    again = recipes_of(recipewriting.written(recipe), "f.xml", mistakes)
    assert mistakes == []
    assert [recipewriting.written(each) for each in again] == [recipewriting.written(recipe)]
    assert again[0].steps == recipe.steps
    assert [each.links() for each in again[0].transitions] == [each.links() for each in recipe.transitions]
    wanted = [[each.expressions for each in way.conditions] for way in recipe.transitions]
    assert [[each.expressions for each in way.conditions] for way in again[0].transitions] == wanted


def slot(name: str, wanted: list[int], *, required: bool) -> Slot:
    pattern = Pattern((f"elmt.v in {wanted!r}",), ("r", "s"), Input(name))
    return Slot(name, pattern, False, required)


slots = st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=4), st.booleans()), min_size=1, max_size=4)


@given(slots, st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=6))
@settings(max_examples=300)
def test_matching_equals_brute_force(wanted: list[tuple[list[int], bool]], values: list[tuple[int, bool]]) -> None:
    """Elements near (in the plan) or far (in memory); the mandatory are served whenever that is possible at all."""
    with Engine(REGISTRY) as engine:
        engine.add_recipe(Recipe("r", "r", (Step(id="s", target="a.noop"),)))
        near = [Element("x", v=v) for v, close in values if close]
        far = [Element("x", v=v) for v, close in values if not close]
        engine.add_element(*far)
        plan = engine.start_plan("r.r", near)
        asked = [slot(f"i{at}", numbers, required=required) for at, (numbers, required) in enumerate(wanted)]
        reach = Reach(plan, engine.memory.index)
        everything = [*sorted(near, key=lambda e: e.eid or 0), *sorted(far, key=lambda e: e.eid or 0)]
        possible = brute(asked, everything)
        try:
            found = assign(asked, reach)
        except UnassignedError:
            assert possible is None
            return
        assert possible is not None
        chosen = [element for element in found.values() if element is not None]
        assert len(set(map(id, chosen))) == len(chosen)
        for each in asked:
            assert found[each.name] is not None or not each.required
            assert found[each.name] is None or each.pattern.fits(found[each.name])
        if all(each.required for each in asked):
            assert [everything.index(found[each.name]) for each in asked] == possible


def brute(asked: list[Slot], everything: list[Element]) -> list[int] | None:
    """The first assignment of required slots in order of slots, nearness and age; by trying all of them."""
    required = [each for each in asked if each.required]
    for choice in itertools.permutations(range(len(everything)), len(required)):
        if all(each.pattern.fits(everything[at]) for each, at in zip(required, choice, strict=True)):
            return list(choice)
    return None


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.sampled_from(["add", "discard", "change"]))),
    st.sampled_from(KINDS),
    st.integers(0, 2),
)
def test_an_index_finds_what_a_search_finds(steps: list[tuple[str, int, str]], kind: str, value: int) -> None:
    index = Index()
    pattern = Pattern((f"elmt.type == {kind!r}", f"elmt.v == {value}"), ("r", "s"), Input("i"))
    made: list[Element] = []
    for name, v, what in steps:
        if what == "add" or not made:
            element = Element(name, v=v)
            element.eid = len(made) + 1
            made.append(element)
            index.add(element)
        elif what == "discard":
            index.discard(made[v % len(made)])
        else:
            made[v % len(made)].v = (v + 1) % 3
            index.changed(made[v % len(made)])
        found = [each.eid for each in index.ask(pattern.question) if pattern.fits(each)]
        assert found == [each.eid for each in made if each in index and each.type == kind and each.v == value]
