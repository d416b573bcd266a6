"""Transitions that wait for an element, by what they ask for: a new element is offered to those that it may concern."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from narval_engine.elements import Element
from narval_engine.plans import RUNNING, WAIT_CONDITION, Plan
from narval_engine.programs import MEMORY, Pattern

_ANY: Hashable = ("any",)
_Place = tuple[Plan, int, Pattern]


class WaitingRoom:
    """Who waits for what. Entries of transitions that wait no more are thrown out when they are next met."""

    def __init__(self) -> None:
        self._places: dict[Hashable, dict[tuple[int, int, int], _Place]] = {}
        #: How often an attribute is waited for, so that an element's other attributes need no look.
        self._attributes: dict[str, int] = {}
        #: Whether anything waits for an element to come nearer, not only into memory.
        self.limited = False

    def enter(self, plan: Plan, number: int) -> None:
        """The transition waits for elements for its conditions."""
        for at, pattern in enumerate(plan.program.transitions[number].conditions):
            key = _key(pattern)
            places = self._places.setdefault(key, {})
            if not places and isinstance(key, tuple) and key[0] == "attribute":
                self._attributes[key[1]] = self._attributes.get(key[1], 0) + 1
            places[plan.eid or 0, number, at] = (plan, number, pattern)
            self.limited = self.limited or pattern.last < MEMORY

    def __bool__(self) -> bool:
        return bool(self._places)

    def concerned(self, element: Element, wanted: Callable[[_Place], bool]) -> Iterator[tuple[Plan, int]]:
        """The transitions that wait for something that the element is, longest wait first for each kind of wait."""
        for key in self._keys(element):
            places = self._places.get(key)
            if not places:
                continue
            gone = []
            for entry, place in list(places.items()):
                plan, number, pattern = place
                if plan.state != RUNNING or plan.transition_states[number] != WAIT_CONDITION:
                    gone.append(entry)
                elif wanted(place) and pattern.fits(element):
                    yield plan, number
            for entry in gone:
                places.pop(entry, None)
            if not places:
                self._forget(key)

    def _forget(self, key: Hashable) -> None:
        self._places.pop(key, None)
        if isinstance(key, tuple) and key[0] == "attribute" and key[1] in self._attributes:
            self._attributes[key[1]] -= 1
            if not self._attributes[key[1]]:
                del self._attributes[key[1]]

    def _keys(self, element: Element) -> list[Hashable]:
        keys: list[Hashable] = [("type", element.type), _ANY]
        for name in list(self._attributes):
            value = element.__dict__.get(name, _keys_missing)
            if type(value) in _PLAIN:
                keys.append(("attribute", name, value))
            elif hasattr(element, name):
                # No dictionary can find what this is equal to.
                keys += [key for key in self._places if isinstance(key, tuple) and key[:2] == ("attribute", name)]
        return keys


_keys_missing: Any = object()
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def _key(pattern: Pattern) -> Hashable:
    question = pattern.question
    if question.attributes:
        return ("attribute", *question.attributes[0])
    if question.kind is not None:
        return ("type", question.kind)
    return _ANY
