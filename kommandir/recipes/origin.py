"""Which error led to a step: the first of a chain, whatever failed after it while it was being taken care of."""

from __future__ import annotations

from narval_engine import ErrorElement, Plan, Recipe


def first_error(plan: Plan, step: str) -> ErrorElement | None:
    """The oldest error of the steps through which ``step`` was reached; None where none of them failed.

    The way back ends at steps that are reached without any error, so what was mended before does not count: where a
    host could only be created at the second try, and its tests say no later, it is the tests.
    """
    good = _without_error(plan.recipe)
    fired = [each for each in plan.recipe.transitions if plan.transitions[each.id].state == "fired"]
    found: list[ErrorElement] = []
    waiting, seen = [step], {step}
    while waiting:
        at = waiting.pop()
        before = {name for each in fired if at in each.outputs for name, _flagged in each.links()} - seen
        seen |= before
        found += [error for name in before for error in plan.steps[name].errors]
        waiting += before - good
    return min(found, key=lambda error: error.eid or 0, default=None)


def _without_error(recipe: Recipe) -> set[str]:
    """The steps that are reached where nothing fails."""
    reached = {str(recipe.first())}
    growing = True
    while growing:
        new = {
            step
            for each in recipe.transitions
            if each.links() and all(name in reached and not flagged for name, flagged in each.links())
            for step in each.outputs
        }
        growing = not new <= reached
        reached |= new
    return reached
