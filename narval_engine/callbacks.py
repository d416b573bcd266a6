"""The callbacks that actions declare: ``finalizer`` and ``nonexecuted``."""

from __future__ import annotations

from typing import Any

from narval_engine.plans import Plan


def finalize(plan: Plan) -> None:
    """The plan is over: each finalizer of its actions is called with it, once."""
    for function in dict.fromkeys(function for _number, function in plan.program.finalizers):
        _callback("finalizer", function, plan)


def not_executed(plan: Plan, number: int) -> None:
    """The step has become impossible: its action is told, if it wants to know."""
    step = plan.program.steps[number]
    if step.action is not None and step.action.options.nonexecuted is not None:
        _callback("nonexecuted", step.action.options.nonexecuted, plan.steps[step.id])


def _callback(what: str, function: Any, argument: Any) -> None:
    try:
        function(argument)
    except Exception:
        import logging

        # It is told after the fact, so there is no step that could fail with it.
        logging.getLogger(__name__).exception("%s %r of %r failed", what, function, argument)
