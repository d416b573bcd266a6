"""Attributes of elements as JSON text, for the journal and for saved memories: plain data and elements only."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any

from narval_engine.elements import NAMES, Element

_TAG = "$"
_SIMPLE = (str, bool, type(None))


class EncodingError(TypeError):
    """A value is of a kind that cannot be kept in a file; the message says which."""


def packed(value: Any) -> Any:
    """The value in terms of what JSON has. Raises EncodingError."""
    if isinstance(value, _SIMPLE) and type(value) in _SIMPLE:
        return value
    kind = type(value)
    if kind is int or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [packed(each) for each in value]
    if kind is dict and all(type(key) is str and key != _TAG for key in value):
        return {key: packed(each) for key, each in value.items()}
    return {_TAG: _tagged(value)}


def _tagged(value: Any) -> list[Any]:
    kind = type(value)
    if kind in {tuple, set, frozenset}:
        items = sorted(value, key=repr) if kind is not tuple else value
        return [kind.__name__, [packed(each) for each in items]]
    if kind is dict:
        return ["dict", [[packed(key), packed(each)] for key, each in value.items()]]
    if kind is bytes:
        return ["bytes", base64.b64encode(value).decode()]
    if kind is float:
        return ["float", repr(value)]
    if kind in {datetime, date}:
        return [kind.__name__, value.isoformat()]
    if kind is timedelta:
        return ["timedelta", value.total_seconds()]
    if isinstance(value, PurePath):
        return ["path", str(value)]
    if isinstance(value, Element):
        return ["element", element_packed(value)]
    raise EncodingError(f"a {kind.__module__}.{kind.__qualname__} cannot be kept in a file")


def unpacked(value: Any) -> Any:
    """What ``packed`` was given. Raises ValueError or KeyError for what it cannot have written."""
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: unpacked(each) for key, each in value.items()}
    kind, inside = value[_TAG]
    return _MAKERS[kind](inside)


def _path(text: str) -> PurePath:
    from pathlib import Path

    return Path(text)


def element_packed(element: Element) -> list[Any]:
    """An element without its marks: class, type, attributes. Raises EncodingError that names the attribute."""
    attributes = {}
    for name, value in element.__dict__.items():
        try:
            attributes[name] = packed(value)
        except EncodingError as error:
            raise EncodingError(f"attribute {name!r} of element {element.type!r}: {error}") from error
    cls = type(element)
    return [cls.__name__ if cls is not Element else "", element.type, attributes]


def problem_of(things: Iterable[Any]) -> str | None:
    """Why one of the elements among these cannot be kept, ``None`` if all can."""
    try:
        for thing in things:
            if isinstance(thing, Element):
                element_packed(thing)
    except EncodingError as error:
        return str(error)
    return None


def element_unpacked(record: Any) -> Element:
    """The element of such a record; an element class that is not there any more makes it a generic one."""
    name, kind, attributes = record
    cls = NAMES.get(name, Element)
    if not (isinstance(cls, type) and issubclass(cls, Element)) or cls.private:
        cls = Element
    return made(cls, kind, {key: unpacked(each) for key, each in attributes.items()})


_MAKERS: Mapping[str, Any] = {
    "tuple": lambda items: tuple(unpacked(each) for each in items),
    "set": lambda items: {unpacked(each) for each in items},
    "frozenset": lambda items: frozenset(unpacked(each) for each in items),
    "dict": lambda items: {unpacked(key): unpacked(each) for key, each in items},
    "bytes": base64.b64decode,
    "float": float,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "timedelta": lambda seconds: timedelta(seconds=seconds),
    "path": _path,
    "element": element_unpacked,
}


def made(cls: type[Element], kind: str, attributes: Mapping[str, Any]) -> Element:
    """An element of this class with exactly these attributes, past whatever its constructor does."""
    element = cls.__new__(cls)
    element.type = kind
    element.__dict__.update(attributes)
    return element


def value_text(value: Any) -> str:
    """A value as text; ASCII, for not every text can be written otherwise."""
    return json.dumps(packed(value), separators=(",", ":"))


def value_from(text: str) -> Any:
    """A value from its text. Raises ValueError."""
    return unpacked(json.loads(text))


def attributes_text(attributes: Mapping[str, Any]) -> str:
    """Attributes as text."""
    return value_text(dict(attributes))


def attributes_from(text: str) -> dict[str, Any]:
    """Attributes from their text. Raises ValueError."""
    found = value_from(text)
    if not isinstance(found, dict):
        raise ValueError("attributes are a mapping")
    return found
