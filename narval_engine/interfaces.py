"""Interfaces and adapters (manual I.1): what an element offers, and the glue from one interface to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, overload

from narval_engine.elements import NAMES, Element

_Made = TypeVar("_Made", bound=Callable[[Any], Any])

#: Adapters by their source (an interface, an element class, or the type of generic elements), in order of registration.
_ADAPTERS: dict[Any, list[tuple[InterfaceClass, Callable[[Any], Any]]]] = {}


class CannotAdaptError(TypeError):
    """The element neither has the interface nor can be adapted to it. A match expression that raises it is no match."""


class InterfaceClass(type):
    """The class of interfaces: registers each by name, and makes ``IFace(element)`` adapt instead of construct."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        NAMES[name] = cls

    def __call__(cls, element: Any) -> Any:
        """The element itself where it has this interface, else what the shortest chain of adapters makes of it.

        Raises CannotAdaptError.
        """
        if cls.__instancecheck__(element):
            return element
        kind = element.type if isinstance(element, Element) else type(element).__name__
        chain = _chain(type(element), kind, cls)
        if chain is None:
            raise CannotAdaptError(f"{kind} does not adapt to {cls.__name__}")
        for step in chain:
            element = step(element)
        return element

    def __instancecheck__(cls, element: Any) -> bool:
        return issubclass_of(type(element), cls)


class Interface(metaclass=InterfaceClass):
    """The root of interfaces: a subclass describes attributes and methods, and is never made an instance of."""

    if TYPE_CHECKING:

        def __init__(self, element: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...


@overload
def adapter(source: Any, target: InterfaceClass) -> Callable[[_Made], _Made]: ...
@overload
def adapter(source: Any, target: InterfaceClass, made: _Made) -> _Made: ...


def adapter(source: Any, target: InterfaceClass, made: Any = None) -> Any:
    """Registers the decorated class or function (or ``made``) as the way from ``source`` to the interface ``target``.

    ``source`` is an interface, an element class, or the type (text) of generic elements; the decorated object is
    called with what has it, and returns what has ``target``.
    """
    if not isinstance(target, InterfaceClass):
        raise TypeError(f"an adapter leads to an interface, not to {target!r}")

    def register(made: _Made) -> _Made:
        _ADAPTERS.setdefault(source, []).append((target, made))
        return made

    return register if made is None else register(made)


def adapts(cls: type, kind: str, target: InterfaceClass) -> bool:
    """Whether elements of this class and type have the interface, or a chain of adapters leads to it."""
    return issubclass_of(cls, target) or _chain(cls, kind, target) is not None


def issubclass_of(cls: type, target: InterfaceClass) -> bool:
    """Whether the element class lists the interface, or one derived from it, in ``implements``."""
    return any(target in have.__mro__ for have in _listed(cls))


@lru_cache(maxsize=1024)
def _listed(cls: type) -> tuple[InterfaceClass, ...]:
    """The interfaces that the class and those it derives from list, in ``implements`` or ``__implements__``."""
    found: list[InterfaceClass] = []
    for base in cls.__mro__:
        for name in ("implements", "__implements__"):
            listed = base.__dict__.get(name, ())
            found += [listed] if isinstance(listed, InterfaceClass) else listed
    return tuple(dict.fromkeys(found))


def _sources(cls: type, kind: str) -> list[Any]:
    """All that an adapter may start from for this class and type, nearest first."""
    found: list[Any] = [kind] if issubclass(cls, Element) else []
    found += cls.__mro__
    for interface in _listed(cls):
        found += interface.__mro__
    return found


def _chain(cls: type, kind: str, target: InterfaceClass) -> tuple[Callable[[Any], Any], ...] | None:
    """The shortest chain of adapters to the interface."""
    start: list[tuple[Any, tuple[Callable[[Any], Any], ...]]] = [(source, ()) for source in _sources(cls, kind)]
    waiting = deque(start)
    seen: set[Any] = set()
    while waiting:
        source, chain = waiting.popleft()
        if source in seen:
            continue
        seen.add(source)
        for reached, step in _ADAPTERS.get(source, ()):
            if target in reached.__mro__:
                return (*chain, step)
            waiting.extend((base, (*chain, step)) for base in reached.__mro__)
    return None
