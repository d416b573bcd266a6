"""Going on where a journal ends: its facts are applied again, and then whatever was under way is followed up.

The guarantee. A step whose end is in the journal is never run again. A step whose start is there and whose end is not
was cut off: it ends with an error element of type "interrupted", which an on-error transition can handle, unless its
action is declared idempotent; then it is run again with the same inputs. A step whose start is not there never began.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narval_engine import encoding, outcomes
from narval_engine.elements import Element
from narval_engine.engine import Engine
from narval_engine.journal import Entry, JournalError, SqliteJournal
from narval_engine.machine import Call, Machine, repeated
from narval_engine.outcomes import Outcome
from narval_engine.plans import END, FAILED_END, RUNNING, WAIT_TIME, Plan
from narval_engine.progress import potentially_fireable
from narval_engine.world import Fact, World

_Calls = dict[tuple[int, int], dict[int, tuple[list[int], str]]]
#: Of a call that was cut off (plan, id of its step, its inputs) how it counts as having ended; ``None``: make it again.
CutOff = Callable[[Plan, str, dict[str, Any]], Outcome | None]


def by_declaration(plan: Plan, step: str, _inputs: dict[str, Any]) -> Outcome | None:
    """A call of an action that is declared idempotent is made again, any other was interrupted."""
    action = plan.program.steps[plan.program.step_numbers[step]].action
    return None if action is not None and action.options.idempotent else interrupted(plan, step)


def resume(
    engine: Engine,
    journal: SqliteJournal,
    *,
    cut_off: CutOff = by_declaration,
    restored: Callable[[], object] = lambda: None,
) -> None:
    """Brings an engine that has its recipes and nothing else to the state that the journal ends with.

    ``restored`` is called when memory and plans are as they were, before anything follows. Then ``cut_off`` is asked
    of each call that was under way, for a program that knows more of its calls than their declaration says.
    ``Engine.run`` goes on from there. Raises JournalError where the journal does not fit the recipes.
    """
    replay = replayed(engine, journal)
    journal.known(replay.elements)
    replay.clear()
    restored()
    follow_up(engine, replay, cut_off)


def replayed(engine: Engine, journal: SqliteJournal) -> Replay:
    """Applies what is in the journal, and follows nothing up. Raises JournalError."""
    replay = Replay(engine.machine)
    for entry in journal.entries():
        try:
            replay.apply(entry)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise JournalError(
                f"{journal.path}: entry {entry.number} ({entry.kind}) does not fit: {error!r}\n"
                f"  next: resume with the recipes and modules that the journal was begun with"
            ) from error
    return replay


class Replay:
    """Turns entries into facts, and applies them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._world: World = machine.world
        self.elements: dict[int, Element] = {}
        #: The inputs with which each step was started, and the calls of repeated steps that came back.
        self.started: dict[tuple[int, int], dict[str, Any]] = {}
        self.returned: _Calls = {}

    def apply(self, entry: Entry) -> None:
        """Applies one entry; raises ValueError or the like where it does not fit what came before."""
        record = entry.record
        for content in record.get("new", ()):
            self._learn(content)
        plan = None if entry.plan is None else self._plan(entry)
        number = record.get("n", -1)
        elements = tuple(self.element(eid) for eid in record.get("e", ()))
        detail = record.get("d")
        if entry.kind == "step_started" and plan is not None:
            assigned = {name: self._input(value) for name, value in (detail or {}).items()}
            self.started[plan.eid or 0, number] = detail = assigned
            self._not_ready(plan, number)
        elif entry.kind == "call_ended" and plan is not None:
            at, state = record["d"]
            self.returned.setdefault((plan.eid or 0, number), {})[at] = (record.get("e", []), state)
        elif entry.kind == "plan_made":
            made = detail or {}
            detail = {name: self._known(made.get(name)) for name in ("starter", "restarted")}
        self._world.apply(Fact(entry.kind, plan, number, elements, detail))

    def clear(self) -> None:
        """Forgets what was to be done next: that is found out anew."""
        agenda = self._world.agenda
        agenda.evaluate.clear()
        agenda.touched.clear()
        agenda.skipped.clear()
        self._world.fresh.clear()
        self._world.joined.clear()

    def _plan(self, entry: Entry) -> Plan:
        if entry.kind != "plan_made":
            return self._world.plans[entry.plan or 0]
        detail = entry.record["d"]
        program = self._machine.programs.get(detail["recipe"])
        if program is None:
            raise ValueError(f"there is no recipe {detail['recipe']!r}")
        parent = self._world.plans[detail["parent"]] if "parent" in detail else None
        plan = Plan(program, parent, entry.record.get("n", -1))
        plan.eid = entry.plan
        self._world.memory.number(plan)
        for at, made in detail.get("computed", {}).items():
            plan.computed[int(at)] = [encoding.element_unpacked(each) for each in made]
        return plan

    def _learn(self, content: list[Any]) -> None:
        eid, name, kind, attributes, *made = content
        known = self.elements.get(eid)
        if known is not None:
            known.__dict__.clear()
            known.__dict__.update(encoding.element_unpacked([name, kind, attributes]).__dict__)
            return
        element = encoding.element_unpacked([name, kind, attributes])
        element.eid = eid
        if made:
            element.made_by_plan, element.made_by_step = made
        self.elements[eid] = element
        self._world.memory.number(element)

    def element(self, eid: int) -> Element:
        """The element of this number, in memory or not; raises ValueError."""
        known = self._known(eid)
        if known is None:
            raise ValueError(f"element {eid} is not there")
        return known

    def _known(self, eid: int | None) -> Element | None:
        if eid is None:
            return None
        return self.elements.get(eid) or self._world.memory.get(eid) or self._world.plans.get(eid)

    def _input(self, value: Any) -> Any:
        if value is None:
            return None
        return [self.element(eid) for eid in value] if isinstance(value, list) else self.element(value)

    def _not_ready(self, plan: Plan, number: int) -> None:
        agenda = self._world.agenda
        queue = agenda.quick if plan.program.steps[number].quick else agenda.queued
        if (plan, number) in queue:
            queue.remove((plan, number))


def follow_up(engine: Engine, replay: Replay, cut_off: CutOff = by_declaration) -> None:
    """What a process that died would have done next."""
    machine = engine.machine
    machine.now = engine.clock.now()
    for plan in list(machine.world.plans.values()):
        if plan.state == RUNNING:
            _follow_transitions(machine, plan)
        elif plan.state in {END, FAILED_END}:
            machine.close(plan)
        elif plan.parent is None:
            machine.after(plan)
    for plan in list(machine.world.plans.values()):
        for number, state in enumerate(plan.step_states):
            if state == RUNNING:
                _follow_step(engine, plan, number, replay, cut_off)
    for element in list(machine.world.memory):
        if element.type == "start-plan" and not element.outdated:
            machine.world.fresh.append(element)
    machine.settle()
    engine.flush()
    engine.call_missed()


def _follow_transitions(machine: Machine, plan: Plan) -> None:
    for number in potentially_fireable(plan):
        if plan.transition_states[number] != WAIT_TIME:
            machine.agenda.evaluate.append((plan, number))


def _follow_step(engine: Engine, plan: Plan, number: int, replay: Replay, cut_off: CutOff) -> None:
    step, machine = plan.program.steps[number], engine.machine
    if step.is_recipe:
        child = plan.children.get(number)
        if child is None:
            machine.make_child(plan, number)
        elif child.over:
            machine.after(child)
        return
    key = (plan.eid or 0, number)
    call = Call(plan, number, repeated(step, replay.started.get(key, {})))
    for at, (eids, state) in replay.returned.get(key, {}).items():
        call.outcomes[at] = outcomes.of_elements(state, [replay.element(eid) for eid in eids])
        call.left -= 1
    if call.left == 0:
        machine.all_ended(call)
        return
    left = [at for at, outcome in enumerate(call.outcomes) if outcome is None]
    ended = {at: cut_off(plan, step.id, call.inputs[at]) for at in left}
    again = [at for at in left if ended[at] is None]
    if again:
        engine.run_again(call, again)
    for at, outcome in ended.items():
        if outcome is not None:
            machine.call_ended(call, at, outcome)


def interrupted(plan: Plan, step: str, message: str = "", **data: Any) -> Outcome:
    """The outcome of a step that was cut off; ``data`` are further attributes of its error element."""
    message = message or f"step {step!r} of {plan.name} was running when the process that ran it died"
    return outcomes.failure("interrupted", message, plan=plan.eid, step=step, **data)
