"""The same no-op work done by others: SNAKES (Petri nets), doit (tasks), graphlib (bare topological order)."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from typing import Any

_Best = Callable[[Callable[[], Any]], float]


def _edges(shape: str, size: int) -> dict[int, list[int]]:
    """What each node comes after."""
    if shape == "chain":
        return {at: [at - 1] if at else [] for at in range(size)}
    return {0: [], **{at: [0] for at in range(1, size)}, size: list(range(1, size))}


def graphlib(shape: str, size: int, best: _Best) -> float | None:
    """Python's own, which runs nothing."""
    from graphlib import TopologicalSorter

    edges = _edges(shape, size)

    def once() -> None:
        for _node in TopologicalSorter(edges).static_order():
            pass

    return best(once)


def snakes(shape: str, size: int, best: _Best) -> float | None:
    """A net with a transition for each step, fired until none is enabled."""
    if importlib.util.find_spec("snakes") is None:
        return None
    from snakes import nets  # type: ignore[import-not-found,import-untyped,unused-ignore] # only where it is installed

    edges = _edges(shape, size)

    def built() -> Any:
        net = nets.PetriNet("n")
        for at, before in edges.items():
            net.add_transition(nets.Transition(f"t{at}"))
            for other in before or [-1]:
                net.add_place(nets.Place(f"p{other}-{at}", [] if before else [1]))
                net.add_input(f"p{other}-{at}", f"t{at}", nets.Value(1))
                if before:
                    net.add_output(f"p{other}-{at}", f"t{other}", nets.Value(1))
        return net

    made = built()
    begun = made.get_marking()

    def once() -> None:
        made.set_marking(begun)
        mode = nets.Substitution()
        for at in edges:
            made.transition(f"t{at}").fire(mode)

    return best(once)


def doit(shape: str, size: int, best: _Best) -> float | None:
    """Tasks that depend on each other, run by its runner without its database."""
    if importlib.util.find_spec("doit") is None:
        return None
    from doit.control import TaskControl  # type: ignore[import-not-found,import-untyped,unused-ignore] # as above
    from doit.dependency import Dependency, JsonDB  # type: ignore[import-not-found,import-untyped,unused-ignore] # as above
    from doit.reporter import ZeroReporter  # type: ignore[import-not-found,import-untyped,unused-ignore] # as above
    from doit.runner import Runner  # type: ignore[import-not-found,import-untyped,unused-ignore] # as above
    from doit.task import Task  # type: ignore[import-not-found,import-untyped,unused-ignore] # as above

    edges = _edges(shape, size)

    class Nowhere(JsonDB):  # type: ignore[misc] # an untyped base
        def dump(self) -> None:
            """Writes nothing."""

    def once() -> None:
        tasks = [
            Task(f"t{at}", [lambda: True], task_dep=[f"t{other}" for other in before]) for at, before in edges.items()
        ]
        control = TaskControl(tasks)
        control.process(None)
        runner = Runner(Dependency(Nowhere, "/nonexistent"), ZeroReporter(io.StringIO(), {}))
        runner.run_tasks(control.task_dispatcher())

    return best(once)


PEERS: dict[str, Callable[[str, int, _Best], float | None]] = {"graphlib": graphlib, "SNAKES": snakes, "doit": doit}
