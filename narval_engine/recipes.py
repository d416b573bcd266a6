"""Recipes (manual II.1.1): what the three notations, XML, YAML and Python, are read into. Values, never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from narval_engine.elements import CLASSES, Element
from narval_engine.places import Place
from narval_engine.prototypes import Context, Input, Output


@dataclass(frozen=True, slots=True)
class Computed:
    """An argument computed when a plan is made: a Python expression, as in a match, whose value is an element."""

    source: str
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Condition:
    """All ``match`` expressions must hold for one element (manual table 7); a text alone is one expression."""

    match: tuple[str, ...] | str = ()
    use: bool = False
    from_context: str | None = None
    to_context: str | None = None
    place: Place | None = field(default=None, compare=False)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The match expressions."""
        return (self.match,) if isinstance(self.match, str) else tuple(self.match)


@dataclass(frozen=True, slots=True)
class Time:
    """A moment, each field as in a crontab (manual table 9): ``*``, or numbers and ranges separated by commas."""

    seconds: str | int = "*"
    minutes: str | int = "*"
    hours: str | int = "*"
    monthdays: str | int = "*"
    months: str | int = "*"
    years: str | int = "*"
    yeardays: str | int = "*"
    weekdays: str | int = "*"
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Transition:
    """A link between steps (manual table 6). ``on_error`` are the in-steps whose links are flagged as error handling.

    Of several ``times`` the earliest counts; ``priority`` decides between transitions that share an in-step.
    """

    id: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    on_error: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    times: tuple[Time, ...] = ()
    priority: int = 0
    place: Place | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "on_error", "conditions", "times"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def links(self) -> tuple[tuple[str, bool], ...]:
        """The in-steps, each with its error flag; a step named as both counts as flagged."""
        flagged = set(self.on_error)
        return (
            *((step, False) for step in self.inputs if step not in flagged),
            *((step, True) for step in self.on_error),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A step (manual table 5): ``target`` is the "group.name" of an action, or of a recipe if ``type`` is "recipe".

    ``context`` is where inputs look that do not say so themselves, from and to.
    ``deadline`` (seconds), ``attempts`` with ``backoff`` (seconds before the second, doubled each time), ``memory``
    (MiB) and ``cpu`` (seconds) limit what the step may take; all of them are ours, the manual has none. ``notes`` are
    further keys, name and text, of those who read the same file; the engine passes them over.
    """

    id: str
    target: str
    type: str = "action"
    arguments: tuple[Element | Computed, ...] = ()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    foreach: str | None = None
    context: Context = (None, None)
    deadline: float | None = None
    attempts: int = 1
    backoff: float = 1.0
    memory: int | None = None
    cpu: float | None = None
    notes: tuple[tuple[str, str], ...] = ()
    place: Place | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("arguments", "inputs", "outputs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe (manual table 4). ``decay`` is in seconds.

    Where ``start_step`` and ``end_step`` are ``None`` they are the one step without incoming, the one without
    outgoing transition.
    """

    group: str
    name: str
    steps: tuple[Step, ...] = ()
    transitions: tuple[Transition, ...] = ()
    start_step: str | None = None
    end_step: str | None = None
    restart: bool = False
    decay: float | None = None
    place: Place | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("steps", "transitions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def full_name(self) -> str:
        """``group.name``, by which steps and start-plans refer to it."""
        return f"{self.group}.{self.name}"

    def first(self) -> str | None:
        """The id of the start step, ``None`` where there is none or more than one could be."""
        if self.start_step is not None:
            return self.start_step
        return _only(self.steps, {step for transition in self.transitions for step in transition.outputs})

    def last(self) -> str | None:
        """The id of the end step, ``None`` where there is none or more than one could be."""
        if self.end_step is not None:
            return self.end_step
        return _only(self.steps, {step for each in self.transitions for step, _error in each.links()})


def _only(steps: Sequence[Step], linked: set[str]) -> str | None:
    free = [step.id for step in steps if step.id not in linked]
    return free[0] if len(free) == 1 else None


class RecipeElement(Element, type="recipe"):
    """A recipe in memory (manual I.3.1). Its eid is below zero, so that it never takes the place of another's."""

    private = True
    __slots__ = ("recipe",)

    def __init__(self, recipe: Recipe) -> None:
        super().__init__("recipe", group=recipe.group, name=recipe.name)
        self.recipe = recipe


# In memory.xml a recipe is read by its own rules, not as any element with attributes.
del CLASSES["recipe"]

#: What a plan or a step may be given before it runs.
Given = Element | Computed
Attributes = Mapping[str, Any]
