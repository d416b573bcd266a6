"""A ``job.xn`` run for a context by the engine: the first failure stops it, everything is told as events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from kommandir.errors import ExekutirError, ExitCode
from kommandir.failure import Failure
from kommandir.mistakes import demand_none
from kommandir.playbook import private
from kommandir.xn import recipe
from kommandir.xn.reading import Item, read
from kommandir.xn.request import GOOD, StepResult, XnRequest, XnResult, outcome_of
from kommandir.xn.surroundings import Surroundings
from narval_engine import Engine, Registry


def run(request: XnRequest) -> XnResult:
    """Run the items that take part in the request's context, in their order, until one fails.

    What a run that was killed left in ``private`` is removed first.

    Raises MistakesError, before anything is run, when anything is wrong anywhere in the file; whatever goes wrong in a
    step is in the result.
    """
    private.remove_abandoned(request.workspace / "private")
    reading = read(request.file, request.text, context=request.context)
    demand_none(reading.mistakes, hint="`exekutir validate` checks a job without running it")
    if reading.recipes is not None:
        from kommandir.recipes import running as recipes

        return recipes.run(request, reading.recipes)
    items = [item for item in reading.items if item.is_for(request.context)]
    surroundings = Surroundings(request)
    if request.check:
        from kommandir.xn import preview

        preview.tell(items, surroundings)
    elif items:
        with contextlib.closing(surroundings):
            return _Run(surroundings, items).result()
    return XnResult(exit_code=0, outcome=ExitCode.GOOD)


class _Run:
    """One run: its steps told as they begin and end, their results kept."""

    def __init__(self, surroundings: Surroundings, items: Sequence[Item]) -> None:
        self.surroundings, self.items = surroundings, items
        self.events = surroundings.request.events
        self.last = GOOD
        self._begun = 0

    def result(self) -> XnResult:
        registry = Registry()
        recipe.register(registry, self.perform)
        linear = recipe.linear(self.surroundings.request.context, self.items, self.surroundings.step)
        with Engine(registry, workers=1) as engine:
            engine.add_recipe(linear)
            plan = engine.start_plan(f"job.{linear.name}")
            engine.run()
        if self.last.good and plan.state != "done":
            raise AssertionError(f"the plan of {len(self.items)} steps ended as {plan.state}: {plan.errors}")
        if self.last.good:
            return XnResult(exit_code=0, outcome=ExitCode.GOOD)
        return XnResult(exit_code=self.last.exit_code, outcome=self.last.outcome, failures=self.last.failures)

    def perform(self, action: Callable[[Item, Surroundings], StepResult], item: Item) -> StepResult:
        step, started = self.surroundings.step(item), time.monotonic()
        self._begun += 1
        common = {"step": step, "kind": item.kind.name, "name": item.title}
        self.events.emit("step_started", **common, index=self._begun, total=len(self.items))
        result = self._attempted(action, item)
        self.last = result
        self.events.emit(
            "step_finished",
            **common,
            outcome=result.word,
            exit_code=result.exit_code,
            seconds=round(time.monotonic() - started, 3),
            log=result.log,
        )
        return result

    def _attempted(self, action: Callable[[Item, Surroundings], StepResult], item: Item) -> StepResult:
        request = self.surroundings.request
        try:
            request.cancellation.check(f"starting {item.title}")
            request.deadline.check(f"{item.title} ({item.place}) to start")
            return action(item, self.surroundings)
        except ExekutirError as error:
            outcome = outcome_of(error)
            failure = Failure(step=self.surroundings.step(item), message=self.surroundings.redactor.text(str(error)))
            stopped = outcome in (ExitCode.TIMED_OUT, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
            return StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,), stopped=stopped)
