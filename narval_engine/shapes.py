"""What is wrong with the graph of a recipe: its start and end, loose steps, cycles, and joins that are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from narval_engine.places import Mistake
from narval_engine.recipes import Recipe, Transition

_Graph = Mapping[str, set[str]]


def mistakes_of(recipe: Recipe) -> Iterator[Mistake]:
    """All that is wrong with it, and warnings for what is only unwise."""
    ids = {step.id for step in recipe.steps}
    first, last = recipe.first(), recipe.last()
    for what, name in (("initial", first), ("final", last)):
        if name is None or name not in ids:
            yield Mistake(f"{recipe.full_name}: {what} step is missing{_why(what, name, recipe)}", recipe.place)
    yield from _loose(recipe, first, last)
    cycle = cycle_of(recipe)
    if cycle:
        text = " -> ".join((*cycle, cycle[0]))
        yield Mistake(
            f"cycle [{', '.join(cycle)}]: {text}; a step runs once a plan, use restart or foreach", recipe.place
        )
    elif first in ids and last in ids:
        yield from _unreachable(recipe, str(first), str(last))
        yield from _joins(recipe)


def _why(what: str, name: str | None, recipe: Recipe) -> str:
    if name:
        return f": there is no step {name!r}"
    linked = {step for each in recipe.transitions for step in each.outputs}
    if what == "final":
        linked = {step for each in recipe.transitions for step, _flagged in each.links()}
    free = [step.id for step in recipe.steps if step.id not in linked]
    attribute = "start_step" if what == "initial" else "end_step"
    if free:
        return f"; {', '.join(free)} could be it, say which with {attribute}"
    return f"; every step has {'an incoming' if what == 'initial' else 'an outgoing'} transition"


def _loose(recipe: Recipe, first: str | None, last: str | None) -> Iterator[Mistake]:
    entered = {step for each in recipe.transitions for step in each.outputs}
    left = {step for each in recipe.transitions for step, _flagged in each.links()}
    for step in recipe.steps:
        if step.id not in entered and step.id != first:
            yield Mistake(f"step {step.id!r} has no incoming transition", step.place)
        if step.id not in left and step.id != last:
            # A side branch may end anywhere, but only where it is said which step is the end.
            side = recipe.end_step is not None and step.id in entered
            yield Mistake(f"step {step.id!r} has no outgoing transition", step.place, warning=side)


def _unreachable(recipe: Recipe, first: str, last: str) -> Iterator[Mistake]:
    reached = _reached({first}, successors(recipe))
    entered = {step for each in recipe.transitions for step in each.outputs}
    for step in recipe.steps:
        if step.id not in reached and (step.id in entered or step.id == last):
            yield Mistake(f"step {step.id!r} cannot be reached from {first!r}", step.place)
    if first in entered:
        yield Mistake(f"the initial step {first!r} has an incoming transition", recipe.place)


def successors(recipe: Recipe) -> dict[str, set[str]]:
    """The steps that a step leads to directly."""
    graph: dict[str, set[str]] = {step.id: set() for step in recipe.steps}
    for transition in recipe.transitions:
        for step, _flagged in transition.links():
            graph.setdefault(step, set()).update(transition.outputs)
    return graph


def _reached(start: set[str], graph: _Graph) -> set[str]:
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        step = waiting.pop()
        if step not in reached:
            reached.add(step)
            waiting.extend(graph.get(step, ()))
    return reached


def cycle_of(recipe: Recipe) -> list[str]:
    """The steps of a cycle in order, from the one that comes first in the recipe; empty if there is none."""
    graph = successors(recipe)
    order = {step.id: at for at, step in enumerate(recipe.steps)}
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, Iterator[str]]] = []
        if start not in done:
            stack = [(start, iter(sorted(graph[start])))]
            path, on_path = [start], {start}
        while stack:
            step, following = stack[-1]
            nearest = next((each for each in following if each not in done), None)
            if nearest is None:
                stack.pop()
                done.add(path.pop())
                on_path.discard(step)
            elif nearest in on_path:
                found = path[path.index(nearest) :]
                at = min(range(len(found)), key=lambda index: order.get(found[index], 0))
                return found[at:] + found[:at]
            else:
                path.append(nearest)
                on_path.add(nearest)
                stack.append((nearest, iter(sorted(graph.get(nearest, ())))))
    return []


def _joins(recipe: Recipe) -> Iterator[Mistake]:
    """Two transitions that reach one step from branches that run side by side: the step runs for the first of them."""
    into: dict[str, list[Transition]] = {}
    for transition in recipe.transitions:
        for step in dict.fromkeys(transition.outputs):
            into.setdefault(step, []).append(transition)
    graph = successors(recipe)
    for step, transitions in into.items():
        pair = _parallel(transitions, recipe, graph) if len(transitions) > 1 else None
        if pair is not None:
            yield Mistake(
                f"transitions {pair[0].id!r} and {pair[1].id!r} both lead to step {step!r} from branches that run side "
                f"by side: it runs once, for the first of them; to wait for both, make one transition of them",
                pair[1].place,
                warning=True,
            )


def _parallel(transitions: list[Transition], recipe: Recipe, graph: _Graph) -> tuple[Transition, Transition] | None:
    sources = [{step for step, _flagged in each.links()} for each in transitions]
    for fork in recipe.transitions:
        if len(fork.outputs) < 2:
            continue
        branches = [_reached({step}, graph) for step in dict.fromkeys(fork.outputs)]
        #: In which branches each transition can come up.
        places = [frozenset(at for at, branch in enumerate(branches) if source <= branch) for source in sources]
        for at, one in enumerate(transitions):
            for rest, other in enumerate(transitions[at + 1 :], at + 1):
                if places[at] and places[rest] and places[at] != places[rest] and not sources[at] & sources[rest]:
                    return one, other
    return None
