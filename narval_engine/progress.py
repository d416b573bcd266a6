"""What follows in a plan from a step that ended or a transition that fired, by its structure alone (manual II.4).

No element is looked at here and nothing is decided: the same call on the same plan always does the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from narval_engine.plans import (
    DONE,
    END,
    FAIL,
    FAILED_END,
    FIRED,
    HISTORY,
    IMPOSSIBLE,
    KILLED,
    READY,
    RUNNING,
    TODO,
    Plan,
)

_FINAL = frozenset({FIRED, IMPOSSIBLE, FAIL})


class Agenda:
    """What there is to do next, filled by the functions of this module.

    ``quick`` and ``queued`` are steps to start (those that need no worker, those that do), ``evaluate`` transitions
    whose in-steps are all over, ``touched`` plans that may have come to their end, ``skipped`` steps that have become
    impossible.
    """

    __slots__ = ("evaluate", "queued", "quick", "skipped", "touched")

    def __init__(self) -> None:
        self.quick: deque[tuple[Plan, int]] = deque()
        self.queued: deque[tuple[Plan, int]] = deque()
        self.evaluate: deque[tuple[Plan, int]] = deque()
        self.touched: deque[Plan] = deque()
        self.skipped: deque[tuple[Plan, int]] = deque()


def begin(plan: Plan, agenda: Agenda) -> None:
    """The plan starts: its first step is ready."""
    plan.state = RUNNING
    _make_ready(plan, plan.program.start, agenda)


def _make_ready(plan: Plan, number: int, agenda: Agenda) -> None:
    plan.step_states[number] = READY
    plan.active += 1
    if plan.program.steps[number].quick:
        agenda.quick.append((plan, number))
    else:
        agenda.queued.append((plan, number))


def withdraw(plan: Plan, number: int) -> None:
    """A step that was ready will not be started."""
    plan.step_states[number] = TODO
    plan.active -= 1


def finish_step(plan: Plan, number: int, state: str, agenda: Agenda) -> None:
    """The step ended in this state; the transitions out of it come nearer, or become impossible."""
    plan.step_states[number] = state
    plan.active -= 1
    if plan.state == RUNNING:
        program = plan.program
        if number == program.end:
            if state == DONE:
                plan.state = END
            else:
                fail(plan, agenda)
        else:
            good = state == DONE
            states = plan.transition_states
            for transition, flagged in program.steps[number].ways_out:
                if states[transition] in _FINAL:
                    continue
                if flagged is good or state == KILLED:
                    make_impossible(plan, transition, agenda)
                else:
                    plan.unresolved[transition] -= 1
                    if plan.unresolved[transition] == 0:
                        agenda.evaluate.append((plan, transition))
    if plan.active == 0 and plan.state != RUNNING:
        agenda.touched.append(plan)


def fire(plan: Plan, number: int, agenda: Agenda) -> None:
    """The transition fires: its in-steps are left, its out-steps ready, what competed with it impossible."""
    program = plan.program
    transition = program.transitions[number]
    plan.transition_states[number] = FIRED
    states = plan.step_states
    for step, _flagged in transition.links:
        if states[step] == DONE:
            states[step] = HISTORY
    for step in transition.outs:
        if states[step] == TODO:
            plan.entered[step] = number
            _make_ready(plan, step, agenda)
    if transition.competes:
        for step, _flagged in transition.links:
            _close_ways(plan, program.steps[step].outgoing, number, agenda)
    for step in transition.outs:
        if len(program.steps[step].incoming) > 1:
            _close_ways(plan, _overtaken(plan, step), number, agenda)


def _close_ways(plan: Plan, ways: Iterable[int], but: int, agenda: Agenda) -> None:
    for number in ways:
        if number != but:
            make_impossible(plan, number, agenda)


def _overtaken(plan: Plan, step: int) -> list[int]:
    """Transitions into the step that would start nothing any more."""
    program, states = plan.program, plan.step_states
    return [
        number
        for number in program.steps[step].incoming
        if not any(states[out] == TODO for out in program.transitions[number].outs)
    ]


def make_impossible(plan: Plan, number: int, agenda: Agenda) -> None:
    """The transition can never fire; nor can whatever is only reached through it. If that is the end step, it fails."""
    program, states = plan.program, plan.transition_states
    waiting = [number]
    while waiting:
        at = waiting.pop()
        if states[at] in _FINAL:
            continue
        states[at] = IMPOSSIBLE
        for step in program.transitions[at].outs:
            plan.open_ways[step] -= 1
            if plan.open_ways[step] == 0 and plan.step_states[step] == TODO:
                plan.step_states[step] = IMPOSSIBLE
                agenda.skipped.append((plan, step))
                waiting.extend(program.steps[step].outgoing)
    if plan.step_states[program.end] == IMPOSSIBLE:
        fail(plan, agenda)


def fail(plan: Plan, agenda: Agenda) -> None:
    """The plan is failing: no new step becomes ready, those that are ready or run go on to their end."""
    if plan.state == RUNNING:
        plan.state = FAILED_END
        agenda.touched.append(plan)


def potentially_fireable(plan: Plan) -> list[int]:
    """Transitions whose in-steps are all over as they have to be, and that are neither fired nor impossible."""
    if plan.state != RUNNING:
        return []
    return [
        number
        for number, state in enumerate(plan.transition_states)
        if state not in _FINAL and plan.unresolved[number] == 0
    ]
