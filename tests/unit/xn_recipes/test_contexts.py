"""A step that takes no part in a context does nothing there, and all that is around it is as it was."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kommandir import xn
from kommandir.recipes import contexts
from kommandir.xn.reading import read
from narval_engine import Element, Engine, Input, Output, Recipe, Registry, Step, Transition
from tests.unit.xn_recipes.conftest import Runs

CONTEXTS = ("setup", "run", "cleanup")


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Recipe, contexts.Contexts]:
    """Graphs without cycles from one start to one end, some steps of which name contexts."""
    count = draw(st.integers(1, 7))
    names = [f"s{number}" for number in range(count)]
    transitions = []
    for number in range(1, count):
        # One transition that waits for all of them, so that each step runs.
        before = draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=3))
        transitions.append((sorted(before), number))
    ended = sorted(set(range(count - 1)) - {each for before, _ in transitions for each in before})
    if ended:
        last = transitions.pop()
        transitions.append((sorted({*last[0], *ended}), last[1]))
    told = {
        ("g.n", name): tuple(sorted(draw(st.sets(st.sampled_from(CONTEXTS))))) for name in names if draw(st.booleans())
    }
    return _forked(names, transitions), told


def _forked(names: list[str], joins: list[tuple[list[int], int]]) -> Recipe:
    """A step that several steps follow is left by one transition to places of its own, so that none competes."""
    followers: dict[int, list[int]] = {}
    for before, after in joins:
        for each in before:
            followers.setdefault(each, []).append(after)
    steps = [Step(id=name, target="t.note") for name in names]
    steps += [Step(id=f"p{a}-{b}", target="job.nothing") for a, after in followers.items() for b in after]
    transitions = [
        Transition(id=f"f{a}", inputs=(names[a],), outputs=tuple(f"p{a}-{b}" for b in after))
        for a, after in followers.items()
    ]
    transitions += [
        Transition(id=f"j{b}", inputs=tuple(f"p{a}-{b}" for a in before), outputs=(names[b],)) for before, b in joins
    ]
    return Recipe(group="g", name="n", steps=tuple(steps), transitions=tuple(transitions))


def trace(recipe: Recipe) -> list[str]:
    """The steps that a plan ran, in their order."""
    ran: list[str] = []
    registry = Registry()

    def note(_inputs: object) -> dict[str, Element]:
        from narval_engine import running

        ran.append(running().step.id)
        return {}

    registry.register("t.note", note, inline=True)
    registry.register("job.nothing", lambda _inputs: {}, inline=True)
    with Engine(registry) as engine:
        engine.add_recipe(recipe)
        plan = engine.start_plan("g.n")
        engine.run()
    assert plan.state == "done"
    return ran


@given(recipes(), st.sampled_from(CONTEXTS))
def test_exactly_the_steps_of_the_context_run_and_no_step_before_what_leads_to_it(
    given_recipe: tuple[Recipe, contexts.Contexts], context: str
) -> None:
    recipe, told = given_recipe
    ran = trace(contexts.restricted(recipe, told, context))
    named = {step.id for step in recipe.steps if step.target == "t.note"}
    assert sorted(ran) == sorted(name for name in named if context in (told.get(("g.n", name)) or (context,)))
    place = {name: number for number, name in enumerate(ran)}
    for before, after in itertools.product(ran, ran):
        if after in _after(recipe, before):
            assert place[before] < place[after]


@given(recipes(), st.sampled_from(CONTEXTS))
def test_the_order_is_that_of_the_whole_recipe_without_the_steps_left_out(
    given_recipe: tuple[Recipe, contexts.Contexts], context: str
) -> None:
    recipe, told = given_recipe
    left = contexts.restricted(recipe, told, context)
    kept = {step.id for step in left.steps if step.target == "t.note"}
    assert trace(left) == [name for name in trace(recipe) if name in kept]
    assert left.transitions == recipe.transitions
    assert contexts.restricted(left, told, context) == left


def _after(recipe: Recipe, start: str) -> set[str]:
    """All steps that a step leads to, through whatever is between."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        step = waiting.pop()
        for transition in recipe.transitions:
            if step in transition.inputs:
                waiting += [each for each in transition.outputs if each not in found]
                found.update(transition.outputs)
    return found


def test_conditions_hold_and_on_error_transitions_never_fire_around_a_step_that_is_left_out() -> None:
    registry = Registry()
    registry.register(
        "t.make", lambda _inputs: {"x": Element("x")}, outputs=(Output("x", ("elmt.type == 'x'",)),), inline=True
    )
    registry.register("t.take", lambda _inputs: {}, inputs=(Input("x", ("elmt.type == 'x'",)),), inline=True)
    registry.register("job.nothing", lambda _inputs: {}, inline=True)
    recipe = Recipe(
        group="g",
        name="n",
        end_step="d",
        steps=(
            Step(id="a", target="t.make"),
            Step(id="b", target="t.take"),
            Step(id="c", target="t.take"),
            Step(id="d", target="t.take"),
        ),
        transitions=(
            Transition(id="1", inputs=("a",), outputs=("b",)),
            Transition(id="2", on_error=("b",), outputs=("c",), priority=1),
            Transition(id="3", inputs=("b", "c"), outputs=("d",)),
            Transition(id="4", inputs=("b",), outputs=("d",)),
        ),
    )
    with Engine(registry) as engine:
        engine.add_recipe(contexts.restricted(recipe, {("g.n", "b"): ("setup",)}, "run"))
        plan = engine.start_plan("g.n")
        engine.run()
    assert plan.state == "done"
    assert plan.steps["c"].state in ("todo", "impossible")
    assert plan.steps["d"].state == "done"


TEXT = """
recipe:
  group: g
  name: n
  steps:
    a: {target: command.run, contexts: [setup], arguments: [{command: {filepath: /bin/echo, arguments: a}}]}
    b: {target: g.m, type: recipe}
  transitions: [{in: a, out: b}]
recipes:
  - group: g
    name: m
    steps:
      c: {target: command.run, contexts: [setup, run], arguments: [{command: {filepath: /bin/echo, arguments: c}}]}
"""


def test_steps_of_recipes_in_recipes_are_left_out_too(runs: Runs) -> None:
    for context, steps in (("setup", ["a", "c"]), ("run", ["c"]), ("cleanup", [])):
        assert runs(TEXT, context=context).exit_code == 0
        assert [step for step, _ in runs.ended()] == steps
    assert [item.is_for("run") for item in read(None, TEXT).items] == [False, True]


def test_contexts_are_no_key_of_the_engine_but_checked_here() -> None:
    value = yaml.safe_load(TEXT)
    value["recipe"]["steps"]["a"]["contexts"] = "setup"
    assert [mistake.message for mistake in xn.check(None, yaml.safe_dump(value))] == [
        "`contexts` must be a list, found a text (`setup`)"
    ]


@pytest.mark.parametrize(
    ("transitions", "ended"),
    [
        ("{in: a, out: b, when: elmt.type == 'never', time: {years: 2999}}", ["b"]),
        # They choose, so they stand; of both the condition of one only holds.
        ("{in: a, out: b, when: elmt.type == 'never'}, {in: a, out: c, when: elmt.type == 'x'}", ["c"]),
    ],
)
def test_conditions_speak_of_what_a_step_makes(runs: Runs, transitions: str, ended: list[str]) -> None:
    text = f"""
recipe:
  group: g
  name: n
  end_step: d
  steps:
    s: {{target: command.run, contexts: [setup], arguments: [{{command: {{filepath: /bin/true}}}}]}}
    a: {{target: command.run, contexts: [setup], arguments: [{{command: {{filepath: /bin/true}}}}]}}
    b: {{target: command.run, arguments: [{{command: {{filepath: /bin/true}}}}]}}
    c: {{target: command.run, arguments: [{{command: {{filepath: /bin/true}}}}]}}
    d: {{target: job.nothing}}
  transitions: [{{in: s, out: a}}, {{in: b, out: d}}, {{in: c, out: d}}, {transitions}]
"""
    text = text if "x'" not in text else text.replace("'x'", "'plan'")
    if "out: c," not in transitions:
        text = text.replace("    c: {target", "    e: {target").replace("{in: c, out: d}", "{in: {error: b}, out: e}")
    result = runs(text)
    assert [step for step, _ in runs.ended()] == ended, result
