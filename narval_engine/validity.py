"""What is wrong with a recipe: everything at once, each mistake with its place and what is allowed there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from narval_engine import calendars
from narval_engine.actions import Action
from narval_engine.expressions import ExpressionError, compiled
from narval_engine.places import Mistake, Place, PlacedText
from narval_engine.prototypes import CONTEXTS, Input, Output, Prototype
from narval_engine.recipes import Computed, Condition, Given, Recipe, Step, Time, Transition

#: More seconds, or MiB, than anybody means.
_MOST = 1 << 40
ActionOf = Callable[[str], Action | None]


def mistakes_of(recipe: Recipe, action_of: ActionOf, recipes: Mapping[str, Recipe]) -> list[Mistake]:
    """All mistakes and warnings of a recipe, given the actions and recipes that there are."""
    found = [*_own(recipe), *_names(recipe)]
    if not recipe.steps:
        return found
    for step in recipe.steps:
        found += _of_step(step, action_of, recipes)
    for transition in recipe.transitions:
        found += _of_transition(transition, recipe)
    found += _shape(recipe)
    return found


def _own(recipe: Recipe) -> Iterator[Mistake]:
    for what, value in (("group", recipe.group), ("name", recipe.name)):
        if not value:
            yield Mistake(f"a recipe needs a {what}", recipe.place)
    if not recipe.steps:
        yield Mistake(f"{recipe.full_name} has no elements: a recipe has at least one step", recipe.place)
    if recipe.decay is not None and recipe.decay < 0:
        yield Mistake(f"decay is {recipe.decay}; seconds, not less than 0, are wanted", recipe.place)


def _names(recipe: Recipe) -> Iterator[Mistake]:
    for what, parts in (("step", recipe.steps), ("transition", recipe.transitions)):
        seen: dict[str, Place | None] = {}
        for part in parts:
            if not part.id:
                yield Mistake(f"a {what} of {recipe.full_name} has no id", part.place)
            elif part.id in seen:
                yield Mistake(f"there are two {what}s with the id {part.id!r} in {recipe.full_name}", part.place)
            seen[part.id] = part.place


# Steps.


def _of_step(step: Step, action_of: ActionOf, recipes: Mapping[str, Recipe]) -> Iterator[Mistake]:
    for given in step.arguments:
        yield from argument_mistakes(given)
    limits = [each for each in (step.deadline, step.memory, step.cpu) if each is not None]
    if step.attempts < 1 or step.backoff < 0 or not all(0 < each < _MOST for each in limits):
        wanted = "attempts are 1 or more, backoff 0 or more, deadline, memory and cpu above 0"
        yield Mistake(f"step {step.id!r}: {wanted}", step.place)
    if step.type == "recipe":
        yield from _of_recipe_step(step, recipes)
    elif step.type == "action":
        action = action_of(step.target)
        if action is None:
            yield _unknown("action", step, action_of, ())
        else:
            yield from _of_action_step(step, action)
    else:
        yield Mistake(f"step {step.id!r} has the type {step.type!r}; it is 'action' or 'recipe'", step.place)


def _of_recipe_step(step: Step, recipes: Mapping[str, Recipe]) -> Iterator[Mistake]:
    if step.target not in recipes:
        yield _unknown("recipe", step, None, recipes)
    if step.foreach is not None:
        yield Mistake(f"step {step.id!r}: foreach is for steps whose target is an action", step.place)
    for entry in (*step.inputs, *step.outputs):
        yield Mistake(f"step {step.id!r}: inputs and outputs are for steps whose target is an action", entry.place)


def _of_action_step(step: Step, action: Action) -> Iterator[Mistake]:
    for kind, own in (("input", step.inputs), ("output", step.outputs)):
        twice = {entry.id for at, entry in enumerate(own) if entry.id in {each.id for each in own[:at]}}
        yield from (Mistake(f"step {step.id!r} names the {kind} {name!r} twice", step.place) for name in sorted(twice))
    yield from action.prototype.objections(step.inputs, step.outputs, f"action {step.target!r}")
    narrowed = action.prototype.narrowed(step.inputs, step.outputs, step.context)
    yield from prototype_mistakes(narrowed, step.place, f"step {step.id!r}")
    if step.foreach is None:
        return
    chosen = next((entry for entry in narrowed.inputs if entry.id == step.foreach), None)
    if chosen is None:
        there = ", ".join(entry.id for entry in narrowed.inputs) or "none"
        yield Mistake(
            f"step {step.id!r}: foreach names {step.foreach!r}, no input of {step.target}; its inputs are: {there}",
            step.place,
        )
    elif chosen.list:
        yield Mistake(f"step {step.id!r}: foreach names {step.foreach!r}, which takes a list already", step.place)


def _unknown(what: str, step: Step, action_of: ActionOf | None, recipes: Iterable[str]) -> Mistake:
    known = list(recipes)
    owner = getattr(action_of, "__self__", None)
    if owner is not None:
        known = owner.names()
    near = _near(step.target, known)
    hint = f"; did you mean {near!r}?" if near else f"; known {what}s: {', '.join(sorted(known)[:12]) or 'none'}"
    return Mistake(f"step {step.id!r}: there is no {what} {step.target!r}{hint}", step.place)


def _near(name: str, known: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1, 0.6)), None)


def argument_mistakes(given: Given) -> Iterator[Mistake]:
    """What is wrong with a computed argument."""
    if isinstance(given, Computed):
        try:
            compiled(given.source)
        except ExpressionError as error:
            yield Mistake(f"argument {given.source!r} {error}", given.place)


# Prototypes.


def prototype_mistakes(prototype: Prototype, place: Place | None, where: str) -> Iterator[Mistake]:
    """What is wrong with the inputs and outputs of an action, or of a step after it narrowed them."""
    before: list[str] = []
    for entry in prototype.inputs:
        at = entry.place or place
        if not entry.match:
            yield Mistake(f"{where}: no match for {entry.id}; an input needs at least one match expression", at)
        yield from _contexts(entry, at, f"{where}: input {entry.id!r}")
        yield from _expressions(entry.match, before, entry.id, at, f"{where}: input {entry.id!r}")
        if entry.id.isidentifier():
            before.append(entry.id)
    names = [entry.id for entry in prototype.inputs]
    for output in prototype.outputs:
        at = output.place or place
        if output.outdates and output.outdates not in names:
            there = ", ".join(names) or "none"
            yield Mistake(
                f"{where}: output {output.id!r} outdates {output.outdates!r}, which is no input; inputs are: {there}",
                at,
            )
        own = [name for name in before if name != output.id]
        yield from _expressions(output.match, own, output.id, at, f"{where}: output {output.id!r}")
    yield from _twice(prototype.inputs, place, f"{where}: input")
    yield from _twice(prototype.outputs, place, f"{where}: output")


def _twice(entries: Sequence[Input | Output], place: Place | None, where: str) -> Iterator[Mistake]:
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            yield Mistake(f"{where} {entry.id!r} is there twice", entry.place or place)
        seen.add(entry.id)


def _contexts(entry: Input | Condition, place: Place | None, where: str) -> Iterator[Mistake]:
    chosen = []
    for name, default in (("from_context", CONTEXTS[0]), ("to_context", CONTEXTS[-1])):
        value = getattr(entry, name) or default
        if value not in CONTEXTS:
            yield Mistake(f"{where}: {name} is {value!r}; it is one of {', '.join(CONTEXTS)}", place)
        else:
            chosen.append(CONTEXTS.index(value))
    if len(chosen) == 2 and chosen[0] > chosen[1]:
        yield Mistake(f"{where}: from_context lies beyond to_context, so nothing can ever be found", place)


def _expressions(
    match: Sequence[str], before: Sequence[str], own: str | None, place: Place | None, where: str
) -> Iterator[Mistake]:
    for source in match:
        try:
            compiled(source, before, own)
        except ExpressionError as error:
            at = source.place if isinstance(source, PlacedText) else place
            yield Mistake(f"{where}: match {str(source)!r} {error}", at)


# Transitions.


def _of_transition(transition: Transition, recipe: Recipe) -> Iterator[Mistake]:
    where = f"transition {transition.id!r}"
    known = {step.id for step in recipe.steps}
    for what, named in (("in", [step for step, _flagged in transition.links()]), ("out", list(transition.outputs))):
        if not named:
            yield Mistake(f"{where} has no {what} step", transition.place)
        for step in named:
            if step not in known:
                near = _near(step, known)
                hint = f"; did you mean {near!r}?" if near else f"; steps are: {', '.join(sorted(known))}"
                at = step.place if isinstance(step, PlacedText) else transition.place
                yield Mistake(f"{where}: {what} names the unknown step {str(step)!r}{hint}", at)
    for condition in transition.conditions:
        at = condition.place or transition.place
        if not condition.expressions:
            yield Mistake(f"{where}: a condition needs at least one match expression", at)
        yield from _contexts(condition, at, where)
        yield from _expressions(condition.expressions, (), None, at, where)
    for moment in transition.times:
        yield from _time(moment, moment.place or transition.place, where)


def _time(moment: Time, place: Place | None, where: str) -> Iterator[Mistake]:
    for name in calendars.FIELDS:
        try:
            calendars.numbers(name, getattr(moment, name))
        except calendars.TimeError as error:
            yield Mistake(f"{where}: {error}", place)


# The graph.


def _shape(recipe: Recipe) -> Iterator[Mistake]:
    from narval_engine import shapes

    yield from shapes.mistakes_of(recipe)
