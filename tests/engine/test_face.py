"""The public face: what the package's docstring shows works, and importing it costs next to nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

import narval_engine
from narval_engine import (
    Condition,
    Element,
    Engine,
    ErrorElement,
    Input,
    Recipe,
    RecipeError,
    Registry,
    Step,
    Time,
    Transition,
    running,
)


def chain(*targets: str, name: str = "chain") -> Recipe:
    """A linear recipe of these actions, with steps s1, s2, ..."""
    steps = tuple(Step(id=f"s{at}", target=target) for at, target in enumerate(targets, 1))
    links = tuple(Transition(id=f"t{at}", inputs=(f"s{at}",), outputs=(f"s{at + 1}",)) for at in range(1, len(targets)))
    return Recipe(group="job", name=name, steps=steps, transitions=links)


def test_the_example_of_the_docstring_runs() -> None:
    document = narval_engine.__doc__
    example = textwrap.dedent(document[document.index("    from narval_engine import") :])
    exec(compile(example, "docstring", "exec"), {"__name__": "example"})


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, narval_engine; "
        "print([m for m in ('asyncio', 'lxml', 'sqlite3', 'yaml', 'narval_engine.engine') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(getattr(narval_engine, name) is not None for name in narval_engine.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = narval_engine.nonsense


def test_an_error_element_carries_data_and_ends_the_chain() -> None:
    registry = Registry()
    ran: list[str] = []
    registry.register("job.good", lambda _inputs: ran.append("good"), inline=True)
    registry.register("job.bad", lambda _inputs: {"error": ErrorElement("it said no", "failed", exit_code=7)})
    with Engine(registry) as engine:
        engine.add_recipe(chain("job.good", "job.bad", "job.good"))
        plan = engine.start_plan("job.chain")
        engine.run()
    assert plan.state == "failed"
    assert {name: step.state for name, step in plan.steps.items()} == {
        "s1": "history",
        "s2": "error",
        "s3": "impossible",
    }
    assert [(error.type, error.message, error.exit_code) for error in plan.errors] == [("failed", "it said no", 7)]
    assert ran == ["good"]


def test_events_tell_what_happened_in_order() -> None:
    registry = Registry()
    registry.register("job.noop", lambda _inputs: None, inline=True)
    told: list[tuple[str, str | None]] = []
    with Engine(registry) as engine:
        engine.add_recipe(chain("job.noop", "job.noop"))
        engine.subscribe(lambda event: told.append((event.kind, event.step.id if event.step else event.transition)))
        engine.start_plan("job.chain")
        engine.run()
    assert told == [
        ("plan_made", None),
        ("step_started", "s1"),
        ("step_ended", "s1"),
        ("transition_fired", "t1"),
        ("step_started", "s2"),
        ("step_ended", "s2"),
        ("plan_ended", None),
    ]


@pytest.mark.parametrize("inline", [True, False])
def test_cancelling_tells_the_running_step_and_fails_the_plan(inline: bool) -> None:
    registry = Registry()
    begun = threading.Event()

    def slow(_inputs: dict[str, Any]) -> None:
        told = threading.Event()
        running().on_cancel(told.set)
        begun.set()
        assert told.wait(10)

    registry.register("job.slow", slow, inline=inline)
    registry.register("job.noop", lambda _inputs: None)
    with Engine(registry) as engine:
        engine.add_recipe(chain("job.slow", "job.noop"))
        plan = engine.start_plan("job.chain")

        def stop() -> None:
            begun.wait(10)
            engine.cancel("SIGTERM")

        thread = threading.Thread(target=stop)
        thread.start()
        engine.run()
        thread.join()
    assert plan.state == "failed"
    assert plan.cancelled == "SIGTERM"
    assert plan.errors[-1].type == "cancelled"
    assert plan.steps["s2"].state in {"todo", "impossible"}


@pytest.mark.parametrize(
    ("transition", "step"),
    [
        ({"times": (Time(years="9000"),)}, {}),
        ({}, {"attempts": 2, "backoff": 1e6}),
        ({"conditions": (Condition("elmt.type == 'x'"),), "times": (Time(years="9000"),)}, {}),
    ],
    ids=["time", "attempt", "time and condition"],
)
def test_cancelling_ends_what_only_waits(transition: dict[str, Any], step: dict[str, Any]) -> None:
    registry = Registry()
    registry.register("job.fails", lambda _inputs: {"error": ErrorElement("no", "no")} if step else None)
    registry.register("job.noop", lambda _inputs: None)
    recipe = Recipe(
        group="job",
        name="waits",
        steps=(Step(id="a", target="job.fails", **step), Step(id="b", target="job.noop")),
        transitions=(Transition(id="t", inputs=("a",), outputs=("b",), **transition),),
    )
    with Engine(registry) as engine:
        engine.add_recipe(recipe)
        plan = engine.start_plan("job.waits")
        timer = threading.Timer(0.2, lambda: engine.cancel("enough"))
        timer.start()
        engine.run()
        timer.join()
    assert (plan.state, plan.cancelled) == ("failed", "enough")


def test_an_element_from_another_thread_wakes_a_plan_that_waits() -> None:
    registry = Registry()
    registry.register("job.take", lambda _inputs: None, [Input("i", ("elmt.type == 'x'",))])
    registry.register("job.slow", lambda _inputs: time.sleep(0.3))
    taken = Recipe(group="job", name="take", steps=(Step(id="s", target="job.take"),))
    with Engine(registry) as engine:
        engine.add_recipes([chain("job.slow", "job.take"), taken])
        plan = engine.start_plan("job.chain")
        threading.Timer(0.1, lambda: engine.add_element(Element("x", v=1))).start()
        engine.run()
        assert plan.state == "done"


def test_all_mistakes_of_a_recipe_come_at_once() -> None:
    registry = Registry()
    registry.register("job.noop", lambda _inputs: None)
    recipe = Recipe(
        group="job",
        name="wrong",
        steps=(Step(id="a", target="job.nop"), Step(id="a", target="job.noop", foreach="i")),
        transitions=(Transition(id="t", inputs=("a",), outputs=("c",)),),
    )
    with Engine(registry) as engine, pytest.raises(RecipeError) as caught:
        engine.add_recipe(recipe)
    text = "\n".join(str(mistake) for mistake in caught.value.mistakes)
    for part in ("did you mean 'job.noop'", "two steps with the id 'a'", "foreach names 'i'", "unknown step 'c'"):
        assert part in text
