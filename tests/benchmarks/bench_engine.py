"""Figures of the engine, beside SNAKES, doit and graphlib in the same run: ``python tests/benchmarks/bench_engine.py``.

Each figure is the best of some repetitions, in CPU time of the process (all threads), so that a busy machine disturbs
little; what waits for the disk is not in it. All run on one core: a worker that has to wake another core up would cost
what the machine takes for that, not what the engine does. A peer that is not installed is left out.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from narval_engine import Element, Engine, Input, Output, Recipe, Registry, Step, Transition
from narval_engine.journal import SqliteJournal
from tests.benchmarks.peers_of_engine import PEERS

_OF_X = "elmt.type == 'x'"


def registry() -> Registry:
    """No-op actions: inline, in a worker, and such that take and make elements."""
    made = Registry()
    made.register("b.inline", lambda _inputs: None, inline=True)
    made.register("b.worker", lambda _inputs: None)
    made.register("b.take", lambda _inputs: None, [Input("i", (_OF_X,))], inline=True)
    both = [Input("i", (_OF_X,))], [Output("o", ("elmt.type == 'y'",))]
    made.register("b.each", lambda given: {"o": Element("y", v=given["i"].v)}, *both, inline=True)
    wanted = [Input("i", ("elmt.type == 'x'", "elmt.v == 7"))]
    made.register("b.seven", lambda _inputs: None, wanted, inline=True)
    return made


def chain(length: int, action: str) -> Recipe:
    """So many steps one after the other."""
    steps = tuple(Step(id=f"s{at}", target=f"b.{action}") for at in range(length))
    links = tuple(Transition(id=f"t{at}", inputs=(f"s{at}",), outputs=(f"s{at + 1}",)) for at in range(length - 1))
    return Recipe(group="b", name=f"{action}{length}", steps=steps, transitions=links)


def fan(width: int) -> Recipe:
    """One step, then so many side by side, then one."""
    wide = tuple(f"s{at}" for at in range(width))
    steps = tuple(Step(id=name, target="b.inline") for name in ("begin", *wide, "end"))
    links = (
        Transition(id="out", inputs=("begin",), outputs=wide),
        Transition(id="in", inputs=wide, outputs=("end",)),
    )
    return Recipe(group="b", name=f"fan{width}", steps=steps, transitions=links)


def foreach() -> Recipe:
    """One step for each x."""
    return Recipe(group="b", name="foreach", steps=(Step(id="each", target="b.each", foreach="i"),))


def best(function: Callable[[], Any], times: int = 5) -> float:
    """The least CPU seconds of some calls."""
    found = []
    for _time in range(times):
        gc.collect()
        begun = time.process_time()
        function()
        found.append(time.process_time() - begun)
    return min(found)


def seconds(
    recipe: Recipe, elements: int = 0, unrelated: Callable[[int], Element] | None = None, plans: int = 1
) -> float:
    """CPU seconds of so many plans of a recipe, with elements in the plan and others in memory."""
    with Engine(registry()) as engine:
        engine.add_recipe(recipe)
        if unrelated is not None:
            engine.add_element(*[unrelated(at) for at in range(100_000)])

        def once() -> None:
            given = [Element("x", v=at) for at in range(elements)]
            made = [engine.start_plan(recipe.full_name, given) for _plan in range(plans)]
            engine.run()
            assert all(plan.state == "done" for plan in made)

        return best(once)


def with_journal(recipe: Recipe) -> float:
    """CPU seconds with a journal, synced in batches."""
    with tempfile.TemporaryDirectory() as folder, Engine(registry(), journal=SqliteJournal(f"{folder}/j")) as engine:
        engine.add_recipe(recipe)

        def once() -> None:
            engine.start_plan(recipe.full_name)
            engine.run()

        return best(once)


def peak(function: Callable[[], Any]) -> int:
    """Bytes of Python objects at the most."""
    gc.collect()
    tracemalloc.start()
    kept = function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del kept
    return most


def memory_of_elements(count: int) -> Engine:
    """An engine with so many elements, some of their attributes indexed."""
    engine = Engine(registry())
    recipe = Recipe(group="b", name="seven", steps=(Step(id="s", target="b.seven"),))
    engine.add_recipe(recipe)
    engine.add_element(*[Element("x", v=at, name="some text") for at in range(count)])
    engine.start_plan("b.seven")
    engine.run()
    return engine


def memory_of_steps(count: int) -> tuple[Engine, Any]:
    """An engine that has run a chain of so many steps."""
    engine = Engine(registry())
    recipe = chain(count, "inline")
    engine.add_recipe(recipe)
    plan = engine.start_plan(recipe.full_name)
    engine.run()
    return engine, plan


def import_seconds() -> float:
    """CPU seconds of importing the package and the names of a first recipe, less those of an empty Python."""

    def of(program: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    empty = min(of("pass") for _time in range(5))
    return min(of("import narval_engine; narval_engine.Engine, narval_engine.Recipe") for _time in range(5)) - empty


def show(what: str, figure: str, wanted: str = "") -> None:
    print(f"{what:<58} {figure:>16}   {wanted}")


def rates() -> dict[str, float]:
    """Steps a second."""
    thousand = {name: chain(1000, name) for name in ("inline", "worker")}
    found = {
        "chain of 1000, inline": 1000 / seconds(thousand["inline"]),
        "chain of 1000, in a worker": 1000 / seconds(thousand["worker"]),
        "chain of 1000, inline, journal": 1000 / with_journal(thousand["inline"]),
    }
    wanted = {"chain of 1000, inline": "40,000", "chain of 1000, in a worker": "15,000"}
    for what, figure in found.items():
        show(what, f"{figure:,.0f} steps/s", f"wanted: {wanted.get(what, '10,000')}")
    return found


def growth() -> None:
    """What must be linear, by the factor from one size to ten times that."""
    ten_steps = chain(10, "inline")
    cases: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("fan-out and join, 1,000 and 10,000 wide", lambda: seconds(fan(1000)), lambda: seconds(fan(10_000))),
        ("foreach over 1,000 and 10,000", lambda: seconds(foreach(), 1000), lambda: seconds(foreach(), 10_000)),
        (
            "100 and 1,000 plans of 10 steps",
            lambda: seconds(ten_steps, plans=100),
            lambda: seconds(ten_steps, plans=1000),
        ),
    ]
    for what, small, large in cases:
        one, ten = small(), large()
        show(what, f"{ten:.3f} s", f"x {ten / one:.1f} for ten times as much; wanted: about 10, under 1 s")


def reach() -> None:
    """100 steps with 100,000 elements that do not concern them."""
    takes = chain(100, "take")
    alone = seconds(takes, 1)
    others = seconds(takes, 1, lambda at: Element(f"kind {at % 50}", v=at))
    show("100 steps, 100,000 unrelated elements in memory", f"x {others / alone:.2f}", "of none; wanted: about 1")
    by_value = chain(100, "seven")
    alone = seconds(by_value, 8)
    others = seconds(by_value, 8, lambda at: Element("x", v=at + 100))
    show("the same of the type, not of the value, asked for", f"x {others / alone:.2f}", "of none; wanted: about 1")


def sizes() -> None:
    """Peak memory."""
    elements = peak(lambda: memory_of_elements(20_000)) / 20_000
    show("peak memory an element", f"{elements:,.0f} bytes", "wanted: under 2,048")
    steps = peak(lambda: memory_of_steps(5000)) / 5000
    show("peak memory a step (recipe, program and plan)", f"{steps:,.0f} bytes", "wanted: under 4,096")
    show("import of narval_engine, Engine and Recipe", f"{import_seconds() * 1000:.0f} ms", "wanted: under 60")


def peers(found: dict[str, float]) -> None:
    """Ratios against others in the same run."""
    own = {"chain": found["chain of 1000, inline"], "fan": 1002 / seconds(fan(1000))}
    for name, run in PEERS.items():
        for shape in ("chain", "fan"):
            spent = run(shape, 1000, best)
            if spent is None:
                show(f"{name}, {shape} of 1000", "not installed")
                break
            rate = 1000 / spent
            show(f"{name}, {shape} of 1000", f"{rate:,.0f} steps/s", f"narval is x {own[shape] / rate:.2f}")


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    peers(rates())
    growth()
    reach()
    sizes()
