"""The core of the engine: given what happened outside, it decides what follows, and says so as facts.

Synchronous and free of input and output: no clock but the ``now`` it is given, no thread, no file. The same calls in
the same order make the same facts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from narval_engine import outcomes
from narval_engine.assignment import Slot, UnassignedError, assign, slots_of
from narval_engine.elements import Element, ErrorElement, StartPlan, copy_of
from narval_engine.outcomes import Outcome
from narval_engine.plans import (
    DONE,
    END,
    FAIL,
    FAILED,
    FAILED_END,
    FIREABLE,
    FIRED,
    IMPOSSIBLE,
    READY,
    RUNNING,
    WAIT_CONDITION,
    WAIT_STEP,
    WAIT_TIME,
    Plan,
)
from narval_engine.programs import MEMORY, Program, StepProgram, argument_value
from narval_engine.reach import Reach
from narval_engine.recipes import Computed, Given
from narval_engine.snapshots import Snapshot, changed, snapshot
from narval_engine.world import Fact, World, elements_in, unhandled

#: How deep plans may be nested.
DEPTH = 50
_FINAL = frozenset({FIRED, IMPOSSIBLE, FAIL})


class Call:
    """A step that has started: its action is to be called with each of ``inputs`` (several where it is repeated)."""

    __slots__ = ("before", "inputs", "left", "number", "outcomes", "plan", "step")

    def __init__(self, plan: Plan, number: int, inputs: list[dict[str, Any]]) -> None:
        self.plan = plan
        self.number = number
        self.step: StepProgram = plan.program.steps[number]
        self.inputs = inputs
        self.outcomes: list[Outcome | None] = [None] * len(inputs)
        self.left = len(inputs)
        #: What the elements were before the action could change them.
        self.before: list[tuple[Element, Snapshot]] = []
        if not self.step.simple:
            seen = {id(element): element for given in inputs for element in elements_in(given)}
            self.before = [(element, snapshot(element)) for element in seen.values()]

    def changed(self) -> tuple[Element, ...]:
        """The elements that have other attributes than before."""
        return tuple(element for element, before in self.before if changed(element, before))


class Machine:
    """Plans on a world. ``facts`` collects what was decided; whoever drives the machine takes them from there."""

    def __init__(self, *, strict: bool = False, depth: int = DEPTH, forget_after: float | None = None) -> None:
        self.world = World()
        self.forget_after = forget_after
        if forget_after is not None:
            self.world.touched = {}
        self.programs: dict[str, Program] = {}
        self.facts: list[Fact] = []
        self._strict = strict
        self._depth = depth
        self.agenda = self.world.agenda

    @property
    def now(self) -> float:
        """Seconds since the epoch, as whoever drives the machine said last."""
        return self.world.now

    @now.setter
    def now(self, now: float) -> None:
        self.world.now = now

    def tell(self, fact: Fact) -> None:
        """Writes a fact down and lets it take effect."""
        self.facts.append(fact)
        self.world.apply(fact)

    def number(self, elements: Iterable[Element]) -> tuple[Element, ...]:
        """Gives elements their numbers, which have to be in the fact that brings them."""
        given, memory = tuple(elements), self.world.memory
        # Those that have a number keep it, so none of the others may get it.
        for element in given:
            if element.eid is not None:
                memory.number(element)
        for element in given:
            memory.number(element)
        return given

    # What comes from outside.

    def add_elements(self, elements: Iterable[Element]) -> None:
        """Elements from outside come into memory."""
        self.tell(Fact("element_added", None, -1, self.number(elements)))

    def remove_elements(self, elements: Iterable[Element]) -> None:
        """Elements are taken out of memory and of all contexts."""
        self.tell(Fact("element_removed", None, -1, tuple(elements)))

    def start_plan(
        self,
        program: Program,
        given: Sequence[Given] = (),
        parent: Plan | None = None,
        number: int = -1,
        starter: Element | None = None,
        restarted: Plan | None = None,
    ) -> Plan:
        """Makes a plan and has its first step ready. An argument that cannot be computed fails the plan at once."""
        plan = Plan(program, parent, number)
        self.number([plan])
        elements: list[Element] = []
        errors: list[ErrorElement] = []
        for each in given:
            _compute(each, elements, errors)
        if program.computed:
            self._compute_arguments(plan, errors)
        taken = self.number(elements)
        self.tell(Fact("plan_made", plan, number, taken, {"starter": starter, "restarted": restarted}))
        if errors:
            self.fail(plan, errors[0])
            self._withdraw(plan)
        return plan

    def _compute_arguments(self, plan: Plan, errors: list[ErrorElement]) -> None:
        for step in plan.program.steps:
            if any(isinstance(each, Computed) for each in step.arguments):
                made = plan.computed[step.number] = []
                for each in step.arguments:
                    _compute(each, made, errors)

    def advance(self, now: float) -> None:
        """The time is ``now``: transitions whose time has come may fire, plans that have decayed are forgotten."""
        self.now = max(now, self.now)
        world = self.world
        while (when := world.next_alarm()) is not None and when <= self.now:
            _when, _order, plan, number = heapq.heappop(world.alarms)
            self.tell(Fact("time_reached", plan, number))
        while world.decays and world.decays[0][0] <= self.now:
            self._forget(heapq.heappop(world.decays)[2])
        if self.forget_after is not None:
            unused = self.world.unused_since(self.now - self.forget_after)
            if unused:
                self.remove_elements(unused)
        self.settle()

    def fail(self, plan: Plan, error: ErrorElement, cancelled: str | None = None) -> None:
        """The plan fails with an error of its own, unless it has come to its end already."""
        if plan.state in {RUNNING, FAILED_END}:
            self.tell(Fact("plan_failed", plan, -1, self.number([error]), cancelled))

    def _withdraw(self, plan: Plan) -> None:
        """What is ready in the plan but does not run is not started."""
        for number, state in enumerate(plan.step_states):
            if state == READY:
                self.tell(Fact("step_withdrawn", plan, number))
        self.agenda.touched.append(plan)

    def cancel(self, reason: str) -> None:
        """Every live plan fails with an error of type "cancelled"; steps that run are waited for."""
        for plan in self.world.live_plans():
            self.fail(plan, ErrorElement(f"{plan.name} was cancelled: {reason}", "cancelled", plan=plan.eid), reason)
            self._withdraw(plan)
        self.settle()

    # Steps.

    def next_call(self, *, queued: bool) -> Call | None:
        """Starts the next step that is ready, of those that need a worker or of the others; ``None``: there is none.

        Steps that cannot start, and those whose target is a recipe, are dealt with on the way.
        """
        waiting = self.agenda.queued if queued else self.agenda.quick
        while waiting:
            plan, number = waiting.popleft()
            if plan.step_states[number] == READY:
                call = self._start(plan, number)
                if call is not None:
                    return call
                self.settle()
        return None

    def _start(self, plan: Plan, number: int) -> Call | None:
        step = plan.program.steps[number]
        if step.simple:
            self.tell(Fact("step_started", plan, number, (), None))
            return Call(plan, number, [{}])
        if step.problem is not None:
            self._end(plan, number, outcomes.failure(step.problem[0], step.problem[1], plan=plan.eid, step=step.id))
            return None
        if step.is_recipe:
            self._start_child(plan, number, step)
            return None
        try:
            reach = Reach.of_step(plan, number, self.world.memory.index)
            assigned = assign(slots_of(step.inputs, step.foreach), reach, strict=self._strict)
        except UnassignedError as error:
            self._end(plan, number, _unassigned(plan, step, error))
            return None
        return self._started(plan, number, step, assigned)

    def _started(self, plan: Plan, number: int, step: StepProgram, assigned: dict[str, Any]) -> Call | None:
        for name, value in assigned.items():
            # Arguments are the recipe's own: a plan takes copies.
            if isinstance(value, list):
                assigned[name] = [copy_of(each) if each.eid is None else each for each in value]
            elif value is not None and value.eid is None:
                assigned[name] = copy_of(value)
        taken = self.number(elements_in(assigned))
        self.tell(Fact("step_started", plan, number, taken, assigned))
        call = Call(plan, number, repeated(step, assigned))
        if call.left == 0:
            self._end(plan, number, Outcome())
            return None
        return call

    def _start_child(self, plan: Plan, number: int, step: StepProgram) -> None:
        program = self.programs.get(step.source.target)
        if program is None:
            problem = outcomes.failure("unknown recipe", f"there is no recipe {step.source.target!r}", step=step.id)
            self._end(plan, number, problem)
        elif sum(1 for _each in plan.lineage()) >= self._depth:
            message = f"plans of {program.name} are nested deeper than {self._depth}"
            self._end(plan, number, outcomes.failure("recursion", message, step=step.id))
        else:
            self.tell(Fact("step_started", plan, number, (), None))
            self.make_child(plan, number)

    def make_child(self, plan: Plan, number: int) -> None:
        """Makes the plan of a recipe step that has started; what the step has as arguments goes into its context."""
        step = plan.program.steps[number]
        arguments = plan.computed.get(number, step.arguments)
        copies = [copy_of(each) if isinstance(each, Element) else each for each in arguments]
        self.start_plan(self.programs[step.source.target], copies, plan, number)

    def call_ended(self, call: Call, at: int, outcome: Outcome) -> None:
        """One call of a started step came back; with the last one the step has ended."""
        call.outcomes[at] = outcome
        call.left -= 1
        if call.step.foreach is not None:
            brought = self.number((*outcome.outputs, *outcome.errors))
            self.tell(Fact("call_ended", call.plan, call.number, brought, (at, outcome.state)))
        if call.left == 0:
            self.all_ended(call)

    def all_ended(self, call: Call) -> None:
        """All calls of a started step have come back: the step has ended."""
        changed = call.changed()
        if changed:
            self.tell(Fact("elements_changed", call.plan, call.number, changed))
        done = [each for each in call.outcomes if each is not None]
        self._end(call.plan, call.number, done[0] if len(done) == 1 else outcomes.joined(done))
        self.settle()

    def _end(self, plan: Plan, number: int, outcome: Outcome) -> None:
        # An action may return one element twice.
        brought = {id(element): element for element in (*outcome.outputs, *outcome.errors)}.values()
        self.tell(Fact("step_ended", plan, number, self.number(brought) if brought else (), outcome.state))

    # What follows.

    def settle(self) -> None:
        """Follows up everything until only steps that are ready, and waits, are left."""
        agenda, world = self.agenda, self.world
        while True:
            if agenda.evaluate:
                self._evaluate_next()
            elif world.fresh:
                self._offer(world.fresh.popleft())
            elif world.joined:
                self._offer_nearer(*world.joined.popleft())
            elif agenda.touched:
                self.close(agenda.touched.popleft())
            else:
                return

    def _offer(self, element: Element) -> None:
        if element.type == "start-plan" and not element.outdated:
            self._start_asked(element)
        elif self.world.room and not element.outdated:
            self.agenda.evaluate.extend(self.world.room.concerned(element, lambda _place: True))

    def _offer_nearer(self, plan: Plan, element: Element) -> None:
        near = self.world.room.concerned(element, lambda place: place[2].last < MEMORY and plan in place[0].lineage())
        self.agenda.evaluate.extend(near)

    def _start_asked(self, element: Element) -> None:
        name = str(getattr(element, "recipe", ""))
        program = self.programs.get(name)
        if program is None:
            self.remove_elements([element])
            error = ErrorElement(f"start-plan names the unknown recipe {name!r}", "unknown recipe", recipe=name)
            self.add_elements([error])
            return
        given: Sequence[Element] = element.elements if isinstance(element, StartPlan) else ()
        self.start_plan(program, tuple(given), starter=element)

    def _evaluate_next(self) -> None:
        """Evaluates the transitions of one plan that are next; together, because they may compete."""
        waiting = self.agenda.evaluate
        plan, number = waiting.popleft()
        numbers = [number]
        while waiting and waiting[0][0] is plan:
            numbers.append(waiting.popleft()[1])
        self._evaluate(plan, numbers)

    def _evaluate(self, plan: Plan, numbers: list[int]) -> None:
        fireable: list[tuple[int, tuple[Element, ...]]] = []
        unmet: list[int] = []
        for number in dict.fromkeys(numbers):
            if plan.state != RUNNING:
                return
            if plan.transition_states[number] in _FINAL or not self._in_time(plan, number):
                continue
            assigned = self._validated(plan, number)
            if assigned is None:
                unmet.append(number)
            else:
                plan.transition_states[number] = FIREABLE
                fireable.append((number, assigned))
        if fireable:
            self._fire(plan, fireable)
        for number in unmet:
            if plan.state == RUNNING and plan.transition_states[number] not in _FINAL:
                self._not_met(plan, number)

    def _in_time(self, plan: Plan, number: int) -> bool:
        """Whether the time conditions hold, now or since they once did; else the transition waits, or is impossible."""
        schedules = plan.program.transitions[number].times
        if not schedules or plan.transition_states[number] != WAIT_STEP:
            return plan.transition_states[number] != WAIT_TIME
        times = [due for schedule in schedules if (due := schedule.next(self.now)) is not None]
        if not times:
            self.tell(Fact("transition_impossible", plan, number))
            return False
        if min(times) <= self.now:
            return True
        self.tell(Fact("time_set", plan, number, (), min(times)))
        return False

    def _validated(self, plan: Plan, number: int) -> tuple[Element, ...] | None:
        """An element for each condition, ``None`` if one goes without."""
        conditions = plan.program.transitions[number].conditions
        if not conditions:
            return ()
        slots = [Slot(str(at), pattern) for at, pattern in enumerate(conditions)]
        try:
            assigned = assign(slots, Reach.of_transition(plan, number, self.world.memory.index))
        except UnassignedError:
            return None
        return tuple(assigned[slot.name] for slot in slots)

    def _fire(self, plan: Plan, fireable: list[tuple[int, tuple[Element, ...]]]) -> None:
        transitions = plan.program.transitions
        fireable.sort(key=lambda pair: -transitions[pair[0]].priority)
        for number, elements in fireable:
            if plan.state != RUNNING:
                return
            if plan.transition_states[number] != FIREABLE:
                continue
            if transitions[number].competes:
                rival = self._rival(plan, number, [other for other, _elements in fireable])
                if rival is not None:
                    message = (
                        f"transitions {transitions[number].id!r} and {transitions[rival].id!r} of {plan.name} can both "
                        f"be fired and have the same priority"
                    )
                    self.fail(plan, ErrorElement(message, "bad recipe", plan=plan.eid))
                    return
            self.tell(Fact("transition_fired", plan, number, elements))

    def _rival(self, plan: Plan, number: int, others: list[int]) -> int | None:
        transitions = plan.program.transitions
        own = transitions[number]
        steps = {step for step, _flagged in own.links}
        for other in others:
            rival = transitions[other]
            if other == number or rival.priority != own.priority or plan.transition_states[other] != FIREABLE:
                continue
            if any(step in steps for step, _flagged in rival.links):
                return other
        return None

    def _not_met(self, plan: Plan, number: int) -> None:
        """What becomes of a transition that could fire but for its conditions."""
        transition = plan.program.transitions[number]
        if transition.error_handling:
            self.tell(Fact("plan_failed", plan, number))
        else:
            plan.transition_states[number] = WAIT_CONDITION
            self.world.room.enter(plan, number)

    def close(self, plan: Plan) -> None:
        """The plan may have come to its end: if so, it ends."""
        if plan.state == FAILED_END:
            if not unhandled(plan):
                message = f"no transition of {plan.name} can be fired any more"
                self.tell(Fact("plan_failed", plan, -1, self.number([ErrorElement(message, "failed", plan=plan.eid)])))
            for child in plan.children.values():
                if child.state == RUNNING:
                    self.fail(child, ErrorElement(f"the plan that called {child.name} has failed", "abandoned"))
        if plan.active == 0 and plan.state in {END, FAILED_END}:
            state = DONE if plan.state == END else FAILED
            self.tell(Fact("plan_ended", plan, -1, (), (state, self.now)))
            self.after(plan)

    def after(self, plan: Plan) -> None:
        """A plan has ended: the step that it is the target of ends too, or a plan with ``restart`` is made anew."""
        parent = plan.parent
        if parent is not None:
            if parent.step_states[plan.parent_number] == RUNNING:
                self._end(parent, plan.parent_number, of_child(plan))
        elif plan.state == DONE and plan.recipe.restart and not plan.restarted and plan.cancelled is None:
            self.start_plan(self.programs.get(plan.name, plan.program), restarted=plan)

    def _forget(self, plan: Plan) -> None:
        """The plan and its children have decayed, and with them the elements that no other plan refers to."""
        if not plan.over or self.world.plans.get(plan.eid or 0) is not plan:
            return
        for child in plan.children.values():
            self._forget(child)
        others = [each for each in self.world.plans.values() if each is not plan]
        own = [each for each in self.world.memory if each.made_by_plan == plan.eid or each in plan.context]
        gone = tuple(
            element
            for element in own
            if (element.eid or 0) > (plan.eid or 0) and not any(element in other.context for other in others)
        )
        self.tell(Fact("plan_forgotten", plan, -1, gone))


def repeated(step: StepProgram, assigned: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of each call: one, or with ``foreach`` one for every element of that input."""
    if step.foreach is None:
        return [assigned]
    name = step.inputs[step.foreach].id
    return [{**assigned, name: element} for element in assigned[name]]


def of_child(plan: Plan) -> Outcome:
    """The outcome of a recipe step: what its plan produced, each element once, or its errors."""
    if plan.state == FAILED:
        return Outcome(FAILED, [], list(plan.errors))
    made = {element.eid: element for each in plan.produced.values() for element in each}
    kept = [each for each in made.values() if not each.outdated and not isinstance(each, ErrorElement)]
    return Outcome(DONE, sorted(kept, key=lambda element: element.eid or 0))


def _unassigned(plan: Plan, step: StepProgram, error: UnassignedError) -> Outcome:
    message = f"step {step.id!r} of {plan.name} ({step.source.target}): {error}"
    return outcomes.failure(error.kind, message, plan=plan.eid, step=step.id, input=error.name)


def _compute(given: Given, elements: list[Element], errors: list[ErrorElement]) -> None:
    if isinstance(given, Element):
        elements.append(given)
        return
    try:
        value = argument_value(given)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- an argument may raise anything; the plan fails with it
        errors.append(ErrorElement(f"argument {given.source}: {error}", type(error).__name__))
        return
    if isinstance(value, Element):
        elements.append(value)
    else:
        errors.append(ErrorElement(f"argument {given.source} is no element", "bad argument"))
