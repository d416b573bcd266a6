"""What elements were like before an action got them, so that it is noticed where it changed them in place."""

from __future__ import annotations

from typing import Any

from narval_engine.elements import Element

Snapshot = dict[str, Any]
_FIXED = frozenset({str, int, float, bool, bytes, type(None)})
#: How deep it is looked into what attributes hold.
_DEPTH = 8


def snapshot(element: Element) -> Snapshot:
    """The attributes, and all that lists, mappings, sets and elements among them hold."""
    return {name: value if type(value) in _FIXED else _held(value, _DEPTH) for name, value in element.__dict__.items()}


def changed(element: Element, before: Snapshot) -> bool:
    """Whether the element is another than it was; objects of kinds that are not looked into, when they are others."""
    now = element.__dict__
    return len(now) != len(before) or any(
        name not in before or not (before[name] is value or _same(value, before[name])) for name, value in now.items()
    )


def _same(value: Any, before: Any) -> bool:
    return type(value) not in _FIXED and isinstance(before, _Held) and before == _held(value, _DEPTH)


class _Thing:
    """An object, equal to itself alone; held, so that no other takes its address meanwhile."""

    __slots__ = ("_thing",)

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Thing) and other._thing is self._thing

    def __hash__(self) -> int:
        return id(self._thing)


class _Held(tuple[Any, ...]):
    """What something held: its kind, then its content, objects by their identity."""

    __slots__ = ()


def _held(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _FIXED:
        return (kind, value)
    if depth == 0:
        return _Held((_Thing(value),))
    if kind is list or kind is tuple:
        return _Held((kind, _Thing(value), *[_held(each, depth - 1) for each in value]))
    if kind is dict:
        pairs = [(_held(key, depth - 1), _held(each, depth - 1)) for key, each in value.items()]
        return _Held((kind, _Thing(value), *pairs))
    if kind is set:
        return _Held((kind, _Thing(value), frozenset(_held(each, depth - 1) for each in value)))
    if isinstance(value, Element):
        return _Held((kind, _Thing(value), *[(name, _held(each, depth - 1)) for name, each in value.__dict__.items()]))
    return _Held((kind, _Thing(value)))
