"""YAML of users: read with the place of everything, so that each mistake can name its file, line and key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kommandir.errors import UsageError

#: A way into a document: keys and indexes.
Way = tuple[Any, ...]


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
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Document:
    """The same for a text; ``source`` is what messages call it."""
    lines: dict[Way, int] = {}
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        value = _construct(loader, node, (), lines, source) if node else None
    except yaml.YAMLError as error:
        raise UsageError(_broken(error, source), hint="mend the YAML; `exekutir validate` checks all files") from error
    finally:
        loader.dispose()
    return Document(value, source, lines)


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


def _construct(loader: Any, node: yaml.Node, way: Way, lines: dict[Way, int], source: str) -> Any:
    lines[way] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(loader, node, way, lines, source)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*way, index), lines, source) for index, item in enumerate(node.value)]
    if node.tag in ("!vault", "!vault-encrypted"):
        return VaultValue(node.value)
    if node.tag == "!unsafe":
        return UnsafeValue(node.value)
    return loader.construct_object(node, deep=True)


def _construct_mapping(
    loader: Any, node: yaml.MappingNode, way: Way, lines: dict[Way, int], source: str
) -> dict[Any, Any]:
    written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
    loader.flatten_mapping(node)  # merges `<<`
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str | int | float | bool | None):
            raise UsageError(f"{source}:{line}: a list or mapping can't be a key")
        if key in result and written.count(key_node.value) > 1:
            raise UsageError(f"{source}:{line}: key `{key}` stands here twice", hint="remove one of the two")
        result[key] = _construct(loader, value_node, (*way, key), lines, source)
        lines[(*way, key)] = line
    return result


def _broken(error: yaml.YAMLError, source: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "broken"
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        return f"{place}: not valid YAML: {problem}"
    return f"{source}: not valid YAML: {error}"
