"""A program that runs a plan with a journal, and dies by SIGKILL right after its N-th write: N, journal, log."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from narval_engine import Condition, Element, Engine, Input, Output, Recipe, Registry, Step, Transition
from narval_engine.journal import SqliteJournal
from narval_engine.world import Fact


class DyingJournal(SqliteJournal):
    """Dies after so many writes."""

    left = 0

    def write(self, facts: Iterable[Fact]) -> None:
        super().write(facts)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def registry(log: Path) -> Registry:
    """Actions that note in the log file that they ran to their end, and for what."""
    made = Registry()

    def noting(name: str, result: Any = None) -> Any:
        def function(given: dict[str, Any]) -> Any:
            with log.open("a") as file:
                file.write(f"{name} {getattr(given.get('i'), 'v', '')}\n")
            return result(given) if result else None

        return function

    takes = (Input("i", ("elmt.type == 'x'",)),)
    makes = (Output("o", ("elmt.type == 'y'",)),)
    made.register("c.begin", noting("begin"), inline=True)
    made.register("c.each", noting("each", lambda given: {"o": Element("y", v=given["i"].v * 10)}), takes, makes)
    made.register("c.again", noting("again"), idempotent=True)
    made.register("c.rescue", noting("rescue"), inline=True)
    made.register("c.end", noting("end"), inline=True, idempotent=True)
    return made


def recipes() -> list[Recipe]:
    """A recipe with a foreach, a child, an idempotent step, conditions, and ways out of what may be cut off."""
    child = Recipe(group="c", name="child", steps=(Step(id="only", target="c.again"),))
    steps = (
        Step(id="begin", target="c.begin"),
        Step(id="each", target="c.each", foreach="i"),
        Step(id="child", target="c.child", type="recipe"),
        Step(id="rescue", target="c.rescue"),
        Step(id="end", target="c.end"),
    )
    transitions = (
        Transition(id="t1", inputs=("begin",), outputs=("each", "child"), conditions=(Condition("elmt.type == 'x'"),)),
        Transition(id="t2", inputs=("each", "child"), outputs=("end",)),
        Transition(id="t3", on_error=("begin",), outputs=("rescue",)),
        Transition(id="t4", on_error=("each",), outputs=("rescue",)),
        Transition(id="t5", inputs=("rescue",), outputs=("end",)),
    )
    return [child, Recipe(group="c", name="main", steps=steps, transitions=transitions)]


def main(writes: int, journal: Path, log: Path) -> None:
    dying = DyingJournal(journal)
    dying.left = writes
    with Engine(registry(log), journal=dying) as engine:
        engine.add_recipes(recipes())
        with engine.held():
            engine.start_plan("c.main", [Element("x", v=1), Element("x", v=2)])
        engine.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
