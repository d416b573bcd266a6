"""Any prefix of the journal of any recipe resumes to an allowed state, and runs nothing again that had ended."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from narval_engine import Element, Engine, Event, Recipe, savedmemory
from narval_engine.home import Home, read_memory
from narval_engine.journal import Entry, SqliteJournal
from narval_engine.report import report
from narval_engine.resuming import resume
from tests.engine.test_durability import Prefix
from tests.engine.test_rules import REGISTRY, check, elements, recipes


def kept(path: Path, recipe: Recipe, memory: Any, arguments: Any) -> list[Entry]:
    """What a whole run wrote."""
    journal = SqliteJournal(path)
    with Engine(REGISTRY, journal=journal) as engine:
        engine.add_recipe(recipe, unchecked=True)
        engine.add_element(*[Element(kind, v=v) for kind, v in memory])
        for _plan in range(2):
            engine.start_plan("r.r", [Element(kind, v=v) for kind, v in arguments])
        engine.run(timeout=20)
        return list(journal.entries())


@given(recipes(), elements, elements)
@settings(max_examples=60)
def test_a_saved_memory_comes_back_as_it_was(recipe: Recipe, memory: Any, arguments: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.xml"
        with Engine(REGISTRY) as engine:
            engine.add_recipe(recipe, unchecked=True)
            engine.add_element(*[Element(kind, v=v, t=("a", v)) for kind, v in memory])
            for _plan in range(2):
                engine.start_plan("r.r", [Element(kind, v=v) for kind, v in arguments])
            engine.run(timeout=20)
            savedmemory.write(engine, path)
            before = report(engine)
        home = Home()
        read_memory(path, home)
        assert home.mistakes == []
        with Engine(REGISTRY) as again:
            again.add_recipes(home.recipes, unchecked=True)
            again.add_element(*home.elements)
            savedmemory.restore(again, home.plans)
            again.run(timeout=20)
            assert report(again) == before
            savedmemory.write(again, path.with_name("again.xml"))
        assert path.with_name("again.xml").read_text() == path.read_text()


def gone_on(path: Path, length: int, recipe: Recipe) -> tuple[Engine, list[Event]]:
    """The engine after it went on from a prefix, and what happened then."""
    told: list[Event] = []
    prefix = Prefix(path, length)
    with Engine(REGISTRY, journal=prefix) as engine:
        engine.add_recipe(recipe, unchecked=True)
        engine.subscribe(told.append)
        resume(engine, prefix)
        engine.run(timeout=20)
    return engine, told


@given(recipes(), elements, elements, st.lists(st.floats(0, 1), min_size=2, max_size=2))
@settings(max_examples=60)
def test_any_prefix(recipe: Recipe, memory: Any, arguments: Any, shares: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        entries = kept(path, recipe, memory, arguments)
        for share in (*shares, 1.0):
            length = round(share * len(entries))
            engine, told = gone_on(path, length, recipe)
            ended = {(each.plan, each.record["n"]) for each in entries[:length] if each.kind == "step_ended"}
            fired = {(each.plan, each.record["n"]) for each in entries[:length] if each.kind == "transition_fired"}
            for event in told:
                if event.plan is not None and event.kind in {"step_started", "step_ended"} and event.step is not None:
                    number = event.plan.program.step_numbers[event.step.id]
                    assert (event.plan.eid, number) not in ended
                if event.plan is not None and event.kind == "transition_fired" and event.transition is not None:
                    number = event.plan.program.transition_numbers[event.transition]
                    assert (event.plan.eid, number) not in fired
            for plan in engine.plans:
                check(plan)
