"""How a run of an action ended, and whether what it returned keeps to the prototype (manual I.5.3, I.5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from narval_engine.elements import Element, ErrorElement
from narval_engine.plans import DONE, ERROR, FAILED, KILLED, Plan
from narval_engine.programs import OutputProgram, StepProgram

#: An action may return its error under this id although no prototype declares it.
ERROR_ID = "error"


class StepKilledError(BaseException):
    """The step reached a limit or was ended from outside; no on-error transition answers that.

    A BaseException, so that no action that catches its own errors swallows it.
    """

    def __init__(self, message: str, kind: str = "killed") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class Outcome:
    """What came of one call: a state (done, error, failed or killed), outputs in order, and errors."""

    state: str = DONE
    outputs: list[Element] = field(default_factory=list)
    errors: list[ErrorElement] = field(default_factory=list)


def failure(kind: str, message: str, **data: Any) -> Outcome:
    """The engine found something wrong with the step itself."""
    return Outcome(FAILED, [], [ErrorElement(message, kind, **data)])


def never_begun(reason: str) -> Outcome:
    """The call was not made, because its plan was cancelled."""
    return of_exception(StepKilledError(reason, "cancelled"))


def timed_out(plan: str, step: StepProgram, limit: float) -> Outcome:
    """The call took longer than the step's deadline."""
    message = f"step {step.id!r} of {plan} ({step.source.target}) took longer than {limit:g} s"
    return Outcome(ERROR, [], [ErrorElement(message, "timeout", seconds=limit)])


def of_exception(error: BaseException) -> Outcome:
    """The action raised: an error element of the exception's name, with its traceback (killed at a resource limit)."""
    import traceback

    trace = "".join(traceback.format_exception(error))
    if isinstance(error, StepKilledError):
        return Outcome(KILLED, [], [ErrorElement(str(error), error.kind)])
    kind = type(error).__name__
    state = KILLED if isinstance(error, MemoryError) else ERROR
    return Outcome(state, [], [ErrorElement(str(error) or kind, kind, traceback=trace)])


def of_return(value: Any, plan: Plan, step: StepProgram, inputs: dict[str, Any]) -> Outcome:
    """The action returned: its errors, or its outputs if they keep to the prototype, else what is wrong with them."""
    if value is None:
        if not step.outputs:
            return Outcome()
        value = {}
    if not isinstance(value, Mapping):
        return bad_output(plan, step, f"it returned {_kind(value)}, not a mapping of outputs")
    errors = [each for item in value.values() for each in _listed(item) if isinstance(each, ErrorElement)]
    if errors:
        return Outcome(ERROR, [], errors)
    outputs: list[Element] = []
    for name, item in value.items():
        entry = step.outputs.get(name)
        problem = _unexpected(name, item, entry)
        if problem is None and entry is not None:
            elements = [each for each in _listed(item) if each is not None]
            problem = _mismatch(entry, elements, inputs)
            outputs += elements
        if problem is not None:
            return bad_output(plan, step, problem, str(name))
    for entry in step.outputs.values():
        if not entry.optional and not any(each is not None for each in _listed(value.get(entry.id))):
            return bad_output(plan, step, f"it did not return the output {entry.id!r}", entry.id)
    return Outcome(DONE, outputs)


def bad_output(plan: Plan, step: StepProgram, problem: str, output: str | None = None) -> Outcome:
    """What the action returned cannot be taken; the error says in which plan and step, and which output it was."""
    message = f"step {step.id!r} of {plan.name} ({step.source.target}): {problem}"
    which = {} if output is None else {"output": output}
    return failure("bad output", message, plan=plan.eid, step=step.id, **which)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _listed(item: Any) -> list[Any]:
    return list(item) if isinstance(item, list | tuple) else [item]


def _unexpected(name: Any, item: Any, entry: OutputProgram | None) -> str | None:
    if entry is None:
        if name == ERROR_ID:
            return f"output {name!r} is {_kind(item)}, not an error element"
        return f"output {name!r} is not in the prototype"
    wrong = next((each for each in _listed(item) if each is not None and not isinstance(each, Element)), None)
    if wrong is not None:
        return f"output {name!r} is {_kind(wrong)}, not an element"
    if not entry.is_list and len(_listed(item)) > 1:
        return f"output {name!r} takes one element, not {len(item)}"
    return None


def _mismatch(entry: OutputProgram, elements: list[Element], inputs: dict[str, Any]) -> str | None:
    for element in elements:
        for expression in entry.expressions:
            if not expression.matches(element, inputs):
                return f"output {entry.id!r} is {element!r}, which does not match {expression.source}"
    return None


def of_elements(state: str, elements: list[Element]) -> Outcome:
    """An outcome that a journal kept."""
    errors = [each for each in elements if isinstance(each, ErrorElement)]
    return Outcome(state, [each for each in elements if not isinstance(each, ErrorElement)], errors)


def joined(outcomes: list[Outcome]) -> Outcome:
    """The outcome of a step from those of its calls (foreach): what was good stays, the worst state is the step's."""
    if len(outcomes) == 1:
        return outcomes[0]
    worst = max((outcome.state for outcome in outcomes), key=(DONE, ERROR, FAILED, KILLED).index, default=DONE)
    return Outcome(
        worst,
        [element for outcome in outcomes for element in outcome.outputs],
        [error for outcome in outcomes for error in outcome.errors],
    )
