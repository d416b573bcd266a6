"""The callbacks that actions declare: ``finalizer`` and ``nonexecuted``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from narval_engine.plans import IMPOSSIBLE, Plan


def called(plan: Plan, number: int = -1) -> bool:
    """Tells the step that has become impossible, or with no step the plan that is over; whether anybody was told."""
    if number < 0:
        functions = dict.fromkeys(function for _number, function in plan.program.finalizers)
        for function in functions:
            _callback("finalizer", function, plan)
        return bool(functions)
    told = _nonexecuted(plan, number)
    if told is not None:
        _callback("nonexecuted", told, plan.steps[plan.program.steps[number].id])
    return told is not None


def _nonexecuted(plan: Plan, number: int) -> Any:
    action = plan.program.steps[number].action
    return None if action is None else action.options.nonexecuted


def missed(plans: Iterable[Plan]) -> Iterator[tuple[Plan, int]]:
    """The steps (or -1 for the plan) that are to be told, and that nobody is known to have told."""
    for plan in plans:
        for number, state in enumerate(plan.step_states):
            if state == IMPOSSIBLE and number not in plan.called_back:
                yield plan, number
        if plan.over and -1 not in plan.called_back:
            yield plan, -1


def _callback(what: str, function: Any, argument: Any) -> None:
    try:
        function(argument)
    except Exception:
        import logging

        # It is told after the fact, so there is no step that could fail with it.
        logging.getLogger(__name__).exception("%s %r of %r failed", what, function, argument)
