"""Recipes written as the manual's XML; reading it gives the same recipe again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from narval_engine import xmlelements
from narval_engine.calendars import FIELDS
from narval_engine.prototypes import Input, Output
from narval_engine.recipes import Computed, Condition, Recipe, Step, Transition
from narval_engine.xmltext import escape, quoteattr


def written(recipe: Recipe) -> str:
    """The recipe as XML. Raises encoding.EncodingError for an argument that no file can hold."""
    return "\n".join(_recipe(recipe))


def _attributes(**said: Any) -> str:
    words = {True: "yes", False: "no"}
    given = (
        (name, words[value] if isinstance(value, bool) else str(value))
        for name, value in said.items()
        if value is not None
    )
    return "".join(f" {name}={quoteattr(value)}" for name, value in given)


def _recipe(recipe: Recipe) -> Iterator[str]:
    said = _attributes(
        group=recipe.group,
        name=recipe.name,
        restart=recipe.restart or None,
        decay=recipe.decay,
        start_step=recipe.start_step,
        end_step=recipe.end_step,
    )
    yield f"<recipe{said}>"
    for step in recipe.steps:
        yield from _step(step)
    for transition in recipe.transitions:
        yield from _transition(transition)
    yield "</recipe>"


def _step(step: Step) -> Iterator[str]:
    said = _attributes(
        id=step.id,
        type=step.type,
        target=step.target,
        foreach=step.foreach,
        deadline=step.deadline,
        attempts=step.attempts if step.attempts != 1 else None,
        backoff=step.backoff if step.backoff != 1.0 else None,
        memory=step.memory,
        cpu=step.cpu,
    )
    yield f"  <step{said}>"
    if any(step.context):
        yield f"    <context{_attributes(from_context=step.context[0], to_context=step.context[1])}/>"
    if step.arguments:
        yield "    <arguments>"
        for given in step.arguments:
            text = f"<eval>{escape(given.source)}</eval>" if isinstance(given, Computed) else xmlelements.written(given)
            yield f"      {text}"
        yield "    </arguments>"
    for entry in step.inputs:
        yield from _entry(entry)
    for output in step.outputs:
        yield from _entry(output)
    yield "  </step>"


def _entry(entry: Input | Output) -> Iterator[str]:
    said = _attributes(id=entry.id, list=entry.list, optional=entry.optional, outdates=entry.outdates)
    if isinstance(entry, Input):
        said += _attributes(use=entry.use, from_context=entry.from_context, to_context=entry.to_context)
        yield from _matching("input", said, entry.match)
    else:
        yield from _matching("output", said, entry.match)


def _matching(tag: str, said: str, match: tuple[str, ...]) -> Iterator[str]:
    body = "".join(f"<match>{escape(each)}</match>" for each in match)
    yield f"    <{tag}{said}>{body}</{tag}>"


def _transition(transition: Transition) -> Iterator[str]:
    yield f"  <transition{_attributes(id=transition.id, priority=transition.priority or None)}>"
    for step, flagged in transition.links():
        yield f"    <in{_attributes(idref=step, on_error=flagged or None)}/>"
    for step in transition.outputs:
        yield f"    <out{_attributes(idref=step)}/>"
    for condition in transition.conditions:
        yield from _condition(condition)
    for moment in transition.times:
        fields = {name: getattr(moment, name) for name in FIELDS if str(getattr(moment, name)) != "*"}
        yield f"    <time{_attributes(**fields)}/>"
    yield "  </transition>"


def _condition(condition: Condition) -> Iterator[str]:
    said = _attributes(use=condition.use or None, from_context=condition.from_context, to_context=condition.to_context)
    yield from _matching("condition", said, condition.expressions)
