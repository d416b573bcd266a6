"""The calls of steps: each told as it begins and ends, its result kept under a name of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kommandir.errors import ExekutirError, ExitCode, UsageError
from kommandir.failure import Failure
from kommandir.playbook import classification
from kommandir.recipes import peons
from kommandir.recipes.actions import ERROR, PEON, Perform
from kommandir.recipes.item import StepItem, of_call
from kommandir.recipes.origin import first_error
from kommandir.recipes.schema import FAIL, NOTHING, ONE, OPERATIONS, Operation
from kommandir.recipes.surroundings import Names, StepSurroundings, prefix_of
from kommandir.xn.call_notes import Begun, CallNotes, begun_now, key_of, killed
from kommandir.xn.command import run_command
from kommandir.xn.playbook import run_playbook
from kommandir.xn.recipe import error_of
from kommandir.xn.request import GOOD, StepResult, outcome_of
from kommandir.xn.surroundings import Surroundings
from kommandir.xn.variable import set_variable
from narval_engine import Element, ErrorElement, Plan, running
from narval_engine.outcomes import Outcome
from narval_engine.resuming import interrupted

#: Seconds to wait for calls that the engine has given up, because their own deadline passed: they are ending.
ENDING = 10.0

_ACTIONS: dict[str, peons.Action] = {
    "variable.set": set_variable,
    "command.run": run_command,
    "ansible.playbook": run_playbook,
    **peons.ACTIONS,
}


class Calls:
    """All calls of one run, from whatever thread."""

    def __init__(self, whole: Surroundings, notes: CallNotes) -> None:
        self.whole, self.notes = whole, notes
        self.events = whole.request.events
        self._names = Names(prefix_of(whole))
        self._changed = threading.Condition()
        self._active = 0
        self._begun = 0
        #: Ends all plans, for a reason.
        self.stop: Callable[[str], object] = lambda _reason: None

    def performing(self, pipelines: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Perform:
        """What the engine calls for each action; ``pipelines`` is that of ``peon.pipelines``."""

        def perform(operation: Operation, inputs: dict[str, Any]) -> Mapping[str, Any]:
            if operation.name == NOTHING:
                return {}
            if operation.name == "peon.pipelines":
                return pipelines(inputs)
            if operation.name == FAIL:
                call = running()
                error = first_error(call.plan, call.step.id) or inputs.get(ERROR)
                if error is not None:
                    return {ERROR: error.copied()}
            with self._counted():
                return self._performed(operation, inputs)

        return perform

    def _counted(self) -> _Active:
        return _Active(self)

    def changed(self, by: int) -> None:
        """A call has begun or ended."""
        with self._changed:
            self._active += by
            self._changed.notify_all()

    def ended(self) -> None:
        """Wait for calls that still run."""
        with self._changed:
            self._changed.wait_for(lambda: not self._active, ENDING)

    def counts(self, name: str) -> tuple[int, StepResult] | None:
        """The failure of a call, which counts from now on; None where nothing is known of such a call."""
        ended = self.notes.ended.get(name)
        if ended is None:
            return None
        if ended.told["outcome"] == "swallowed":
            ended.told["outcome"] = ended.result.word
            self.events.emit("step_finished", **ended.told)
        return ended.order, ended.result

    def interrupted(self) -> Iterator[tuple[int, StepResult]]:
        """The calls that the end of the whole run ended."""
        if self._ending:
            yield from ((ended.order, ended.result) for ended in self.notes.ended.values() if ended.result.stopped)

    def restored(self) -> None:
        """Know again what the run that was killed knew of its calls."""
        self.whole.restore(self.notes.others)
        for begun in self.notes.begun.values():
            self._names.take(begun.base)
        self._begun = len(self.notes.begun)

    def cut_off(self, plan: Plan, step: str, inputs: dict[str, Any]) -> Outcome | None:
        """What becomes of a call that was under way when the run was killed; None: it is made (again)."""
        left = self.notes.left_off(key_of(plan, step, inputs))
        made_by = next(each for each in plan.recipe.steps if each.id == step)
        operation = OPERATIONS[made_by.target]
        if left is None or (isinstance(left, Begun) and left.again):
            return None
        if isinstance(left, Begun):
            return self._killed(left, plan, step)
        if left.result.good:
            # Its elements went with the process. What makes others than this one only looks, and may look again.
            if operation.makes not in ((), ("stage",)):
                return None
            return Outcome("done", [_stage(step, left.begun.peon)] if operation.makes else [])
        if left.begun.attempt < made_by.attempts:
            return None
        return Outcome("error", errors=[_error(left.result, left.begun.name, left.begun.peon)])

    def _killed(self, begun: Begun, plan: Plan, step: str) -> Outcome:
        result = killed(begun, self.whole.request.context)
        for line in result.failures[0].message.splitlines():
            self.events.emit("output", step=begun.name, stream="stderr", line=line)
        handled = _may_be_handled(plan, step, begun.attempt, again=False)
        self._finish(begun, result, 0.0, word="swallowed" if handled else result.word)
        error = _error(result, begun.name, begun.peon)
        return interrupted(plan, step, **error.attributes())

    def told_failure(self, step: str, message: str, outcome: ExitCode) -> tuple[int, StepResult]:
        """A failure that is none of a call, told as if it were one."""
        name = self._names.given(step, "")
        message = self.whole.redactor.text(message)
        failure = Failure(step=name, message=message)
        result = StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,))
        base, key = Names.base(step, ""), (0, name, ())
        begun = Begun(
            name=name, base=base, key=key, attempt=1, mark="", again=True, kind="recipe", title=step, place=""
        )
        self.notes.begin(begun)
        self._start(begun)
        for line in message.splitlines():
            self.events.emit("output", step=name, stream="stderr", line=line)
        return self._finish(begun, result, 0.0, word="failed"), result

    def _performed(self, operation: Operation, inputs: dict[str, Any]) -> Mapping[str, Any]:
        peon: Element | None = inputs.get(PEON) if operation.peons == ONE else None
        name_of_peon = str(peon.attributes().get("name", "")) if peon is not None else ""
        step = running().step
        element = inputs.get(operation.kind.name) if operation.kind else None
        started = time.monotonic()
        place = next((str(each.place) for each in running().plan.recipe.steps if each.id == step.id), "")
        made: list[Element] = []
        mistake: UsageError | None = None
        try:
            item = of_call(operation, element, name_of_peon, place)
        except UsageError as error:
            item, mistake = of_call(operation, None, name_of_peon, place), error
        begun = self._begin(operation, item, inputs)
        try:
            if mistake is not None:
                raise mistake
            result = self._attempted(operation, item, begun, made)
        except ExekutirError as error:
            result = self._of_error(error, begun.name)
        if result.stopped and self._ending:
            self.stop("stopped")  # before the plan learns of it, and an on-error transition takes it for an error
        self._finish(begun, result, time.monotonic() - started, word=self._word(result))
        if not result.good:
            return {ERROR: _error(result, begun.name, name_of_peon)}
        if "stage" in operation.makes:
            made.append(_stage(step.id, name_of_peon))
        return {made[0].type: made} if made else {}

    def _begin(self, operation: Operation, item: StepItem, inputs: Mapping[str, Any]) -> Begun:
        """Note the call, and tell that it begins; one that was cut off has the name again that it had."""
        call = running()
        left = self.notes.left_off(key_of(call.plan, call.step.id, inputs))
        base = Names.base(call.step.id, item.peon)
        name = left.name if isinstance(left, Begun) else self._names.given(call.step.id, item.peon)
        begun = begun_now(
            item, inputs, name=name, base=base, operation=operation.name, kind=item.event_kind, peon=item.peon
        )
        self.notes.begin(begun)
        self._start(begun)
        return begun

    def _attempted(self, operation: Operation, item: StepItem, begun: Begun, made: list[Element]) -> StepResult:
        request, name = self.whole.request, begun.name
        request.cancellation.check(f"starting {item.title}")
        request.deadline.check(f"{item.title} ({item.place}) to start")
        surroundings = StepSurroundings.of(self.whole, item, name, begun.mark)
        if operation.name == "peon.list":
            made += peons.listed(item, surroundings)
            return GOOD
        if operation.name == FAIL:
            outcome = classification.of_step(request.context)
            message = surroundings.text(item, "message") or "the recipe says so"
            failure = Failure(step=name, message=self.whole.redactor.text(message))
            self.events.emit("output", step=name, stream="stderr", line=failure.message)
            return StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,))
        return _ACTIONS[operation.name](item, surroundings)

    def _of_error(self, error: ExekutirError, name: str) -> StepResult:
        outcome = outcome_of(error)
        message = self.whole.redactor.text(str(error))
        for line in message.splitlines():
            self.events.emit("output", step=name, stream="stderr", line=line)
        stopped = outcome in (ExitCode.TIMED_OUT, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
        failure = Failure(step=name, message=message)
        return StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,), stopped=stopped)

    @property
    def _ending(self) -> bool:
        """Whether a signal or a deadline ends the whole run."""
        return self.whole.request.cancellation.requested or self.whole.request.deadline.expired

    def _word(self, result: StepResult) -> str:
        """The outcome as events name it: a failure that may be handled does not count yet."""
        call = running()
        if result.good or self._ending or not _may_be_handled(call.plan, call.step.id, call.attempt):
            return result.word
        return "swallowed"

    def _start(self, begun: Begun) -> None:
        with self._changed:
            self._begun += 1
            index = self._begun
        self.events.emit("step_started", step=begun.name, kind=begun.kind, name=begun.title, index=index, total=0)

    def _finish(self, begun: Begun, result: StepResult, seconds: float, *, word: str) -> int:
        told = {
            "step": begun.name,
            "kind": begun.kind,
            "name": begun.title,
            "outcome": word,
            "exit_code": result.exit_code,
            "seconds": round(seconds, 3),
            "log": result.log,
        }
        ended = self.notes.end(begun, result, told)
        self.events.emit("step_finished", **told)
        return ended.order


class _Active:
    """A call that is under way."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __enter__(self) -> None:
        self._calls.changed(1)

    def __exit__(self, *_raised: object) -> None:
        self._calls.changed(-1)


def _error(result: StepResult, call: str, peon: str) -> ErrorElement:
    """The error element of a call, from which the call is found again."""
    failed = error_of(result)
    return ErrorElement(type=failed.type, **failed.attributes(), call=call, peon=peon)


def _stage(step: str, peon: str) -> Element:
    return Element("stage", stage=step, peon=peon)


def _may_be_handled(plan: Plan, step: str, attempt: int, *, again: bool = True) -> bool:
    """Whether the step is tried again, or an on-error transition leaves it, or a step that called its plan."""
    attempts = next((each.attempts for each in plan.recipe.steps if each.id == step), 1) if again else 1
    if attempt < attempts or any(step in transition.on_error for transition in plan.recipe.transitions):
        return True
    return plan.parent is not None and _may_be_handled(plan.parent, plan.parent_step or "", 1)
