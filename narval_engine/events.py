"""What subscribers are told: the facts of the machine, to be read and not to be changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from narval_engine.elements import Element
from narval_engine.plans import Plan, PlanStep
from narval_engine.world import Fact

_OF_STEPS = frozenset({"step_started", "step_ended", "call_ended", "step_withdrawn", "elements_changed"})
_OF_TRANSITIONS = frozenset({"transition_fired", "transition_impossible", "time_set", "time_reached", "plan_failed"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in an engine.

    ``kind`` is one of plan_made, plan_failed, plan_ended, plan_forgotten, step_started, call_ended, step_ended,
    step_withdrawn, transition_fired, transition_impossible, time_set, time_reached, element_added, element_removed,
    elements_changed. ``elements`` are those that it brought, took or used; for step_ended what the step produced.
    """

    kind: str
    time: float
    plan: Plan | None = None
    step: PlanStep | None = None
    transition: str | None = None
    elements: tuple[Element, ...] = ()


def of_facts(facts: Iterable[Fact], now: float) -> Iterator[Event]:
    """The events of some facts, in their order."""
    for fact in facts:
        plan, number = fact.plan, fact.number
        step = transition = None
        if plan is not None and number >= 0:
            if fact.kind in _OF_STEPS:
                step = PlanStep(plan, plan.program.steps[number])
            elif fact.kind in _OF_TRANSITIONS:
                transition = plan.program.transitions[number].id
        yield Event(fact.kind, now, plan, step, transition, fact.elements)
