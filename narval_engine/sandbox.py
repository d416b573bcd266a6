"""What match expressions can reach, and the guards that stand between."""

from __future__ import annotations

import datetime
import types
from collections.abc import Iterator
from typing import Any, TypeGuard

from narval_engine.elements import Element
from narval_engine.interfaces import InterfaceClass

#: Fields of an element that are not its attributes.
ELEMENT_FIELDS = frozenset({"eid", "type", "made_by_plan", "made_by_step", "used_by", "outdated"})
#: Methods of plain values that neither change them nor make something much larger.
_METHOD_NAMES = """
    startswith endswith lower upper casefold title capitalize swapcase strip lstrip rstrip removeprefix removesuffix
    split rsplit splitlines partition rpartition find rfind index rindex count isalpha isalnum isdigit isdecimal
    isnumeric isspace isupper islower istitle isidentifier isascii isprintable encode decode hex get keys values
    items union intersection difference symmetric_difference issubset issuperset isdisjoint copy real imag
    numerator denominator is_integer bit_length conjugate
"""
_METHODS = frozenset(_METHOD_NAMES.split())
_PLAIN = (str, bytes, int, float, complex, tuple, list, dict, set, frozenset, type(None))
_CLOSED = (
    *(types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.CodeType),
    *(types.FrameType, types.TracebackType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType),
    *(types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType, types.CellType),
)
_BARE = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)
_NUMBERS = (int, float, datetime.timedelta)
_MOST_DIGITS = 300
#: How often the loops of an expression may go round, all together.
_MOST_ROUNDS = 1_000_000
_DATES = (datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)


def is_interface(thing: Any) -> TypeGuard[InterfaceClass]:
    """Whether the thing is an interface."""
    return isinstance(thing, InterfaceClass)


def forbidden(name: str) -> bool:
    """Whether no expression may name an attribute so: what begins with an underscore is Python's or private."""
    return name.startswith("_")


def attribute(thing: Any, name: str) -> Any:
    """``thing.name``, where that is harmless. Raises AttributeError."""
    if forbidden(name) or isinstance(thing, (*_CLOSED, type)) or _is_ours(thing):
        raise AttributeError(f"{name} of a {type(thing).__name__} is out of reach of a match expression")
    if not isinstance(thing, Element) and isinstance(thing, _PLAIN) and name not in _METHODS:
        raise AttributeError(f"{name} of a {type(thing).__name__} is out of reach of a match expression")
    if isinstance(thing, _DATES) and name == "strftime":
        raise AttributeError(f"{name} of a {type(thing).__name__} is out of reach of a match expression")
    value = getattr(thing, name)
    # Methods come bound; a bare function or module was put there, and is nothing to look at.
    if isinstance(value, _BARE) and not isinstance(thing, _PLAIN):
        raise AttributeError(f"{name} of a {type(thing).__name__} is out of reach of a match expression")
    return value


def _is_ours(thing: Any) -> bool:
    """Whether it is a part of the engine, which plans lead to."""
    return type(thing).__module__.startswith(__package__ or "narval_engine") and not isinstance(thing, Element)


def _new_budget() -> list[int]:
    return [_MOST_ROUNDS]


def _each(things: Any, budget: list[int]) -> Iterator[Any]:
    """What a loop goes over, as long as the expression's loops have not gone round too often."""
    for thing in things:
        budget[0] -= 1
        if budget[0] < 0:
            raise OverflowError("the loops of a match expression go round too often")
        yield thing


def _times(left: Any, right: Any) -> Any:
    if not isinstance(left, _NUMBERS) or not isinstance(right, _NUMBERS):
        raise TypeError("a match expression multiplies numbers only")
    product: Any = left * right  # type: ignore[operator] # a product of two durations raises, which is no match
    return product


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes):
        raise TypeError("formatting with % is out of reach of a match expression")
    return left % right


def _getattr(thing: Any, name: str, *default: Any) -> Any:
    try:
        return attribute(thing, name)
    except AttributeError:
        if default:
            return default[0]
        raise


def _hasattr(thing: Any, name: str) -> bool:
    try:
        attribute(thing, name)
    except AttributeError:
        return False
    return True


def _sum(numbers: Any, start: Any = 0) -> Any:
    if not isinstance(start, _NUMBERS):
        raise TypeError("a match expression sums numbers only")
    return sum(numbers, start)


def _round(number: Any, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > _MOST_DIGITS:
        raise OverflowError("too many digits")
    return round(number, digits)


BUILTINS: dict[str, Any] = {
    "isinstance": isinstance,
    "int": int,
    "str": str,
    "float": float,
    "bool": bool,
    "len": len,
    "any": any,
    "all": all,
    "min": min,
    "max": max,
    "sum": _sum,
    "abs": abs,
    "round": _round,
    "sorted": sorted,
    "set": set,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "frozenset": frozenset,
    "repr": repr,
    "zip": zip,
    "enumerate": enumerate,
    "reversed": reversed,
    "hasattr": _hasattr,
    "getattr": _getattr,
    "True": True,
    "False": False,
    "None": None,
}
GUARDS: dict[str, Any] = {
    "_attribute": attribute,
    "_times": _times,
    "_modulo": _modulo,
    "_each": _each,
    "_new_budget": _new_budget,
}
