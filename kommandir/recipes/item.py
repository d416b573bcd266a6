"""What a step of a recipe takes: an item as those of the list form, with the kinds of recipes besides."""

from __future__ import annotations

from dataclasses import dataclass

from kommandir.errors import UsageError
from kommandir.recipes.schema import Operation
from kommandir.xn.reading import Item
from kommandir.xn.schema import COMMAND, PLAYBOOK, VARIABLE, Kind
from narval_engine import Element

_OF_THE_LIST = (VARIABLE.name, COMMAND.name, PLAYBOOK.name)
NO_KEYS = Kind(name="peon", meaning="", target="", keys={})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepItem(Item):
    """The item of one call of a step."""

    operation: str
    #: The name of its peon; "" where it has none.
    peon: str = ""

    @property
    def event_kind(self) -> str:
        """What events call its kind."""
        return self.kind.name if self.kind.name in _OF_THE_LIST else self.operation.partition(".")[0]

    @property
    def title(self) -> str:
        """What people call it: the variable, the program or playbook, the action; and the peon."""
        verb = self.operation.partition(".")[2]
        text = self.keys.get("filepath", "").rsplit("/", 1)[-1] or self.keys.get("name") or verb
        if self.event_kind not in _OF_THE_LIST:
            text = verb
        return f"{text} on {self.peon}" if self.peon else text

    @property
    def description(self) -> str:
        """What a preview calls it: the action and what it acts with."""
        return self.operation if self.operation.endswith(f".{self.title}") else f"{self.operation} {self.title}"


def of_call(operation: Operation, element: Element | None, peon: str, place: str) -> StepItem:
    """The item of a call from the element with its keys; raises UsageError where that lacks what is required."""
    kind = operation.kind or NO_KEYS
    attributes = element.attributes() if element is not None else {}
    keys = {name: str(attributes[name]) for name in kind.keys if attributes.get(name) is not None}
    place = str(attributes.get("place") or place)
    missing = [key for key in kind.keys.values() if key.required and not keys.get(key.name)]
    if missing and element is not None:
        raise UsageError(f"{place}: the element `{kind.name}` lacks `{missing[0].name}`", hint=missing[0].meaning)
    return StepItem(kind=kind, index=0, place=place, keys=keys, operation=operation.name, peon=peon)
