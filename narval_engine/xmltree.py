"""XML as a tree of nodes that know their lines, read without entities, so that no file can grow on being read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from xml.parsers import expat

from narval_engine.places import Mistake, Place

_DEEPEST = 100
#: Attributes of the engine's own, written as they stand here, whatever prefixes a file uses for the rest.
OWN = "narval:"


class Node:
    """An XML element: ``tag`` and ``attributes`` without prefixes, ``own`` those that begin with ``narval:``."""

    __slots__ = ("attributes", "children", "own", "place", "tag", "texts")

    def __init__(self, tag: str, attributes: dict[str, str], own: dict[str, str], place: Place) -> None:
        self.tag = tag
        self.attributes = attributes
        self.own = own
        self.place = place
        self.children: list[Node] = []
        self.texts: list[str] = []

    @property
    def text(self) -> str:
        """The text directly inside."""
        return "".join(self.texts)


class _Builder:
    def __init__(self, file: str, first_line: int) -> None:
        self.root: Node | None = None
        self._file = file
        self._first_line = first_line
        self._open: list[Node] = []
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._entity

    def place(self, line: int | None = None) -> Place:
        return Place(self._file, (line or self.parser.CurrentLineNumber) + self._first_line - 1)

    def _start(self, tag: str, flat: list[str]) -> None:
        if len(self._open) >= _DEEPEST:
            raise _RefusedError(f"elements are nested deeper than {_DEEPEST}")
        given = dict(zip(flat[::2], flat[1::2], strict=True))
        own = {name.removeprefix(OWN): value for name, value in given.items() if name.startswith(OWN)}
        attributes = {
            _local(name): value
            for name, value in given.items()
            if name != "xmlns" and not name.startswith(("xmlns:", "xml:", OWN))
        }
        node = Node(_local(tag), attributes, own, self.place())
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _data(self, data: str) -> None:
        if self._open:
            self._open[-1].texts.append(data)

    def _entity(self, *_declared: object) -> None:
        raise _RefusedError("entities other than those of XML itself are not read")


class _RefusedError(Exception):
    """Well-formed, and not wanted all the same."""


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def parsed(text: str | bytes, file: str, mistakes: list[Mistake], first_line: int = 1) -> Node | None:
    """The root of an XML text, or ``None`` and a mistake. ``first_line`` is where in the file the text begins."""
    builder = _Builder(file, first_line)
    try:
        builder.parser.Parse(text, True)
    except expat.ExpatError as error:
        mistakes.append(
            Mistake(f"is not well-formed XML: {expat.ErrorString(error.code)}", builder.place(error.lineno))
        )
        return None
    except (_RefusedError, ValueError, UnicodeError, LookupError) as error:
        mistakes.append(Mistake(f"cannot be read as XML: {error}", builder.place()))
        return None
    return builder.root


class Reading:
    """Reads attributes and children of nodes, and collects whatever is wrong with them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes

    def wrong(self, message: str, place: Place | None) -> None:
        """Notes a mistake."""
        self.mistakes.append(Mistake(message, place))

    def attributes(self, node: Node, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, str]:
        """The attributes of a node, which has to have the required ones and may have no others than these."""
        required, optional = list(required), list(optional)
        allowed = [*required, *optional]
        for name in node.attributes:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, 1, 0.6)
                hint = f"did you mean {near[0]!r}? " if near else ""
                listed = f"allowed are {', '.join(allowed)}" if allowed else "it has none"
                self.wrong(f"unknown attribute {name!r} of <{node.tag}>; {hint}{listed}", node.place)
        for name in required:
            if not node.attributes.get(name):
                self.wrong(f"<{node.tag}> needs the attribute {name!r}", node.place)
        return node.attributes

    def children(self, node: Node, *allowed: str) -> list[Node]:
        """The children of a node, which may be these only; text has no place among them."""
        listed = f"allowed are {', '.join(f'<{tag}>' for tag in allowed)}" if allowed else "it is empty"
        for child in node.children:
            if child.tag not in allowed:
                self.wrong(f"unexpected <{child.tag}> in <{node.tag}>; {listed}", child.place)
        if node.text.strip():
            self.wrong(f"unexpected text {node.text.strip()[:40]!r} in <{node.tag}>; {listed}", node.place)
        return [child for child in node.children if child.tag in allowed]

    def yes_no(self, node: Node, name: str) -> bool | None:
        """A yes or no attribute; ``None`` if it is not there."""
        value = node.attributes.get(name)
        if value is None or value in {"yes", "no"}:
            return None if value is None else value == "yes"
        self.wrong(f"{name}={value!r} of <{node.tag}>; it is 'yes' or 'no'", node.place)
        return None

    def number(self, node: Node, name: str, *, whole: bool = False) -> float | None:
        """A number; ``None`` if it is not there."""
        value = node.attributes.get(name)
        if value is None:
            return None
        try:
            # Of a whole number every digit counts.
            found = int(value) if whole else float(value)
        except ValueError:
            found = float("nan")
        if found != found or found in {float("inf"), float("-inf")}:
            kind = "a whole number" if whole else "a number"
            self.wrong(f"{name}={value[:60]!r} of <{node.tag}>; it is {kind}", node.place)
            return None
        return found
