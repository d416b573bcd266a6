"""``contexts`` of steps: a step that takes no part in a context does nothing there.

Whatever leads to such a step leads on, at once, to what follows it; so transitions into it and out of it are joined.
The conditions and times of the one transition out of such steps do not count, as they speak of what the steps make;
where several transitions leave one, they choose as they stand. An on-error transition out of it never fires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from kommandir.recipes.schema import NOTHING
from narval_engine import Recipe, Step, Transition

#: The contexts of steps by recipe and step, of those that name any.
Contexts = Mapping[tuple[str, str], tuple[str, ...]]


def takes_part(recipe: Recipe, step: Step, contexts: Contexts, context: str) -> bool:
    """Whether a step does something in ``context``."""
    named = contexts.get((recipe.full_name, step.id), ())
    return step.target != NOTHING and (not named or context in named)


def restricted(recipe: Recipe, contexts: Contexts, context: str) -> Recipe:
    """The recipe as it is run in ``context``: the same steps and transitions, those left out without their actions."""
    steps = tuple(
        step if takes_part(recipe, step, contexts, context) else Step(id=step.id, target=NOTHING, place=step.place)
        for step in recipe.steps
    )
    left_out = {
        step.id for step in recipe.steps if step.target != NOTHING and not takes_part(recipe, step, contexts, context)
    }
    return replace(
        recipe, steps=steps, transitions=tuple(_freed(each, recipe, left_out) for each in recipe.transitions)
    )


def _freed(transition: Transition, recipe: Recipe, left_out: Set[str]) -> Transition:
    """The transition without conditions and times, if only steps that are left out lead to it, and to no other one."""
    alone = not transition.on_error and left_out >= set(transition.inputs)
    others = [step for each in recipe.transitions if each.id != transition.id for step in each.inputs]
    if not alone or not set(others).isdisjoint(transition.inputs):
        return transition
    return replace(transition, conditions=(), times=())


def is_empty(recipe: Recipe, recipes: Sequence[Recipe], contexts: Contexts, context: str) -> bool:
    """Whether nothing at all would be done, so that no plan needs to be made."""
    by_name = {each.full_name: each for each in recipes}
    seen: set[str] = set()
    waiting = [recipe]
    while waiting:
        each = waiting.pop()
        seen.add(each.full_name)
        for step in each.steps:
            if not takes_part(each, step, contexts, context):
                continue
            if step.type != "recipe":
                return False
            called = by_name.get(step.target)
            if called is not None and called.full_name not in seen:
                waiting.append(called)
    return True
