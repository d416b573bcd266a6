"""The state of an engine, and how each fact changes it. Live and when a journal is replayed, this is the only way.

A fact is applied without looking at conditions or asking anybody: the decisions were made before it was written.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from narval_engine import progress
from narval_engine.elements import Element, ErrorElement
from narval_engine.memory import Memory
from narval_engine.plans import FAIL, RUNNING, WAIT_CONDITION, WAIT_TIME, Plan
from narval_engine.waiting import WaitingRoom


class Fact(NamedTuple):
    """Something that happened. ``number`` is that of the step or transition; ``detail`` depends on the kind."""

    kind: str
    plan: Plan | None = None
    number: int = -1
    elements: tuple[Element, ...] = ()
    detail: Any = None


def elements_in(assigned: dict[str, Any]) -> Iterator[Element]:
    """The elements that were assigned to inputs, in their order."""
    for value in assigned.values():
        if isinstance(value, Element):
            yield value
        elif value is not None:
            yield from value


class World:
    """Memory and plans, what is to be done next, and who waits for what."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.plans: dict[int, Plan] = {}
        self.agenda = progress.Agenda()
        self.room = WaitingRoom()
        #: Elements that came into memory, and into a context, and have not been offered to those who wait.
        self.fresh: deque[Element] = deque()
        self.joined: deque[tuple[Plan, Element]] = deque()
        #: (seconds since the epoch, order, plan, transition) of times that are waited for; of plans that decay, -1.
        self.alarms: list[tuple[float, int, Plan, int]] = []
        self.decays: list[tuple[float, int, Plan, int]] = []
        self._order = 0
        #: When each element was last brought or used, where anybody wants to know.
        self.touched: dict[int, float] | None = None
        #: The states in which plans ended that are forgotten.
        self.forgotten: set[str] = set()
        self.now = 0.0

    def apply(self, fact: Fact) -> None:
        """Changes the state as the fact says."""
        getattr(self, f"_{fact.kind}")(fact)

    def take(self, plan: Plan | None, elements: Iterable[Element]) -> None:
        """Puts numbered elements into memory where they are new, and into the plan's context."""
        for element in elements:
            if self.touched is not None:
                self.touched[element.eid or 0] = self.now
            if self.memory.put(element):
                self.fresh.append(element)
                if plan is not None:
                    plan.context.add(element)
            elif plan is not None and not element.outdated and plan.context.add(element) and self.room.limited:
                self.joined.append((plan, element))

    def alarm(self, when: float, plan: Plan, number: int) -> None:
        """Has the plan's transition (or its decay, -1) come up at this time."""
        self._order += 1
        heapq.heappush(self.alarms if number >= 0 else self.decays, (when, self._order, plan, number))

    def next_alarm(self) -> float | None:
        """When the next time comes that is still waited for; those that nobody waits for any more are thrown out."""
        alarms = self.alarms
        while alarms:
            when, _order, plan, number = alarms[0]
            if plan.state == RUNNING and plan.transition_states[number] == WAIT_TIME:
                return when
            heapq.heappop(alarms)
        return None

    def _mark(self, element: Element, key: tuple[str, str]) -> None:
        if element.used_by is None:
            element.used_by = set()
        element.used_by.add(key)

    def _outdate(self, plan: Plan, element: Element) -> None:
        self.memory.outdate(element)
        for holder in plan.lineage():
            holder.context.discard(element)

    # Each of the following applies the fact of its name.

    def _plan_made(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        self.memory.put(plan)
        # A plan is an element too, and others may wait for one, or for its end.
        self.fresh.append(plan)
        self.plans[plan.eid or 0] = plan
        if plan.parent is not None:
            plan.parent.children[plan.parent_number] = plan
        starter, restarted = fact.detail["starter"], fact.detail["restarted"]
        if starter is not None:
            self.forget(starter)
        if restarted is not None:
            restarted.restarted = True
        self.take(plan, fact.elements)
        progress.begin(plan, self.agenda)

    def _step_started(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        plan.step_states[fact.number] = RUNNING
        assigned = fact.detail
        if not assigned:
            return
        self.take(plan, elements_in(assigned))
        for entry in plan.program.steps[fact.number].inputs:
            if entry.pattern.use or entry.outdates:
                for element in elements_in({"": assigned[entry.id]}):
                    if entry.pattern.use:
                        self._mark(element, entry.pattern.key)
                    if entry.outdates:
                        self._outdate(plan, element)

    def _step_ended(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        if fact.elements:
            self._bring(plan, fact)
        progress.finish_step(plan, fact.number, fact.detail, self.agenda)

    def _bring(self, plan: Plan, fact: Fact) -> None:
        step = plan.program.steps[fact.number].id
        for element in fact.elements:
            if element.made_by_plan is None and element not in self.memory:
                element.made_by_plan, element.made_by_step = plan.eid, step
            if isinstance(element, ErrorElement):
                plan.failures.append((element, step))
        self.take(plan, fact.elements)
        plan.produced[fact.number] = list(fact.elements)

    def _call_ended(self, fact: Fact) -> None:
        """One call of a repeated step came back; only the journal has to know."""

    def _called_back(self, fact: Fact) -> None:
        """The callbacks of a step, or of the plan, were called."""
        assert fact.plan is not None
        fact.plan.called_back |= {fact.number}

    def _transition_fired(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        if fact.elements:
            self.take(plan, fact.elements)
            plan.validated[fact.number] = fact.elements
            conditions = plan.program.transitions[fact.number].conditions
            for pattern, element in zip(conditions, fact.elements, strict=True):
                if pattern.use:
                    self._mark(element, pattern.key)
        progress.fire(plan, fact.number, self.agenda)

    def _transition_impossible(self, fact: Fact) -> None:
        assert fact.plan is not None
        progress.make_impossible(fact.plan, fact.number, self.agenda)

    def _time_set(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        plan.transition_states[fact.number] = WAIT_TIME
        plan.due[fact.number] = fact.detail
        self.alarm(fact.detail, plan, fact.number)

    def _time_reached(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        plan.transition_states[fact.number] = WAIT_CONDITION
        self.agenda.evaluate.append((plan, fact.number))

    def _plan_failed(self, fact: Fact) -> None:
        """The plan is failing; ``elements`` are its own errors, ``detail`` the reason if it was cancelled.

        ``number`` is the error transition whose conditions were not met, if that is why.
        """
        plan = fact.plan
        assert plan is not None
        if fact.number >= 0:
            plan.transition_states[fact.number] = FAIL
        for error in fact.elements:
            error.made_by_plan = plan.eid
            assert isinstance(error, ErrorElement)
            plan.failures.append((error, None))
        self.take(plan, fact.elements)
        if fact.detail is not None:
            plan.cancelled = fact.detail
        progress.fail(plan, self.agenda)

    def _step_withdrawn(self, fact: Fact) -> None:
        assert fact.plan is not None
        progress.withdraw(fact.plan, fact.number)

    def _plan_ended(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        plan.state, plan.ended_at = fact.detail
        self.fresh.append(plan)
        plan.due.clear()
        decay = plan.recipe.decay
        if decay is not None and plan.ended_at is not None:
            self.alarm(plan.ended_at + decay, plan, -1)

    def _plan_forgotten(self, fact: Fact) -> None:
        plan = fact.plan
        assert plan is not None
        for element in (*fact.elements, plan):
            self.forget(element)
        self.plans.pop(plan.eid or 0, None)
        self.forgotten.add(plan.state)

    def _element_added(self, fact: Fact) -> None:
        """From outside, or with ``detail`` (plan, step) an error of the engine's own."""
        self.take(fact.plan, fact.elements)

    def _element_removed(self, fact: Fact) -> None:
        for element in fact.elements:
            self.forget(element)

    def _elements_changed(self, fact: Fact) -> None:
        for element in fact.elements:
            self.memory.index.changed(element)
            for plan in self.plans.values():
                plan.context.changed(element)
            if not element.outdated:
                self.fresh.append(element)

    def forget(self, element: Element) -> None:
        """Takes an element out of memory and out of every context."""
        self.memory.drop(element)
        if self.touched is not None:
            self.touched.pop(element.eid or 0, None)
        for plan in self.plans.values():
            plan.context.discard(element)

    def unused_since(self, when: float) -> list[Element]:
        """Elements that nothing has brought or used since then, and that no live plan has in its context."""
        held = {eid for plan in self.live_plans() for eid in plan.context.elements}
        old = [eid for eid, last in (self.touched or {}).items() if last <= when and eid not in held]
        return [element for eid in old if (element := self.memory.get(eid)) is not None and not type(element).private]

    def live_plans(self) -> list[Plan]:
        """Plans that are neither done nor failed, oldest first."""
        return [plan for plan in self.plans.values() if not plan.over]


def unhandled(plan: Plan) -> bool:
    """Whether an error of the plan is its own, or of a step that no transition has left."""
    states = plan.transition_states
    return any(
        step is None or not any(states[number] == "fired" for number in _ways(plan, step))
        for _error, step in plan.failures
    )


def _ways(plan: Plan, step: str) -> tuple[int, ...]:
    return plan.program.steps[plan.program.step_numbers[step]].outgoing
