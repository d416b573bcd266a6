"""A ``job.xn`` run for a context by the engine: the first failure stops it, everything is told as events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kommandir.errors import ExekutirError, ExitCode
from kommandir.failure import Failure
from kommandir.mistakes import demand_none
from kommandir.playbook import private
from kommandir.xn import recipe
from kommandir.xn.call_notes import Begun, CallNotes, begun_now, key_of, killed
from kommandir.xn.reading import Item, read
from kommandir.xn.request import GOOD, StepResult, XnRequest, XnResult, outcome_of
from kommandir.xn.schema import PLAYBOOK
from kommandir.xn.stopping import watched
from kommandir.xn.surroundings import Surroundings
from narval_engine import Engine, Plan, Registry
from narval_engine.journal import JournalLostError
from narval_engine.outcomes import Outcome
from narval_engine.resuming import interrupted

if TYPE_CHECKING:
    from kommandir.xn.run_journal import RunJournal


def run(request: XnRequest) -> XnResult:
    """Run the items that take part in the request's context, in their order, until one fails.

    A durable run goes on where an earlier one of the same context was killed. What a run that was killed left in
    ``private`` is removed first.

    Raises MistakesError, before anything is run, when anything is wrong anywhere in the file; LockError or
    KommandirError where the journal of a durable one can't be had. Whatever goes wrong in a step is in the result.
    """
    private.remove_abandoned(request.workspace / "private")
    reading = read(request.file, request.text, context=request.context)
    demand_none(reading.mistakes, hint="`exekutir validate` checks a job without running it")
    if reading.recipes is not None:
        from kommandir.recipes import running as recipes

        return recipes.run(request, reading.recipes)
    items = [item for item in reading.items if item.is_for(request.context)]
    if request.check:
        from kommandir.xn import preview

        preview.tell(items, Surroundings(request))
    elif items:
        one_playbook = sum(item.kind is PLAYBOOK for item in items) < 2
        with contextlib.closing(Surroundings(request, one_playbook=one_playbook)) as surroundings:
            return _Run(surroundings, items).result()
    return XnResult(exit_code=0, outcome=ExitCode.GOOD)


class _Run:
    """One run: its steps told as they begin and end, their results kept."""

    def __init__(self, surroundings: Surroundings, items: Sequence[Item]) -> None:
        self.surroundings, self.items = surroundings, items
        self.events = surroundings.request.events
        #: The number of an item among those that take part, by its number in the file.
        self.place = {item.index: number for number, item in enumerate(items, 1)}
        self.journal: RunJournal | None = None
        self.notes = CallNotes()
        self.last = GOOD

    def result(self) -> XnResult:
        request = self.surroundings.request
        if request.durable:
            from kommandir.xn.run_journal import opened

            self.journal = opened(request)
            self.notes = CallNotes(self.journal.kept)
            self.surroundings.keep = self.notes.note
        state = self._state_at_the_end()
        if self.last.good and state != "done":
            raise AssertionError(f"the plan of {len(self.items)} steps ended as {state}")
        if self.last.good:
            return XnResult(exit_code=0, outcome=ExitCode.GOOD)
        return XnResult(exit_code=self.last.exit_code, outcome=self.last.outcome, failures=self.last.failures)

    def _state_at_the_end(self) -> str:
        registry = Registry()
        recipe.register(registry, self.perform)
        linear = recipe.linear(self.surroundings.request.context, self.items, self.surroundings.step)
        try:
            with Engine(registry, workers=1, journal=self.journal.kept if self.journal else None) as engine:
                engine.add_recipe(linear)
                if self.journal is None:
                    engine.start_plan(linear.full_name)
                    engine.run()
                else:
                    with watched(self.surroundings.request, self.journal.stopped):
                        self.journal.begin(engine, linear.full_name, restored=self._restored, cut_off=self._cut_off)
                        engine.run()
                return engine.plans[0].state
        except JournalLostError as error:
            from kommandir.xn.run_journal import unwritable

            raise unwritable(error) from error

    def _restored(self) -> None:
        """Know again what the run that was killed knew."""
        self.notes.read()
        self.surroundings.restore(self.notes.others)
        self.last = next((ended.result for ended in self.notes.ended.values() if not ended.result.good), GOOD)
        self.notes.resumed(self.events)

    def _cut_off(self, plan: Plan, step: str, inputs: dict[str, Any]) -> Outcome | None:
        """What becomes of the item that was under way."""
        left = self.notes.left_off(key_of(plan, step, inputs))
        if left is None or (isinstance(left, Begun) and left.again):
            return None
        if not isinstance(left, Begun):
            return Outcome("done") if left.result.good else Outcome("error", errors=[recipe.error_of(left.result)])
        result = killed(left, self.surroundings.request.context)
        for line in result.failures[0].message.splitlines():
            self.events.emit("output", step=step, stream="stderr", line=line)
        self._ended(left, result, 0.0)
        return interrupted(plan, step, result.failures[0].message, exit_code=result.exit_code, log=result.log)

    def perform(
        self, action: Callable[[Item, Surroundings], StepResult], item: Item, inputs: Mapping[str, Any]
    ) -> StepResult:
        step, started = self.surroundings.step(item), time.monotonic()
        target = item.kind.target
        begun = begun_now(item, inputs, name=step, base=step, operation=target, kind=item.kind.name)
        self.notes.begin(begun)
        self.surroundings.mark = begun.mark
        self.events.emit(
            "step_started",
            step=step,
            kind=begun.kind,
            name=begun.title,
            index=self.place[item.index],
            total=len(self.items),
        )
        result = self._attempted(action, item)
        self._ended(begun, result, time.monotonic() - started)
        return result

    def _ended(self, begun: Begun, result: StepResult, seconds: float) -> None:
        self.last = result
        told = {
            "step": begun.name,
            "kind": begun.kind,
            "name": begun.title,
            "outcome": result.word,
            "exit_code": result.exit_code,
            "seconds": round(seconds, 3),
            "log": result.log,
        }
        self.notes.end(begun, result, told)
        self.events.emit("step_finished", **told)

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
