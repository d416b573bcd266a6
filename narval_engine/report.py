"""What ``narval run`` prints when it is done: plans with their steps and errors, and memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from narval_engine.elements import Element, attributes_of
from narval_engine.engine import Engine
from narval_engine.plans import DONE, FAILED, Plan

#: Bits of a number that Python does not write as digits, and how many things may be nested in a value.
_LONG, _DEEP = 10_000, 100
_ALL_DONE, _ONE_FAILED, _ONE_WAITS = 0, 1, 3


def exit_code(engine: Engine) -> int:
    """0: all plans are done; 1: one has failed, be it forgotten since; 3: none has failed and one still waits."""
    states = {plan.state for plan in engine.plans} | engine.machine.world.forgotten
    if FAILED in states:
        return _ONE_FAILED
    return _ALL_DONE if states <= {DONE} else _ONE_WAITS


def as_json(engine: Engine) -> str:
    """The report for programs."""
    return json.dumps(report(engine), ensure_ascii=False, indent=2)


def report(engine: Engine) -> dict[str, Any]:
    """Plans in the order in which they were made, and the elements of memory, oldest first."""
    return {
        "plans": [_plan(plan) for plan in sorted(engine.plans, key=lambda plan: plan.eid or 0)],
        "memory": [
            {"eid": element.eid, "type": element.type, "attributes": _plain(attributes_of(element), (element,))}
            for element in sorted(engine.memory, key=lambda element: element.eid or 0)
            if not type(element).private
        ],
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "eid": plan.eid,
        "recipe": plan.name,
        "state": plan.state,
        "parent_plan": plan.parent_plan,
        "steps": dict(zip((step.id for step in plan.program.steps), plan.step_states, strict=True)),
        "errors": [
            {"type": error.type, "message": str(getattr(error, "message", "")), "step": step}
            for error, step in plan.failures
        ],
    }


def _plain(value: Any, inside: tuple[Any, ...] = ()) -> Any:
    """The value in terms of JSON; what JSON has no terms for is shown as text.

    ``inside`` is what holds it: what holds itself, or is nested beyond all reason, is not followed.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and value.bit_length() < _LONG:
        return value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)
    if len(inside) > _DEEP or any(value is each for each in inside):
        return "..."
    return _held(value, (*inside, value))


def _held(value: Any, inside: tuple[Any, ...]) -> Any:
    if isinstance(value, dict):
        return {_text(key): _plain(each, inside) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, inside) for each in value]
    if isinstance(value, set | frozenset):
        return [_plain(each, inside) for each in sorted(value, key=repr)]
    if isinstance(value, Element):
        return {"eid": value.eid, "type": value.type, "attributes": _plain(attributes_of(value), inside)}
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 -- an object of the user's may raise anything, and the report is to be made
        return object.__repr__(value)


def as_text(engine: Engine) -> str:
    """The report for people."""
    return "\n".join(_lines(engine))


def _lines(engine: Engine) -> Iterator[str]:
    for plan in sorted(engine.plans, key=lambda plan: plan.eid or 0):
        inside = f", in plan {plan.parent_plan}" if plan.parent_plan is not None else ""
        waits = ", waits" if plan.waiting else ""
        yield f"plan {plan.eid} {plan.name}: {plan.state}{waits}{inside}"
        for step, state in zip(plan.program.steps, plan.step_states, strict=True):
            yield f"    {state:<10} {step.id} ({step.source.target})"
        for error, where in plan.failures:
            at = f" in {where}" if where else ""
            yield f"    error{at}: {error.type}: {getattr(error, 'message', '')}"
    kept = sorted((each for each in engine.memory if not type(each).private), key=lambda element: element.eid or 0)
    yield f"memory: {len(kept)} element{'' if len(kept) == 1 else 's'}"
    for element in kept:
        marks = " (outdated)" if element.outdated else ""
        yield f"    {element.eid} {element.type} {_short(element)}{marks}".rstrip()


def _short(element: Element) -> str:
    shown = []
    for name, value in attributes_of(element).items():
        text = " ".join(_text(value).split())
        shown.append(f"{name}={text if len(text) <= 60 else text[:57] + '...'}")
    return " ".join(shown)
