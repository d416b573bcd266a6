"""YAML of users: read with the place of everything, so that each mistake can name its file, line and key."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kommandir.errors import UsageError

#: A way into a document: keys and indexes.
Way = tuple[Any, ...]

#: Values in one document, with those that aliases repeat, and how deep they may lie: more is a mistake or an attack.
MOST_PARTS = 200_000
DEEPEST = 100
#: Characters of a text that is read without a look at its depth before.
SHORT = 20_000


class VaultValue(str):
    """The ciphertext of an ``!vault`` value; only Ansible can read it."""

    __slots__ = ()


class UnsafeValue(str):
    """An ``!unsafe`` text: Ansible does not template it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document and the places of its parts."""

    value: Any
    #: Where it is from, for messages.
    source: str
    #: Line (from 1) of each key and item, by its way.
    lines: Mapping[Way, int] = field(default_factory=dict)

    def line(self, *way: Any) -> int:
        """The line of a key or item, or of the nearest thing around it."""
        while way and way not in self.lines:
            way = way[:-1]
        return self.lines.get(way, 1)

    def place(self, *way: Any) -> str:
        """``file:line`` of a key or item, for messages."""
        return f"{self.source}:{self.line(*way)}"


def load(path: Path) -> Document:
    """Read one YAML document; ``value`` is None for an empty file.

    Raises UsageError, which names file and line, when it can't be read, is no YAML, or has a key twice.
    """
    return parse(_text(path), str(path))


def nodes(path: Path) -> list[yaml.Node]:
    """The documents of a file before they are turned into values, so that any tag will do.

    Raises UsageError as ``load`` does, but takes several documents and keys that stand there twice.
    """
    text, source = _text(path), str(path)
    with _told(source):
        _demand_shallow(text, source)
        return list(yaml.compose_all(text, Loader=_Loader))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error


def parse(text: str, source: str) -> Document:
    """The same for a text; ``source`` is what messages call it."""
    documents = parse_all(text, source)
    if len(documents) > 1:
        raise UsageError(f"{documents[1].place()}: a second document starts here", hint="keep one document in a file")
    return documents[0] if documents else Document(None, source, {})


def parse_all(text: str, source: str) -> list[Document]:
    """``parse`` for a text of any number of documents, in their order; lines count from the start of the text."""
    with _told(source):
        _demand_shallow(text, source)
        loader = _Loader(text)
        try:
            return list(_documents(loader, source))
        finally:
            loader.dispose()


@contextlib.contextmanager
def _told(source: str) -> Iterator[None]:
    """What the library raises, as a mistake of the user."""
    try:
        yield
    except yaml.YAMLError as error:
        raise UsageError(_broken(error, source), hint="mend the YAML; `exekutir validate` checks all files") from error
    except (RecursionError, UnicodeEncodeError) as error:
        raise UsageError(f"{source}: not valid YAML: too deep, or not UTF-8") from error


def _demand_shallow(text: str, source: str) -> None:
    """The C library nests as deep as the text does, and dies of it; a short text can't go that deep."""
    if len(text) < SHORT:
        return
    depth = 0
    events: Iterable[Any] = yaml.parse(text, Loader=_Loader)
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise UsageError(f"{source}:{event.start_mark.line + 1}: too deep to be meant")


def _documents(loader: Any, source: str) -> Iterator[Document]:
    while loader.check_node():
        yield _Reading(loader, source).document(loader.get_node())


def mapping(path: Path) -> Document:
    """``load`` for files that must hold a mapping with string keys; an empty file is an empty mapping."""
    document = load(path)
    return checked_mapping(document)


def checked_mapping(document: Document) -> Document:
    """``document``, with {} for nothing; raises UsageError when it is anything but a mapping with string keys."""
    if document.value is None:
        return Document({}, document.source, document.lines)
    if not isinstance(document.value, dict):
        kind = type(document.value).__name__
        raise UsageError(f"{document.place()}: expected a mapping of variables (`name: value`), found a {kind}")
    for key in document.value:
        if not isinstance(key, str):
            raise UsageError(f"{document.source}:{document.line(key)}: key {key!r} is not a name")
    return document


def dump(value: Any) -> str:
    """Block-style YAML of plain values, with keys in their order; vault and unsafe values keep their tags."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint ``, did you mean X?`` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f", did you mean `{near[0]}`?" if near else ""


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Ours, so that no representer of ours reaches other users of the library."""


_Dumper.add_representer(VaultValue, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))
_Dumper.add_representer(UnsafeValue, lambda dumper, value: dumper.represent_scalar("!unsafe", str(value)))


class _Reading:
    """Makes plain values of the nodes of one document and notes their lines."""

    def __init__(self, loader: Any, source: str) -> None:
        self.loader, self.source = loader, source
        self.lines: dict[Way, int] = {}
        self._around: list[yaml.Node] = []
        self._parts = 0

    def document(self, node: yaml.Node) -> Document:
        return Document(self.value(node, ()), self.source, self.lines)

    def value(self, node: yaml.Node, way: Way) -> Any:
        line = node.start_mark.line + 1
        self.lines[way] = line
        self._parts += 1
        if self._parts > MOST_PARTS or len(self._around) > DEEPEST:
            raise UsageError(f"{self.source}:{line}: too large or too deep to be meant")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, line)
        if any(node is outer for outer in self._around):
            raise UsageError(f"{self.source}:{line}: an alias stands inside of what it names")
        self._around.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*way, index)) for index, item in enumerate(node.value)]
            return self.mapping(node, way)
        finally:
            self._around.pop()

    def scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        if node.tag in ("!vault", "!vault-encrypted"):
            return VaultValue(node.value)
        if node.tag == "!unsafe":
            return UnsafeValue(node.value)
        try:
            return self.loader.construct_object(node, deep=True)
        except (ValueError, AttributeError, TypeError, LookupError, OverflowError) as error:  # its constructors let out
            kind = node.tag.rpartition(":")[2]
            raise UsageError(f"{self.source}:{line}: `{node.value}` is no {kind}", hint="put it in quotes") from error

    def mapping(self, node: yaml.Node, way: Way) -> dict[Any, Any]:
        written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        self.loader.flatten_mapping(node)  # merges `<<`
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise UsageError(f"{self.source}:{line}: a list or mapping can't be a key")
            key = self.scalar(key_node, line)
            if key in result and written.count(key_node.value) > 1:
                raise UsageError(f"{self.source}:{line}: key `{key}` stands here twice", hint="remove one of the two")
            result[key] = self.value(value_node, (*way, key))
            self.lines[(*way, key)] = line
        return result


def _broken(error: yaml.YAMLError, source: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "broken"
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        return f"{place}: not valid YAML: {problem}"
    return f"{source}: not valid YAML: {error}"
