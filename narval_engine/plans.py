"""Plans: recipes in execution (manual II.1.2), and the context of elements that each one has (I.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from narval_engine.elements import CLASSES, Element, ErrorElement
from narval_engine.index import Index
from narval_engine.programs import Program, StepProgram, TransitionProgram
from narval_engine.recipes import Recipe

# States of a plan (manual table 12).
READY, RUNNING, FAILED, END, FAILED_END, DONE = "ready", "running", "failed", "end", "failed-end", "done"
# States of a step; "history" is a step that a transition has left (manual II.4).
TODO, HISTORY, ERROR, KILLED, IMPOSSIBLE = "todo", "history", "error", "killed", "impossible"
# States of a transition (manual table 6), besides IMPOSSIBLE.
WAIT_STEP, WAIT_TIME, WAIT_CONDITION = "wait-step", "wait-time", "wait-condition"
FIREABLE, FIRED, FAIL = "fireable", "fired", "fail"

PLAN_STATES = (READY, RUNNING, FAILED, END, FAILED_END, DONE)
STEP_STATES = (TODO, READY, RUNNING, DONE, HISTORY, ERROR, FAILED, KILLED, IMPOSSIBLE)
TRANSITION_STATES = (WAIT_STEP, WAIT_TIME, WAIT_CONDITION, FIREABLE, FIRED, FAIL, IMPOSSIBLE)

_View = TypeVar("_View")


class Plan(Element, type="plan"):
    """A plan. Its fields are for reading; only the engine changes them.

    ``state`` is one of table 12. ``errors`` are the error elements of its steps and its own, handled or not.
    """

    private = True
    __slots__ = (
        *(
            "active",
            "called_back",
            "cancelled",
            "children",
            "computed",
            "context",
            "due",
            "ended_at",
            "entered",
            "failures",
        ),
        *("failures", "open_ways", "parent", "parent_number", "produced", "program", "restarted", "state"),
        *("step_states", "transition_states", "unresolved", "validated"),
    )

    def __init__(self, program: Program, parent: Plan | None = None, parent_number: int = -1) -> None:
        super().__init__("plan")
        self.program = program
        self.state = READY
        self.parent = parent
        self.parent_number = parent_number
        self.step_states = [TODO] * len(program.steps)
        self.transition_states = [WAIT_STEP] * len(program.transitions)
        #: Of each transition, how many in-steps are not over; of each step, how many transitions may still lead there.
        self.unresolved = [len(transition.links) for transition in program.transitions]
        self.open_ways = [len(step.incoming) for step in program.steps]
        self.context = Index()
        self.produced: dict[int, list[Element]] = {}
        self.entered: dict[int, int] = {}
        self.validated: dict[int, tuple[Element, ...]] = {}
        self.computed: dict[int, list[Element]] = {}
        self.children: dict[int, Plan] = {}
        #: When a transition's time comes, in seconds since the epoch.
        self.due: dict[int, float] = {}
        self.failures: list[tuple[ErrorElement, str | None]] = []
        #: Steps that are ready or running.
        self.active = 0
        self.cancelled: str | None = None
        #: The steps whose ``nonexecuted`` was called, and -1 once every ``finalizer`` was.
        self.called_back: frozenset[int] = frozenset()
        self.ended_at: float | None = None
        self.restarted = False

    @property
    def recipe(self) -> Recipe:
        """The recipe of which this is a plan."""
        return self.program.recipe

    @property
    def name(self) -> str:
        """The name of the recipe, "group.name"."""
        return self.program.name

    recipename = name

    @property
    def start_step(self) -> str:
        """The id of the step that it begins with."""
        return self.program.steps[self.program.start].id

    @property
    def end_step(self) -> str:
        """The id of the step with which it is done."""
        return self.program.steps[self.program.end].id

    @property
    def parent_plan(self) -> int | None:
        """The eid of the plan in which this one is a step."""
        return None if self.parent is None else self.parent.eid

    @property
    def parent_step(self) -> str | None:
        """The id of the step of which this plan is the target."""
        return None if self.parent is None else self.parent.program.steps[self.parent_number].id

    @property
    def errors(self) -> list[ErrorElement]:
        """Error elements of this plan, oldest first."""
        return [error for error, _step in self.failures]

    @property
    def elements(self) -> list[Element]:
        """The context: what the plan was given, used or made, oldest first; without what is outdated."""
        # Another plan may have outdated what this one still refers to.
        there = (element for element in self.context.elements.values() if not element.outdated)
        return sorted(there, key=lambda element: element.eid or 0)

    @property
    def over(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state in {DONE, FAILED}

    @property
    def waiting(self) -> bool:
        """Whether it is suspended: no step runs or is ready, and a transition waits for an element or a time."""
        return self.state == RUNNING and self.active == 0

    @property
    def steps(self) -> Mapping[str, PlanStep]:
        """Views of the steps by id, in the order of the recipe."""
        return _Views(self.program.step_numbers, self.program.steps, lambda step: PlanStep(self, step))

    @property
    def transitions(self) -> Mapping[str, PlanTransition]:
        """Views of the transitions by id, in the order of the recipe."""
        names, ways = self.program.transition_numbers, self.program.transitions
        return _Views(names, ways, lambda transition: PlanTransition(self, transition))

    @property
    def root(self) -> Plan:
        """The plan that no other called, through which this one came to be."""
        plan = self
        while plan.parent is not None:
            plan = plan.parent
        return plan

    def lineage(self) -> Iterator[Plan]:
        """This plan, the one that called it, and so on."""
        plan: Plan | None = self
        while plan is not None:
            yield plan
            plan = plan.parent

    def attributes(self) -> dict[str, Any]:
        """What table 12 says of a plan."""
        return {"recipename": self.name, "state": self.state, "parent_plan": self.parent_plan}

    def __repr__(self) -> str:
        return f"<plan#{self.eid} {self.name} {self.state}>"


# In memory.xml a plan is read by its own rules, not as any element with attributes.
del CLASSES["plan"]


class PlanStep:
    """A step of a plan, to look at."""

    __slots__ = ("_program", "plan")

    def __init__(self, plan: Plan, program: StepProgram) -> None:
        self.plan = plan
        self._program = program

    @property
    def id(self) -> str:
        """The id in the recipe."""
        return self._program.id

    @property
    def target(self) -> str:
        """The name of the action or recipe."""
        return self._program.source.target

    @property
    def state(self) -> str:
        """todo, ready, running, done, history (done and left by a transition), error, failed, killed or impossible."""
        return self.plan.step_states[self._program.number]

    @property
    def errors(self) -> list[ErrorElement]:
        """The error elements with which it ended."""
        return [error for error, step in self.plan.failures if step == self.id]

    @property
    def outputs(self) -> list[Element]:
        """What it produced, error elements included."""
        return list(self.plan.produced.get(self._program.number, ()))

    @property
    def child(self) -> Plan | None:
        """The plan that it runs, if its target is a recipe."""
        return self.plan.children.get(self._program.number)

    def __repr__(self) -> str:
        return f"<step {self.id} of plan#{self.plan.eid} {self.state}>"


class PlanTransition:
    """A transition of a plan, to look at."""

    __slots__ = ("_program", "plan")

    def __init__(self, plan: Plan, program: TransitionProgram) -> None:
        self.plan = plan
        self._program = program

    @property
    def id(self) -> str:
        """The id in the recipe."""
        return self._program.id

    @property
    def state(self) -> str:
        """wait-step, wait-time, wait-condition, fireable, fired, fail or impossible (manual table 6)."""
        return self.plan.transition_states[self._program.number]

    @property
    def elements(self) -> tuple[Element, ...]:
        """The elements that validated its conditions, in their order."""
        return self.plan.validated.get(self._program.number, ())

    def __repr__(self) -> str:
        return f"<transition {self.id} of plan#{self.plan.eid} {self.state}>"


class _Views(Mapping[str, _View], Generic[_View]):
    """Parts of a plan by id, made when they are looked at: a plan of 10,000 steps has no 10,000 objects."""

    __slots__ = ("_make", "_numbers", "_parts")

    def __init__(self, numbers: dict[str, int], parts: list[Any], make: Callable[[Any], _View]) -> None:
        self._numbers = numbers
        self._parts = parts
        self._make = make

    def __getitem__(self, name: str) -> _View:
        return self._make(self._parts[self._numbers[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
