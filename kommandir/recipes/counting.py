"""Which failures count: those of plans that failed, the first one first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kommandir.errors import ExitCode
from kommandir.failure import Failure
from kommandir.xn.call_notes import unpacked
from kommandir.xn.request import StepResult, XnResult
from narval_engine import ErrorElement, Plan

if TYPE_CHECKING:
    from kommandir.recipes.calls import Calls

#: Errors of the engine that are mistakes of the recipe.
_OF_THE_RECIPE = frozenset(
    {
        "missing input",
        "undecidable input",
        "bad output",
        "bad foreach",
        "bad recipe",
        "bad argument",
        "unknown recipe",
        "recursion",
        "failed",
    }
)


class Counted:
    """Failures by the order in which their steps ended, each once."""

    def __init__(self) -> None:
        self._found: dict[int, StepResult] = {}
        #: The plans whose failures a run that was killed had counted.
        self.plans: set[int] = set()

    @property
    def stopped(self) -> bool:
        """Whether a signal or a deadline is among them."""
        return any(result.stopped for result in self._found.values())

    def add(self, order: int, result: StepResult) -> None:
        """Count the failure of the step that was the ``order``-th to end."""
        self._found[order] = result

    def restore(self, kept: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Count again what a run that was killed had counted."""
        for record in kept.get("counted", ()):
            self.plans.add(record["plan"])
            for order, result in record["failures"]:
                self.add(order, unpacked(result))

    def stop(self, outcome: ExitCode, failure: Failure) -> None:
        """Count that everything was stopped."""
        self.add(-1, StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,), stopped=True))

    def result(self) -> XnResult:
        """What came of all plans: the first failure's own codes, and all failures; a stop before anything else."""
        found = sorted(self._found.items(), key=lambda pair: (not pair[1].stopped, pair[0]))
        if not found:
            return XnResult(exit_code=0, outcome=ExitCode.GOOD)
        first = found[0][1]
        failures = tuple(failure for _, result in found for failure in result.failures)
        return XnResult(exit_code=first.exit_code, outcome=first.outcome, failures=failures)


def unhandled(plan: Plan) -> Iterator[tuple[str, ErrorElement]]:
    """The errors of a failed plan that no transition has taken care of, each with its step ("" for the plan's own)."""
    handled = {
        step
        for transition in plan.recipe.transitions
        if plan.transitions[transition.id].state == "fired"
        for step, _flagged in transition.links()
    }
    of_steps: set[int] = set()
    for step in plan.steps.values():
        for error in step.errors:
            of_steps.add(id(error))
            if step.id not in handled:
                yield step.id, error
    yield from (("", error) for error in plan.errors if id(error) not in of_steps)


def own_error(plan: Plan, step: str, error: ErrorElement, calls: Calls) -> tuple[int, StepResult]:
    """An error of the engine's own as a failure: a mistake of the recipe, a step's deadline, or a fault of ours."""
    if error.type == "timeout":
        outcome = ExitCode.TIMED_OUT
    elif error.type in _OF_THE_RECIPE:
        outcome = ExitCode.USAGE
    else:
        outcome = ExitCode.KOMMANDIR_FAILED
    message = f"{error.type}: {getattr(error, 'message', '')}"
    return calls.told_failure(step or plan.name, message, outcome)
