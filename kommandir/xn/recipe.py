"""The items of a context as a recipe of the engine: linear, an item a step, the targets as registered actions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kommandir.xn.command import run_command
from kommandir.xn.playbook import run_playbook
from kommandir.xn.reading import Item
from kommandir.xn.request import StepResult
from kommandir.xn.schema import KINDS, Kind
from kommandir.xn.surroundings import Surroundings
from kommandir.xn.variable import set_variable
from narval_engine import Element, ErrorElement, Recipe, Registry, Step, Transition
from narval_engine import input as taking

#: What each kind of item does, by the name under which recipes call it.
ACTIONS: dict[str, Callable[[Item, Surroundings], StepResult]] = {
    "variable.set": set_variable,
    "command.run": run_command,
    "ansible.playbook": run_playbook,
}

#: Runs an action on the item that is among the inputs of a call, and says what came of it; the runner puts its events
#: around the action here.
Performer = Callable[[Callable[[Item, Surroundings], StepResult], Item, Mapping[str, Any]], StepResult]


def register(registry: Registry, perform: Performer) -> None:
    """Register the actions of all kinds. They run in the thread that runs the engine: signals arrive there."""
    for kind in KINDS.values():
        registry.register(kind.target, _action(kind, perform), inputs=(taking("item", type=kind.name),), inline=True)


def _action(kind: Kind, perform: Performer) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def act(inputs: dict[str, Any]) -> dict[str, Any]:
        result = perform(ACTIONS[kind.target], item_of(inputs["item"], kind), inputs)
        return {} if result.good else {"error": error_of(result)}

    return act


def linear(name: str, items: Sequence[Item], step: Callable[[Item], str]) -> Recipe:
    """The recipe that runs ``items`` one after the other; ``step`` names them. One of them at least."""
    steps = tuple(Step(id=step(item), target=item.kind.target, arguments=(element_of(item),)) for item in items)
    transitions = tuple(
        Transition(id=f"t{number}", inputs=(before.id,), outputs=(after.id,))
        for number, (before, after) in enumerate(itertools.pairwise(steps), 1)
    )
    return Recipe(group="job", name=name, steps=steps, transitions=transitions)


def element_of(item: Item) -> Element:
    """An item as an element: its keys are attributes, so that it can be matched, stored and read again."""
    return Element(item.kind.name, **item.keys, index=item.index, place=item.place)


def item_of(element: Element, kind: Kind) -> Item:
    """The item of an element that has a kind's keys."""
    attributes = element.attributes()
    keys = {name: str(attributes[name]) for name in kind.keys if attributes.get(name) is not None}
    return Item(kind=kind, index=int(attributes.get("index", 0)), place=str(attributes.get("place", "")), keys=keys)


def error_of(result: StepResult) -> ErrorElement:
    """A failed step's error: its first reason, its exit code, its log."""
    message = result.failures[0].message if result.failures else f"exit code {result.exit_code}"
    return ErrorElement(message, result.outcome.name.lower(), exit_code=result.exit_code, log=result.log)
