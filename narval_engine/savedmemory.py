"""Memory as XML, plans included (manual II.1.2, II.2.1): written at any time, read when an engine begins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from narval_engine import encoding, recipewriting, xmlelements
from narval_engine.elements import Element, ErrorElement
from narval_engine.engine import Engine
from narval_engine.machine import Call, repeated
from narval_engine.places import Mistake, RecipeError
from narval_engine.plans import (
    PLAN_STATES,
    READY,
    RUNNING,
    STEP_STATES,
    TODO,
    TRANSITION_STATES,
    WAIT_CONDITION,
    WAIT_STEP,
    WAIT_TIME,
    Plan,
)
from narval_engine.progress import begin, potentially_fireable
from narval_engine.xmltext import quoteattr
from narval_engine.xmltree import OWN, Node

_RECORD = "record"
#: Of table 12; what a plan has of them and its recipe has too must be the same.
_ATTRIBUTES = (
    *("recipename", "start_step", "end_step", "restart", "decay"),
    *("eid", "parent_plan", "parent_step", "state"),
)


def write(engine: Engine, path: Path) -> None:
    """Writes the memory of an engine to a file, whole or not at all. Raises encoding.EncodingError, OSError."""
    lines = ["<?xml version='1.0' encoding='utf-8'?>", f'<memory xmlns:{OWN[:-1]}="urn:narval">']
    everything = sorted(engine.memory, key=lambda element: element.eid or 0)
    lines += [recipewriting.written(recipe) for _name, recipe in sorted(engine.recipes.items())]
    lines += [f"  {xmlelements.written(element)}" for element in everything if not type(element).private]
    for element in everything:
        if isinstance(element, Plan):
            lines += _plan_lines(element)
    lines.append("</memory>\n")
    text = "\n".join(lines)
    if path.exists() and not path.is_file():
        # A device or a pipe: to be written to, and not to be replaced.
        path.write_text(text, encoding="utf-8")
    else:
        _replace(path.resolve(), text)


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _plan_lines(plan: Plan) -> Iterator[str]:
    program = plan.program
    said = {
        "recipename": plan.name,
        "start_step": program.steps[program.start].id,
        "end_step": program.steps[program.end].id,
        "restart": "yes" if plan.recipe.restart else "no",
        "decay": plan.recipe.decay,
        "eid": plan.eid,
        "parent_plan": plan.parent_plan,
        "parent_step": plan.parent_step,
        "state": plan.state,
        f"{OWN}{_RECORD}": encoding.value_text(_record(plan)),
    }
    yield f"  <plan{_attributes(said)}>"
    for step, state in zip(program.steps, plan.step_states, strict=True):
        own = {"id": step.id, "type": step.source.type, "target": step.source.target, f"{OWN}state": state}
        yield f"    <step{_attributes(own)}/>"
    for transition, state in zip(program.transitions, plan.transition_states, strict=True):
        yield f"    <transition{_attributes({'id': transition.id, 'priority': transition.priority, 'state': state})}/>"
    yield "    <elements>"
    yield from (f"      <element eid={quoteattr(str(element.eid))}/>" for element in plan.elements)
    yield "    </elements>"
    yield "  </plan>"


def _attributes(said: dict[str, Any]) -> str:
    return "".join(f" {name}={quoteattr(str(value))}" for name, value in said.items() if value is not None)


def _record(plan: Plan) -> dict[str, Any]:
    """What the manual's attributes have no place for: who made and led to what."""
    return {
        "produced": [[step, [element.eid for element in made]] for step, made in plan.produced.items()],
        "entered": [list(pair) for pair in plan.entered.items()],
        "validated": [[number, [element.eid for element in found]] for number, found in plan.validated.items()],
        "failures": [[error.eid, step] for error, step in plan.failures],
        "due": [list(pair) for pair in plan.due.items()],
        "ended_at": plan.ended_at,
        "restarted": plan.restarted,
        "cancelled": plan.cancelled,
    }


def reserve(engine: Engine, nodes: list[Node]) -> None:
    """Keeps the numbers of saved plans for them."""
    memory = engine.memory
    for node in nodes:
        memory.next_eid = max(memory.next_eid, _eid(node) + 1)


def _eid(node: Node) -> int:
    eid = node.attributes.get("eid", "")
    return int(eid) if eid.isascii() and eid.isdigit() else 0


def restore(engine: Engine, nodes: list[Node]) -> None:
    """Brings back the plans of a memory whose elements are there already, and follows them up.

    A step that was running has been interrupted. Raises RecipeError with all that does not fit.
    """
    mistakes: list[Mistake] = []
    made: list[Plan] = []
    # Whoever called a plan is older than it.
    for node in sorted(nodes, key=_eid):
        try:
            made.append(_plan(engine, node))
        except (KeyError, ValueError, IndexError, TypeError) as error:
            mistakes.append(Mistake(f"the plan cannot be brought back: {error}", node.place))
    if mistakes:
        raise RecipeError(mistakes)
    for plan in made:
        if plan.state == READY:
            begin(plan, engine.machine.agenda)
        else:
            _go_on(engine, plan)
    engine.machine.settle()
    engine.flush()


def _plan(engine: Engine, node: Node) -> Plan:
    world = engine.machine.world
    plan, parent, number = _begun(engine, node)
    if "eid" in node.attributes:
        plan.eid = int(node.attributes["eid"])
    eid = world.memory.number(plan)
    if not world.memory.put(plan):
        raise ValueError(f"there is an element with the eid {eid}")
    world.plans[eid] = plan
    if parent is not None:
        parent.children[number] = plan
    plan.state = _known("plan", node.attributes.get("state", READY), PLAN_STATES)
    _states(plan, node)
    _recorded(plan, encoding.value_from(node.own.get(_RECORD, "{}")), lambda eid: _there(engine, eid))
    for child in (each for part in node.children if part.tag == "elements" for each in part.children):
        element = _there(engine, int(child.attributes["eid"]))
        if not element.outdated:
            plan.context.add(element)
    return plan


def _begun(engine: Engine, node: Node) -> tuple[Plan, Plan | None, int]:
    """The plan of a node as it was made, with its parent and the number of the step there that it is the target of."""
    unknown = [name for name in node.attributes if name not in _ATTRIBUTES]
    if unknown:
        raise ValueError(f"unknown attribute {unknown[0]!r} of <plan>; allowed are {', '.join(_ATTRIBUTES)}")
    name = node.attributes.get("recipename", "")
    program = engine.machine.programs.get(name)
    if program is None:
        raise ValueError(f"there is no recipe {name!r}")
    parent, number = None, -1
    if "parent_plan" in node.attributes:
        said, step = node.attributes["parent_plan"], node.attributes.get("parent_step", "")
        parent = engine.machine.world.plans.get(int(said))
        if parent is None or step not in parent.program.step_numbers:
            raise ValueError(f"there is no step {step!r} of a plan {said}, of which it is the target")
        number = parent.program.step_numbers[step]
    plan = Plan(program, parent, number)
    for name, own in (("start_step", plan.start_step), ("end_step", plan.end_step)):
        if node.attributes.get(name, own) != own:
            raise ValueError(f"its {name} is {node.attributes[name]!r}, and {own!r} in the recipe")
    return plan, parent, number


def _known(what: str, state: str, states: tuple[str, ...]) -> str:
    if state not in states:
        raise ValueError(f"the state of a {what} is {state!r}; it is one of {', '.join(states)}")
    return state


def _there(engine: Engine, eid: int) -> Element:
    element = engine.memory.get(eid)
    if element is None:
        raise ValueError(f"element {eid} is not there")
    return element


def _states(plan: Plan, node: Node) -> None:
    steps = {
        child.attributes.get("id"): child.own.get("state") or child.attributes.get("state")
        for child in node.children
        if child.tag == "step"
    }
    ways = {child.attributes.get("id"): child.attributes.get("state") for child in node.children}
    plan.step_states = [_known("step", steps.get(step.id) or TODO, STEP_STATES) for step in plan.program.steps]
    plan.transition_states = [
        _known("transition", ways.get(each.id) or WAIT_STEP, TRANSITION_STATES) for each in plan.program.transitions
    ]
    over = {"done", "history", "error", "failed", "killed"}
    for transition in plan.program.transitions:
        open_links = [step for step, _flagged in transition.links if plan.step_states[step] not in over]
        plan.unresolved[transition.number] = len(open_links)
    for step in plan.program.steps:
        plan.open_ways[step.number] = sum(plan.transition_states[way] != "impossible" for way in step.incoming)
    plan.active = sum(state in {READY, RUNNING} for state in plan.step_states)


def _recorded(plan: Plan, record: dict[str, Any], there: Any) -> None:
    plan.produced = {step: [there(eid) for eid in made] for step, made in record.get("produced", ())}
    plan.entered = dict(record.get("entered", ()))
    plan.validated = {way: tuple(there(eid) for eid in found) for way, found in record.get("validated", ())}
    for eid, step in record.get("failures", ()):
        error = there(eid)
        if not isinstance(error, ErrorElement):
            raise ValueError(f"element {eid} is no error")
        plan.failures.append((error, step))
    plan.due = dict(record.get("due", ()))
    plan.ended_at, plan.cancelled = record.get("ended_at"), record.get("cancelled")
    plan.restarted = bool(record.get("restarted"))


def _go_on(engine: Engine, plan: Plan) -> None:
    from narval_engine.resuming import interrupted

    machine = engine.machine
    world = machine.world
    for number, due in plan.due.items():
        if plan.transition_states[number] == WAIT_TIME:
            world.alarm(due, plan, number)
    if plan.ended_at is not None and plan.recipe.decay is not None:
        world.alarm(plan.ended_at + plan.recipe.decay, plan, -1)
    for number in potentially_fireable(plan):
        if plan.transition_states[number] != WAIT_TIME:
            if plan.transition_states[number] != WAIT_STEP:
                plan.transition_states[number] = WAIT_CONDITION
            machine.agenda.evaluate.append((plan, number))
    for number, state in enumerate(plan.step_states):
        step = plan.program.steps[number]
        if state == READY:
            (machine.agenda.quick if step.quick else machine.agenda.queued).append((plan, number))
        elif state == RUNNING and not step.is_recipe:
            call = Call(plan, number, repeated(step, {entry.id: None for entry in step.inputs})[:1])
            machine.call_ended(call, 0, interrupted(plan, step.id))
    machine.agenda.touched.append(plan)
