"""Recipes and plans as pictures: text for a terminal, SVG for a page, with the states of a plan where there is one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape

from narval_engine.plans import Plan
from narval_engine.recipes import Recipe, Transition
from narval_engine.shapes import successors

_COLOURS = {
    "done": "#cfe8cf",
    "history": "#cfe8cf",
    "fired": "#3b7a3b",
    "running": "#fff2b3",
    "ready": "#fff2b3",
    "error": "#f4c7c3",
    "failed": "#f4c7c3",
    "killed": "#f4c7c3",
    "impossible": "#dddddd",
}
_MARKS = {
    "done": "+",
    "history": "+",
    "running": ">",
    "ready": ">",
    "error": "!",
    "failed": "!",
    "killed": "!",
    "impossible": "-",
    "todo": " ",
}
_WIDE, _HIGH, _GAP, _DOWN = 170, 44, 30, 92


@dataclass(frozen=True)
class Drawing:
    """A recipe, with the states of its steps and transitions by id where it is that of a plan."""

    recipe: Recipe
    title: str
    steps: dict[str, str] = field(default_factory=dict)
    transitions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Drawing:
        """A recipe by itself."""
        return cls(recipe, recipe.full_name)

    @classmethod
    def of_plan(cls, plan: Plan) -> Drawing:
        """A plan as it is now."""
        waits = ", waits" if plan.waiting else ""
        return cls(
            plan.recipe,
            f"plan {plan.eid} {plan.name}: {plan.state}{waits}",
            {name: step.state for name, step in plan.steps.items()},
            {name: transition.state for name, transition in plan.transitions.items()},
        )


def layers(recipe: Recipe) -> list[list[str]]:
    """The steps by how many others, at most, have to run before; steps of a cycle come last."""
    graph = successors(recipe)
    left = dict.fromkeys(graph, 0)
    for following in graph.values():
        for step in following:
            left[step] = left.get(step, 0) + 1
    found: list[list[str]] = []
    now = [step for step, count in left.items() if count == 0]
    placed: set[str] = set()
    while now:
        found.append(now)
        placed.update(now)
        coming: list[str] = []
        for step in now:
            for after in sorted(graph.get(step, ())):
                left[after] -= 1
                if left[after] == 0:
                    coming.append(after)
        now = coming
    rest = [step for step in graph if step not in placed]
    return [*found, rest] if rest else found


def as_text(drawing: Drawing) -> str:
    """One line a step in the order in which they can run, with what leads from it below."""
    lines = [drawing.title]
    targets = {step.id: step.target for step in drawing.recipe.steps}
    for layer in layers(drawing.recipe):
        for step in layer:
            state = drawing.steps.get(step)
            shown = f"  {state}" if state else ""
            lines.append(f"  [{_MARKS.get(state or 'todo', '?')}] {step} ({targets.get(step, '?')}){shown}")
            lines += [
                f"        {_arrow(transition, step)}{_said(drawing, transition)}"
                for transition in drawing.recipe.transitions
                if step in dict(transition.links())
            ]
    return "\n".join(lines)


def _arrow(transition: Transition, step: str) -> str:
    with_others = [before for before, _flagged in transition.links() if before != step]
    joined = f" with {', '.join(with_others)}" if with_others else ""
    error = "on error " if step in transition.on_error else ""
    return f"-> {', '.join(transition.outputs)}  {error}{transition.id}{joined}"


def _said(drawing: Drawing, transition: Transition) -> str:
    said = [f"if {' and '.join(condition.expressions)}" for condition in transition.conditions]
    said += ["at a time"] if transition.times else []
    said += [f"priority {transition.priority}"] if transition.priority else []
    state = drawing.transitions.get(transition.id)
    said += [state] if state else []
    return f"  ({'; '.join(said)})" if said else ""


def as_svg(drawings: Sequence[Drawing]) -> str:
    """The drawings one below the other, as an SVG that needs nothing else."""
    top, width, parts = 0, 0, []
    for drawing in drawings:
        body, wide, high = _svg(drawing, top)
        parts += body
        width, top = max(width, wide), top + high
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}" '
        f'font-family="sans-serif" font-size="12">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    return "\n".join([head, arrow, *parts, "</svg>"])


def _svg(drawing: Drawing, top: int) -> tuple[list[str], int, int]:
    rows = layers(drawing.recipe)
    places = {
        step: (20 + column * (_WIDE + _GAP), top + 40 + row * _DOWN)
        for row, layer in enumerate(rows)
        for column, step in enumerate(layer)
    }
    parts = [f'<text x="20" y="{top + 22}" font-weight="bold">{escape(drawing.title)}</text>']
    for transition in drawing.recipe.transitions:
        parts += _edges(drawing, transition, places)
    targets = {step.id: step.target for step in drawing.recipe.steps}
    for step, (left, down) in places.items():
        state = drawing.steps.get(step, "")
        below = escape((state or targets.get(step, "?"))[:26])
        parts.append(
            f'<g><rect x="{left}" y="{down}" width="{_WIDE}" height="{_HIGH}" rx="6" stroke="#444" '
            f'fill="{_COLOURS.get(state, "#ffffff")}"/>'
            f'<text x="{left + 8}" y="{down + 17}">{escape(step[:24])}</text>'
            f'<text x="{left + 8}" y="{down + 34}" fill="#555">{below}</text></g>'
        )
    widest = max((len(layer) for layer in rows), default=1)
    return parts, 40 + widest * (_WIDE + _GAP), 60 + len(rows) * _DOWN


def _edges(drawing: Drawing, transition: Transition, places: dict[str, tuple[int, int]]) -> list[str]:
    parts = []
    colour = "#3b7a3b" if drawing.transitions.get(transition.id) == "fired" else "#888"
    for before, flagged in transition.links():
        for after in transition.outputs:
            if before in places and after in places:
                (x1, y1), (x2, y2) = places[before], places[after]
                dash = ' stroke-dasharray="5 4"' if flagged else ""
                parts.append(
                    f'<line x1="{x1 + _WIDE // 2}" y1="{y1 + _HIGH}" x2="{x2 + _WIDE // 2}" y2="{y2}" '
                    f'stroke="{colour}"{dash} marker-end="url(#arrow)"><title>{escape(transition.id)}'
                    f"{escape(_said(drawing, transition))}</title></line>"
                )
    return parts


def command(options: argparse.Namespace, out: TextIO, refuse: Callable[[Sequence[Any]], int]) -> int:
    """``narval graph``: draws the recipes of a file or the plans of a journal."""
    path: Path = options.file
    if not path.is_file():
        return refuse([f"{path}: there is no such file"])
    if path.suffix in {".xml", ".yml", ".yaml", ".xn"}:
        from narval_engine import home
        from narval_engine.places import Mistake

        mistakes: list[Mistake] = []
        drawings = [Drawing.of_recipe(recipe) for recipe in home.recipes_in(path, mistakes)]
        if mistakes:
            return refuse(mistakes)
    elif options.home is None:
        return refuse([f"{path}: to draw the plans of a journal, name its home with --home"])
    else:
        drawings = _of_journal(path, options.home)
    chosen = [drawing for drawing in drawings if options.recipe in {None, drawing.recipe.full_name}]
    if not chosen:
        return refuse([f"{path}: there is no recipe {options.recipe!r}" if options.recipe else f"{path}: is empty"])
    text = as_svg(chosen) if options.format == "svg" else "\n\n".join(as_text(each) for each in chosen)
    print(text, file=out)
    return 0


def _of_journal(path: Path, directory: Path) -> list[Drawing]:
    """The plans as they are at the end of a journal; nothing is run and nothing written."""
    from narval_engine import home
    from narval_engine.engine import Engine
    from narval_engine.journal import SqliteJournal
    from narval_engine.resuming import replayed

    loaded = home.load(directory)
    journal = SqliteJournal(path, read_only=True)
    with Engine(loaded.registry) as engine:
        engine.add_recipes(loaded.recipes)
        try:
            replayed(engine, journal)
        finally:
            journal.close()
        return [Drawing.of_plan(plan) for plan in engine.plans]
