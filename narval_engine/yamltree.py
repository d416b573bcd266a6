"""YAML as a tree of items that know their lines, read without aliases, so that no file can grow on being read."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import yaml

from narval_engine.places import Mistake, Place

_DEEPEST = 50


class Item:
    """A part of a YAML text: a mapping, a list or a scalar, with its value and its line."""

    __slots__ = ("_file", "_node", "_value")

    def __init__(self, node: yaml.Node, file: str) -> None:
        self._node = node
        self._file = file
        self._value: Any = self

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self._file, self._node.start_mark.line + 1)

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def value(self) -> Any:
        """It as plain Python data."""
        if self._value is self:
            self._value = _constructed(self._node)
        return self._value

    def pairs(self) -> Iterator[tuple[str, Item]]:
        """The keys, as text, with their items."""
        assert isinstance(self._node, yaml.MappingNode)
        for key, node in self._node.value:
            value = _constructed(key)
            # ``no`` and ``on`` are names here, and no truth values.
            plain = isinstance(key, yaml.ScalarNode) and (value is None or isinstance(value, bool))
            yield key.value if plain else str(value), Item(node, self._file)

    def children(self) -> Iterator[Item]:
        """The items of a list."""
        assert isinstance(self._node, yaml.SequenceNode)
        for node in self._node.value:
            yield Item(node, self._file)


def _constructed(node: yaml.Node) -> Any:
    constructor = yaml.constructor.SafeConstructor()
    return constructor.construct_document(node)


def parsed(text: str | bytes, file: str, mistakes: list[Mistake]) -> Item | None:
    """The root of a YAML text of one document, or ``None`` and a mistake."""
    found = _read(lambda: [yaml.compose(text, Loader=yaml.SafeLoader)], file, mistakes)
    return found[0] if found else None


def documents(text: str | bytes, file: str, mistakes: list[Mistake]) -> list[Item]:
    """The roots of all documents of a YAML text, or nothing and a mistake."""
    return _read(lambda: list(yaml.compose_all(text, Loader=yaml.SafeLoader)), file, mistakes)


def _read(nodes: Callable[[], list[yaml.Node | None]], file: str, mistakes: list[Mistake]) -> list[Item]:
    found: list[Item] = []
    try:
        for node in nodes() or [None]:
            if node is None:
                mistakes.append(Mistake("is empty", Place(file, 1)))
                return []
            problem = _unwanted(node, file)
            if problem is not None:
                mistakes.append(problem)
                return []
            found.append(Item(node, file))
            _ = found[-1].value
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        mistakes.append(Mistake(f"is no YAML: {error.problem or error.context}", Place(file, line)))
        return []
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mistakes.append(Mistake(f"is no YAML: {type(error).__name__} {error}".splitlines()[0], Place(file, 1)))
        return []
    return found


def _unwanted(root: yaml.Node, file: str) -> Mistake | None:
    """Aliases, which can make much of little, depth that nobody writes, keys that are there twice."""
    seen: set[int] = set()
    waiting = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        place = Place(file, node.start_mark.line + 1)
        if id(node) in seen and not isinstance(node, yaml.ScalarNode):
            return Mistake("aliases (*name) are not read here", place)
        if depth > _DEEPEST:
            return Mistake(f"is nested deeper than {_DEEPEST}", place)
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, _value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in names:
                    return Mistake(f"the key {key.value!r} is there twice", Place(file, key.start_mark.line + 1))
                names.update([key.value] if isinstance(key, yaml.ScalarNode) else ())
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]
    return None


class YamlReading:
    """Reads keys of mappings, and collects whatever is wrong with them."""

    #: Other names of keys.
    also: ClassVar[Mapping[str, str]] = {}

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes

    def wrong(self, message: str, item: Item) -> None:
        """Notes a mistake."""
        self.mistakes.append(Mistake(message, item.place))

    def mapping(self, item: Item, allowed: Sequence[str], what: str, required: Sequence[str] = ()) -> dict[str, Item]:
        """The keys of a mapping, which has to have the required ones and may have no others than these."""
        if not item.is_mapping:
            if item.value is not None or required:
                self.wrong(f"{what} is a mapping; its keys are {', '.join(allowed)}", item)
            return {}
        keys: dict[str, Item] = {}
        for said, each in item.pairs():
            other = self.also.get(said, said)
            name = other if other in allowed else said
            if name in allowed and name not in keys:
                keys[name] = each
                continue
            if name in keys:
                self.wrong(f"{said!r} of {what} says again what {name!r} says", each)
                continue
            near = difflib.get_close_matches(name, allowed, 1, 0.6)
            hint = f"did you mean {near[0]!r}? " if near else ""
            self.wrong(f"unknown key {name!r} of {what}; {hint}allowed are {', '.join(allowed)}", each)
        for name in required:
            if name not in keys:
                self.wrong(f"{what} needs the key {name!r}", item)
        return keys

    def items(self, item: Item, what: str) -> list[Item]:
        """The items of a list."""
        if item.is_list:
            return list(item.children())
        if item.value is not None:
            self.wrong(f"{what} is a list", item)
        return []

    def text(self, keys: dict[str, Item], name: str) -> str | None:
        """A text; ``None`` if it is not there."""
        item = keys.get(name)
        if item is None or item.value is None:
            return None
        if isinstance(item.value, str | int | float) and not isinstance(item.value, bool):
            return str(item.value)
        self.wrong(f"{name} is text", item)
        return None

    def flag(self, keys: dict[str, Item], name: str) -> bool | None:
        """True or false; ``None`` if it is not there."""
        item = keys.get(name)
        if item is None:
            return None
        if isinstance(item.value, bool):
            return item.value
        if item.value in ("yes", "no"):
            return bool(item.value == "yes")
        self.wrong(f"{name} is true or false", item)
        return None

    def number(self, keys: dict[str, Item], name: str, *, whole: bool = False) -> float | None:
        """A number; ``None`` if it is not there."""
        item = keys.get(name)
        if item is None or item.value is None:
            return None
        kind = int if whole else int | float
        if isinstance(item.value, kind) and not isinstance(item.value, bool) and abs(item.value) < 1e15:
            number: float = item.value
            return number
        self.wrong(f"{name} is a {'whole ' if whole else ''}number", item)
        return None


def listed(item: Item) -> str:
    """A note as text: the items of a list with blanks between them."""
    return " ".join(map(str, item.value)) if isinstance(item.value, list) else str(item.value)
