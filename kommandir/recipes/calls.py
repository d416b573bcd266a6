"""The calls of steps: each told as it begins and ends, its result kept under a name of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kommandir.errors import ExekutirError, ExitCode
from kommandir.failure import Failure
from kommandir.playbook import classification
from kommandir.recipes import peons
from kommandir.recipes.actions import ERROR, PEON, Perform
from kommandir.recipes.item import StepItem, of_call
from kommandir.recipes.origin import first_error
from kommandir.recipes.schema import FAIL, NOTHING, ONE, Operation
from kommandir.recipes.surroundings import Names, StepSurroundings, prefix_of
from kommandir.xn.command import run_command
from kommandir.xn.playbook import run_playbook
from kommandir.xn.recipe import error_of
from kommandir.xn.request import GOOD, StepResult, outcome_of
from kommandir.xn.surroundings import Surroundings
from kommandir.xn.variable import set_variable
from narval_engine import Element, ErrorElement, Plan, running

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

    def __init__(self, whole: Surroundings) -> None:
        self.whole = whole
        self.events = whole.request.events
        self._names = Names(prefix_of(whole))
        self._changed = threading.Condition()
        self._active = 0
        self._begun = 0
        #: By name: the order in which they ended, the result, and what events say of it.
        self._ended: dict[str, tuple[int, StepResult, dict[str, Any]]] = {}

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
        if name not in self._ended:
            return None
        order, result, told = self._ended[name]
        if told["outcome"] == "swallowed":
            told["outcome"] = "failed"
            self.events.emit("step_finished", **told)
        return order, result

    def interrupted(self) -> Iterator[tuple[int, StepResult]]:
        """The calls that the end of the whole run ended."""
        request = self.whole.request
        if request.cancellation.requested or request.deadline.expired:
            yield from ((order, result) for order, result, _ in self._ended.values() if result.stopped)

    def told_failure(self, step: str, message: str, outcome: ExitCode) -> tuple[int, StepResult]:
        """A failure that is none of a call, told as if it were one."""
        name = self._names.given(step, "")
        message = self.whole.redactor.text(message)
        failure = Failure(step=name, message=message)
        result = StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,))
        common = {"step": name, "kind": "recipe", "name": step}
        self._start(common)
        for line in message.splitlines():
            self.events.emit("output", step=name, stream="stderr", line=line)
        return self._finish(common, result, 0.0, word="failed"), result

    def _performed(self, operation: Operation, inputs: dict[str, Any]) -> Mapping[str, Any]:
        peon: Element | None = inputs.get(PEON) if operation.peons == ONE else None
        name_of_peon = str(peon.attributes().get("name", "")) if peon is not None else ""
        step = running().step
        name = self._names.given(step.id, name_of_peon)
        element = inputs.get(operation.kind.name) if operation.kind else None
        started = time.monotonic()
        place = next((str(each.place) for each in running().plan.recipe.steps if each.id == step.id), "")
        made: list[Element] = []
        common: dict[str, Any] = {"step": name, "kind": "peon", "name": operation.name}
        try:
            item = of_call(operation, element, name_of_peon, place)
            common |= {"kind": item.event_kind, "name": item.title}
            self._start(common)
            result = self._attempted(operation, item, name, made)
        except ExekutirError as error:
            result = self._of_error(error, name)
        self._finish(common, result, time.monotonic() - started, word=self._word(result))
        if not result.good:
            failed = error_of(result)
            return {ERROR: ErrorElement(failed.message, failed.type, **_data(failed), call=name, peon=name_of_peon)}
        if "stage" in operation.makes:
            made.append(Element("stage", stage=step.id, peon=name_of_peon))
        return {made[0].type: made} if made else {}

    def _attempted(self, operation: Operation, item: StepItem, name: str, made: list[Element]) -> StepResult:
        request = self.whole.request
        request.cancellation.check(f"starting {item.title}")
        request.deadline.check(f"{item.title} ({item.place}) to start")
        surroundings = StepSurroundings.of(self.whole, item, name)
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

    def _word(self, result: StepResult) -> str:
        """The outcome as events name it: a failure that may be handled does not count yet."""
        call = running()
        request = self.whole.request
        ending = request.cancellation.requested or request.deadline.expired
        if result.good or ending or not _may_be_handled(call.plan, call.step.id, call.attempt):
            return result.word
        return "swallowed"

    def _start(self, common: dict[str, Any]) -> None:
        with self._changed:
            self._begun += 1
            index = self._begun
        self.events.emit("step_started", **common, index=index, total=0)

    def _finish(self, common: dict[str, Any], result: StepResult, seconds: float, *, word: str) -> int:
        told = {
            **common,
            "outcome": word,
            "exit_code": result.exit_code,
            "seconds": round(seconds, 3),
            "log": result.log,
        }
        with self._changed:
            order = len(self._ended)
            self._ended[str(common["step"])] = (order, result, told)
        self.events.emit("step_finished", **told)
        return order


class _Active:
    """A call that is under way."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __enter__(self) -> None:
        self._calls.changed(1)

    def __exit__(self, *_raised: object) -> None:
        self._calls.changed(-1)


def _data(error: ErrorElement) -> dict[str, Any]:
    return {name: value for name, value in error.attributes().items() if name != "message"}


def _may_be_handled(plan: Plan, step: str, attempt: int) -> bool:
    """Whether the step is tried again, or an on-error transition leaves it, or a step that called its plan."""
    attempts = next((each.attempts for each in plan.recipe.steps if each.id == step), 1)
    if attempt < attempts or any(step in transition.on_error for transition in plan.recipe.transitions):
        return True
    return plan.parent is not None and _may_be_handled(plan.parent, plan.parent_step or "", 1)
