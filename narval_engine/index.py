"""Elements by what match expressions ask for: their class and type, and the attributes that are compared.

Elements come out oldest first (by eid). Outdated elements are never in an index.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

from narval_engine.elements import NAMES, Element
from narval_engine.expressions import Facts
from narval_engine.interfaces import InterfaceClass, adapts

_AGE = attrgetter("eid")
_MISSING = object()
#: Values whose equality is that of their hash, so that a dictionary may stand for ``==``.
_INDEXABLE = frozenset({str, int, float, bool, bytes, type(None)})
Shape = tuple[type, str]


class Bucket(dict[int, Element]):
    """Elements by eid; ``oldest_first`` sorts only after an element came in out of order."""

    __slots__ = ("_last", "_sorted")

    def __init__(self) -> None:
        super().__init__()
        self._last = -1
        self._sorted = True

    def put(self, eid: int, element: Element) -> None:
        """Adds an element; one that is there stays."""
        if eid > self._last:
            self._last = eid
        elif eid not in self:
            self._sorted = False
        self[eid] = element

    def oldest_first(self) -> Iterable[Element]:
        """The elements by age. The bucket must not change while they are looked at."""
        if not self._sorted:
            ordered = sorted(self.items())
            self.clear()
            self.update(ordered)
            self._sorted = True
        return self.values()


class Question:
    """What an input or a condition surely asks, ready for look-up; made with the recipe's program."""

    __slots__ = ("_classes", "_judged", "_private", "_types", "attributes")

    def __init__(self, facts: Facts) -> None:
        self._types = frozenset(facts.types)
        self._classes = tuple(NAMES[name] for name in facts.classes)
        self.attributes = tuple((name, value) for name, value in facts.attributes if type(value) in _INDEXABLE)
        self._judged: dict[Shape, bool] = {}
        #: Plans and recipes are offered only where their type or class is named.
        self._private = bool(self._types or any(cls is not Element for cls in self._classes))

    def admits(self, shape: Shape) -> bool:
        """Whether elements of this class and type can match."""
        judged = self._judged.get(shape)
        if judged is None:
            judged = self._judged[shape] = self._admits(*shape)
        return judged

    def _admits(self, cls: type, kind: str) -> bool:
        if (self._types and self._types != {kind}) or (getattr(cls, "private", False) and not self._private):
            return False
        for wanted in self._classes:
            fits = adapts(cls, kind, wanted) if isinstance(wanted, InterfaceClass) else issubclass(cls, wanted)
            if not fits:
                return False
        return True

    @property
    def kind(self) -> str | None:
        """The one type that it asks for, if it names one."""
        return next(iter(self._types)) if len(self._types) == 1 else None


class Index:
    """A set of elements that answers questions without looking at all of them."""

    __slots__ = ("_attributes", "_kinds", "_shapes", "elements")

    def __init__(self) -> None:
        self.elements: dict[int, Element] = {}
        self._shapes: dict[Shape, Bucket] = {}
        self._kinds: dict[str, list[Shape]] = {}
        # name -> value -> elements; what has a value that no dictionary can find is under _MISSING.
        self._attributes: dict[str, dict[Any, Bucket]] = {}

    def __len__(self) -> int:
        return len(self.elements)

    def __contains__(self, element: Element) -> bool:
        return element.eid in self.elements

    def add(self, element: Element) -> bool:
        """Adds it; false if it was there."""
        eid = element.eid
        assert eid is not None
        if eid in self.elements:
            return False
        self.elements[eid] = element
        shape = (element.__class__, element.type)
        bucket = self._shapes.get(shape)
        if bucket is None:
            bucket = self._shapes[shape] = Bucket()
            self._kinds.setdefault(element.type, []).append(shape)
        bucket.put(eid, element)
        for name, values in self._attributes.items():
            _put(values, name, element)
        return True

    def discard(self, element: Element) -> None:
        """Takes it out, wherever it is; nothing happens if it was not there."""
        eid = element.eid
        if eid is None or self.elements.pop(eid, None) is None:
            return
        bucket = self._shapes.get((element.__class__, element.type))
        if bucket is not None:
            bucket.pop(eid, None)
        for name, values in self._attributes.items():
            held = values.get(_value(name, element))
            if held is None or held.pop(eid, None) is None:
                # The attribute was changed since: only a search finds the old place.
                for other in values.values():
                    other.pop(eid, None)

    def changed(self, element: Element) -> None:
        """The element's attributes may have changed: it is indexed anew."""
        eid = element.eid
        if eid is None or eid not in self.elements:
            return
        for name, values in self._attributes.items():
            held = values.get(_value(name, element))
            if held is None or eid not in held:
                for other in values.values():
                    other.pop(eid, None)
                _put(values, name, element)

    def ask(self, question: Question) -> Iterable[Element]:
        """Elements that may match, oldest first; those that it leaves out cannot."""
        buckets = [self._shapes[shape] for shape in self._fitting(question)]
        size = sum(map(len, buckets))
        if size == 0:
            return ()
        if question.attributes and size > 4:
            best = min((self._by_attribute(*pair) for pair in question.attributes), key=lambda pair: pair[1])
            if best[1] < size:
                return (each for each in best[0]() if question.admits((each.__class__, each.type)))
        if len(buckets) == 1:
            return buckets[0].oldest_first()
        return heapq.merge(*[bucket.oldest_first() for bucket in buckets], key=_AGE)

    def _fitting(self, question: Question) -> Iterator[Shape]:
        kind = question.kind
        for shape in self._shapes if kind is None else self._kinds.get(kind, ()):
            if question.admits(shape):
                yield shape

    def _by_attribute(self, name: str, value: Any) -> tuple[Callable[[], Iterable[Element]], int]:
        values = self._attributes.get(name)
        if values is None:
            values = self._attributes[name] = {}
            for element in self.elements.values():
                _put(values, name, element)
        found = [bucket for key in (value, _MISSING) if (bucket := values.get(key))]
        return lambda: heapq.merge(*[bucket.oldest_first() for bucket in found], key=_AGE), sum(map(len, found))


def _value(name: str, element: Element) -> Any:
    value = element.__dict__.get(name, _MISSING)
    return value if type(value) in _INDEXABLE else _MISSING


def _may_have(cls: type[Any], name: str) -> bool:
    """Whether elements of the class may have the attribute without holding it: a property, or made when asked for."""
    plainly: tuple[Any, ...] = (Element.__getattr__, object.__getattribute__)
    return hasattr(cls, name) or (cls.__getattr__, cls.__getattribute__) != plainly


def _put(values: dict[Any, Bucket], name: str, element: Element) -> None:
    if name not in element.__dict__ and not _may_have(element.__class__, name):
        return
    value = _value(name, element)
    bucket = values.get(value)
    if bucket is None:
        bucket = values[value] = Bucket()
    assert element.eid is not None
    bucket.put(element.eid, element)
