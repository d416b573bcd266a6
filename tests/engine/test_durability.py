"""A journal brings back what there was, wherever the process that wrote it died."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from narval_engine import Element, Engine, ManualClock, Plan, Recipe, Registry, Step
from narval_engine.journal import Entry, JournalError, SqliteJournal
from narval_engine.outcomes import Outcome
from narval_engine.report import report
from narval_engine.resuming import interrupted, resume
from tests.engine import crashing
from tests.engine.stage import at, of, when, written, x


def lines(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def resumed(journal: Path, log: Path) -> Engine:
    """An engine that has gone on from the journal until nothing more could happen; it is closed."""
    kept = SqliteJournal(journal)
    with Engine(crashing.registry(log), journal=kept) as engine:
        engine.add_recipes(crashing.recipes())
        resume(engine, kept)
        engine.run()
    return engine


def started(entries: list[Entry]) -> set[tuple[int | None, int]]:
    return {(entry.plan, entry.record["n"]) for entry in entries if entry.kind == "step_started"}


def check(engine: Engine, before: Counter[str], after: Counter[str]) -> None:
    """Finished steps were not run again, and the plan has come to an end that the recipe allows."""
    for line, times in after.items():
        if not line.startswith(("again", "end")):
            assert times == 1, f"{line} ran {times} times"
    if not engine.plans:
        assert after == Counter()
        return
    plan = engine.plans[0]
    assert plan.state == "done", report(engine)
    assert {error.type for error in plan.errors} <= {"interrupted"}
    assert before <= after


def writes() -> int:
    """How often the whole plan writes to its journal, at most (workers may answer one by one)."""
    return 12


@pytest.mark.parametrize("number", range(1, writes() + 1))
def test_killed_after_any_write_it_goes_on(tmp_path: Path, number: int) -> None:
    journal, log = tmp_path / "journal", tmp_path / "log"
    program = Path(crashing.__file__)
    died = subprocess.run([sys.executable, program, str(number), journal, log], check=False, timeout=60)
    assert died.returncode in {-signal.SIGKILL, 0}
    before = lines(log)
    engine = resumed(journal, log)
    check(engine, before, lines(log))
    again = resumed(journal, log)
    assert report(again) == report(engine)
    assert lines(log) == lines(log)


class Prefix(SqliteJournal):
    """A journal that ends early."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__(path)
        self.length = length

    def entries(self) -> Any:
        return [entry for entry in super().entries() if entry.number <= self.length]

    def write(self, facts: Any) -> None:
        """What follows is not kept: the next prefix is of the same journal."""


def test_any_prefix_resumes_to_an_allowed_state(tmp_path: Path) -> None:
    journal, log = tmp_path / "journal", tmp_path / "log"
    crashing.main(-1, journal, log)
    first = SqliteJournal(journal)
    entries = list(first.entries())
    first.close()
    assert [entry.kind for entry in entries][-1] == "plan_ended"
    assert len(entries) > 15
    for length in range(len(entries) + 1):
        own = tmp_path / f"log {length}"
        finished = {(entry.plan, entry.record["n"]) for entry in entries[:length] if entry.kind == "step_ended"}
        prefix = Prefix(journal, length)
        with Engine(crashing.registry(own), journal=prefix) as engine:
            engine.add_recipes(crashing.recipes())
            resume(engine, prefix)
            engine.run()
        ran = lines(own)
        assert len(engine.plans) in {0, 1, 2}
        if engine.plans:
            assert engine.plans[0].state == "done", (length, report(engine))
            main = engine.plans[0].eid
            ids = [step.id for step in engine.plans[0].program.steps]
            for plan, number in finished:
                if plan == main:
                    assert not any(line.startswith(ids[number]) for line in ran), (length, ran)


def test_what_was_waited_for_is_still_waited_for(tmp_path: Path) -> None:
    clock = ManualClock(1000.0)
    recipes = [
        written("W", "S=noop end=noop", ("S -> end", when("x", use=True))),
        written("T", "S=noop end=noop", ("S -> end", at(seconds=30))),
        written("U", "x_use", changes={"x_use": of("i", from_context="plan")}),
    ]
    from tests.engine.stage import Stage

    def begun(kept: SqliteJournal) -> Engine:
        engine = Engine(Stage().registry, clock=clock, journal=kept)
        engine.add_recipes(recipes)
        return engine

    with begun(SqliteJournal(tmp_path / "j")) as engine:
        for name in ("W", "T", "U"):
            engine.start_plan(f"c.{name}", [x("own")] if name == "U" else [])
        engine.run()
        assert [plan.state for plan in engine.plans] == ["done", "running", "done"] or engine.plans[1].waiting
        before = report(engine)
    clock.advance(60)
    kept = SqliteJournal(tmp_path / "j")
    with begun(kept) as engine:
        resume(engine, kept)
        assert report(engine) == before
        engine.add_element(Element("x", v="new"))
        engine.run()
        assert [plan.state for plan in engine.plans] == ["done", "done", "done"]


def test_marks_values_and_errors_come_back(tmp_path: Path) -> None:
    from tests.engine.stage import Stage

    values = {
        "v": 0,
        "t": (1, {2.5}),
        "b": b"\x00",
        "n": None,
        "d": {"k": [1, "é"]},
        "e": Element("inner", v=1),
        "f": float("inf"),
    }
    with Engine(Stage().registry, journal=SqliteJournal(tmp_path / "j")) as engine:
        engine.add_recipes([written("R", "x_use boom", "x_use -> boom")])
        engine.add_element(Element("x", **values))
        plan = engine.start_plan("c.R")
        engine.run()
    kept = SqliteJournal(tmp_path / "j")
    with Engine(Stage().registry, journal=kept) as again:
        again.add_recipes([written("R", "x_use boom", "x_use -> boom")])
        resume(again, kept)
        element = next(each for each in again.memory if each.type == "x")
        assert element.used_by == {("c.R", "x_use")}
        found = element.attributes()
        inner = found.pop("e")
        assert (inner.type, inner.v) == ("inner", 1)
        assert found == {name: value for name, value in values.items() if name != "e"}
        twin: Plan = again.plans[0]
        assert (twin.state, [error.type for error in twin.errors]) == (plan.state, ["ValueError"])
        assert again.start_plan("c.R").state == "running"
        again.run()
        assert again.plans[1].errors[0].type == "missing input"


def test_what_no_file_can_hold_is_a_bad_output(tmp_path: Path) -> None:
    from tests.engine.stage import Stage, makes

    s = Stage(journal=SqliteJournal(tmp_path / "j"))
    s.add("odd", [], [makes("o", "x")], lambda _given: {"o": x(object())})
    s.recipe("R", "odd")
    plan = s.run("R")
    assert (plan.state, plan.errors[0].type) == ("failed", "bad output")
    assert "attribute 'v' of element 'x'" in plan.errors[0].message
    with pytest.raises(ValueError, match="cannot be kept"):
        s.memory(x(object()))
    s.engine.close()


def test_a_journal_belongs_to_one_process(tmp_path: Path) -> None:
    kept = SqliteJournal(tmp_path / "j")
    program = f"from narval_engine.journal import SqliteJournal; SqliteJournal({str(tmp_path / 'j')!r})"
    other = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    kept.close()
    assert "JournalBusyError" in other.stderr
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_broken_journal_is_refused_or_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    if content:
        with pytest.raises(JournalError, match="cannot be opened"):
            SqliteJournal(path)
    else:
        kept = SqliteJournal(path)
        assert list(kept.entries()) == []
        kept.close()


def test_a_journal_of_other_recipes_is_refused(tmp_path: Path) -> None:
    crashing.main(-1, tmp_path / "j", tmp_path / "log")
    kept = SqliteJournal(tmp_path / "j")
    no_recipe = pytest.raises(JournalError, match=r"there is no recipe 'c\.main'")
    with Engine(crashing.registry(tmp_path / "log"), journal=kept) as engine, no_recipe:
        resume(engine, kept)


def test_a_program_keeps_labels_and_notes_of_its_own(tmp_path: Path) -> None:
    kept = SqliteJournal(tmp_path / "j")
    kept.begin({"version": "of mine"})
    kept.label("of", "x")
    threads = [threading.Thread(target=kept.note, args=({"n": number},)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept.close()
    kept = SqliteJournal(tmp_path / "j")
    assert kept.labels == {"version": "of mine", "of": "x"}
    assert {note["n"] for note in kept.notes()} == set(range(8))
    kept.begin({"of": "y"})
    assert (kept.labels, list(kept.notes()), list(kept.entries())) == ({"of": "y"}, [], [])
    kept.close()


@pytest.mark.parametrize("known", ["interrupted", "done"])
def test_a_program_says_itself_what_becomes_of_calls_that_were_cut_off(tmp_path: Path, known: str) -> None:
    journal, log = tmp_path / "journal", tmp_path / "log"
    crashing.main(-1, journal, log)
    first = SqliteJournal(journal)
    kinds = [entry.kind for entry in first.entries()]
    first.close()
    log.unlink()
    prefix = Prefix(journal, kinds.index("call_ended"))

    def cut_off(plan: Plan, step: str, inputs: dict[str, Any]) -> Outcome | None:
        if step != "each":
            return None
        assert inputs["i"].v == 1
        return Outcome() if known == "done" else interrupted(plan, step, "told", why="so")

    restored: list[int] = []
    with Engine(crashing.registry(log), journal=prefix) as engine:
        engine.add_recipes(crashing.recipes())
        resume(engine, prefix, cut_off=cut_off, restored=lambda: restored.append(len(engine.plans)))
        engine.run()
    assert restored == [2]
    told = [(error.type, error.attributes()) for error in engine.plans[0].errors]
    if known == "done":
        assert (told, set(lines(log))) == ([], {"again ", "end "})
    else:
        assert [kind for kind, _ in told] == ["interrupted"]
        assert told[0][1].items() >= {"message": "told", "why": "so"}.items()
        assert set(lines(log)) == {"again ", "rescue ", "end "}


def test_an_inline_call_that_is_made_again_is_made_in_the_thread_of_run(tmp_path: Path) -> None:
    threads: list[int] = []
    registry = Registry()
    registry.register("c.here", lambda _given: threads.append(threading.get_ident()), inline=True, idempotent=True)
    recipe = Recipe(group="c", name="R", steps=(Step(id="s", target="c.here"),))
    with Engine(registry, journal=SqliteJournal(tmp_path / "j")) as engine:
        engine.add_recipe(recipe)
        engine.start_plan("c.R")
        engine.run()
    prefix = Prefix(tmp_path / "j", 2)
    with Engine(registry, journal=prefix) as engine:
        engine.add_recipe(recipe)
        resume(engine, prefix)
        assert len(threads) == 1
        engine.run()
    assert threads == [threading.get_ident()] * 2
    assert engine.plans[0].state == "done"
