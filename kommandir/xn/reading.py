"""``job.xn`` read and checked whole: its items, and every mistake in them, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.mistakes import Mistake
from kommandir.xn import words
from kommandir.xn.schema import CONTEXTS, KINDS, Key, Kind
from kommandir.yamlfile import Document, Way, did_you_mean

if TYPE_CHECKING:
    from kommandir.recipes.reading import Recipes

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTEXT = re.compile(r"[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*")

#: What messages call a text from standard input.
STANDARD_INPUT = "standard input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a file, as it stands there: nothing is substituted."""

    kind: Kind
    #: Its number in the file, from 1, whatever the context.
    index: int
    #: ``file:line``.
    place: str
    #: The contexts in which it takes part; empty: all.
    contexts: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)

    def is_for(self, context: str) -> bool:
        """Whether it takes part in ``context``."""
        return not self.contexts or context in self.contexts

    @property
    def title(self) -> str:
        """What people call it: the variable, the program, the playbook."""
        text = self.keys["name"] if self.kind.name == "variable" else self.keys["filepath"]
        return text if self.kind.name == "variable" else text.rsplit("/", 1)[-1]

    @property
    def description(self) -> str:
        """What a preview calls it."""
        return f"{self.kind.name} {self.title}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says, and what is wrong with it; with mistakes the items are not to be run."""

    items: tuple[Item, ...]
    mistakes: tuple[Mistake, ...]
    #: Those of the mapping form and of XML; None for the list form.
    recipes: Recipes | None = None
    #: What the file says, with the lines of all parts; XML as the mapping that says the same.
    documents: tuple[Document, ...] = ()


def read(file: Path | None, text: str | None, *, context: str | None = None) -> Reading:
    """All items of a file, or of ``text``, and all mistakes; ``context`` is checked too where it is given."""
    mistakes: list[Mistake] = []
    if context is not None and not _CONTEXT.fullmatch(context):
        mistakes.append(Mistake("context", f"`{context}` is none", "one word of letters, digits, `-` and `_`"))
    try:
        content = _content(file, text)
        if _is_xml(content):
            return _xml(file, content, mistakes)
        documents = _documents(file, content)
    except UsageError as error:
        return Reading((), (*mistakes, Mistake(*_parted(error, file))))
    if documents and _is_recipe(documents[0].value):
        return _recipes(_decoded(file, content), documents, mistakes)
    items: list[Item] = []
    for document in documents:
        Checking(document, items, mistakes).run()
    return Reading(tuple(items), tuple(sorted(mistakes, key=_line)), documents=tuple(documents))


def _is_xml(content: str | bytes) -> bool:
    """Whether it begins as XML does, in whatever encoding; no YAML of a job begins with ``<``."""
    if isinstance(content, str):
        content = content[:100].encode("utf-8", "replace")
    start = content.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    return start.startswith(b"<") and not start.startswith(b"<<")


def _xml(file: Path | None, content: str | bytes, mistakes: list[Mistake]) -> Reading:
    """Recipes in the manual's XML."""
    from kommandir.recipes import xmlform

    found, document = xmlform.read(content, str(file) if file else STANDARD_INPUT, mistakes)
    return Reading(found.items, tuple(sorted(mistakes, key=_line)), found, (document,))


def _is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and any(key in value for key in ("recipe", "recipes", "steps", "transitions"))


def _recipes(text: str, documents: list[Document], mistakes: list[Mistake]) -> Reading:
    """The mapping form."""
    from kommandir.recipes import reading

    if len(documents) > 1:
        mistakes.append(Mistake(documents[1].place(), "a second document starts here", "recipes stand in one"))
    found = reading.read(documents[0], text, mistakes)
    return Reading(found.items, tuple(sorted(mistakes, key=_line)), found, (documents[0],))


def _line(mistake: Mistake) -> int:
    """That of its place; 0 for what has none."""
    found = re.search(r":(\d+)(:\d+)?$", mistake.place)
    return int(found[1]) if found else 0


def _content(file: Path | None, text: str | None) -> str | bytes:
    try:
        return file.read_bytes() if file else text or ""
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}") from error


def _decoded(file: Path | None, content: str | bytes) -> str:
    try:
        return content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text", hint="save the file as UTF-8") from error


def _documents(file: Path | None, content: str | bytes) -> list[Document]:
    return yamlfile.parse_all(_decoded(file, content), str(file) if file else STANDARD_INPUT)


def _parted(error: UsageError, file: Path | None) -> tuple[str, str, str]:
    """Place, message and hint of an error that has its place in its text."""
    source = str(file) if file else STANDARD_INPUT
    place = re.match(re.escape(source) + r"(:\d+)*", error.what)
    if place is None:
        return source, error.what, error.hint or ""
    return place[0], error.what[place.end() :].removeprefix(": "), error.hint or ""


class Checking:
    """Goes through one document; never raises for what a user may have written."""

    def __init__(self, document: Document, items: list[Item], mistakes: list[Mistake]) -> None:
        self.document, self.items, self.mistakes = document, items, mistakes

    def wrong(self, way: Way, message: str, hint: str = "") -> None:
        """Note a mistake at a part of the document."""
        self.mistakes.append(Mistake(self.document.place(*way), message, hint))

    def run(self) -> None:
        """Check the whole document."""
        value = self.document.value
        if value is None:
            return
        if not isinstance(value, list):
            self.wrong((), f"expected a list of items, found {_called(value)}", "each item starts with `- `")
            return
        for number, entry in enumerate(value):
            if entry is not None:
                self.entry((number,), entry)

    def entry(self, way: Way, entry: Any) -> None:
        """Check an entry of the list."""
        if not isinstance(entry, dict):
            self.wrong(way, f"expected an item, found {_called(entry)}", "an item is one of " + listed(KINDS))
            return
        for name, keys in entry.items():
            kind = KINDS.get(name) if isinstance(name, str) else None
            if kind is None:
                self.wrong((*way, name), f"unknown item `{name}`{did_you_mean(str(name), KINDS)}", _kinds_hint(name))
            else:
                self.item((*way, name), kind, keys)

    def item(self, way: Way, kind: Kind, keys: Any) -> None:
        """Check the keys of an item, and keep it."""
        if not isinstance(keys, dict):
            found = "nothing" if keys is None else _called(keys)
            self.wrong(way, f"`{kind.name}` needs keys, found {found}", f"it has {listed(kind.keys)}")
            return
        self.missing(way, kind, keys)
        contexts = self.contexts((*way, CONTEXTS), keys.get(CONTEXTS))
        texts = dict(self.texts(way, kind, keys))
        if "arguments" in texts:
            self.arguments((*way, "arguments"), texts["arguments"])
        place = self.document.place(*way)
        self.items.append(Item(kind=kind, index=len(self.items) + 1, place=place, contexts=contexts, keys=texts))

    def missing(self, way: Way, kind: Kind, keys: dict[Any, Any]) -> None:
        """Note required keys that are not there, and keys that exclude each other."""
        for key in kind.keys.values():
            if key.required and keys.get(key.name) is None:
                self.wrong(way, f"`{kind.name}` lacks `{key.name}`", key.meaning)
        named = [name for name in kind.exclusive if keys.get(name) is not None]
        if len(named) > 1:
            self.wrong((*way, named[1]), f"only one of {listed(named)} may stand here", "remove the others")

    def contexts(self, way: Way, value: Any) -> tuple[str, ...]:
        """The list of contexts of an item."""
        if value is None:
            return ()
        if not isinstance(value, list):
            self.wrong(way, f"`{CONTEXTS}` must be a list, found {_called(value)}", f"for instance `[{value}]`")
            return ()
        for number, context in enumerate(value):
            if not isinstance(context, str) or not _CONTEXT.fullmatch(context):
                self.wrong((*way, number), f"`{context}` is no context", "one word of letters, digits, `-` and `_`")
        return tuple(str(context) for context in value)

    def texts(self, way: Way, kind: Kind, keys: dict[Any, Any]) -> Iterator[tuple[str, str]]:
        """The keys of an item with their texts."""
        for name, value in keys.items():
            key = kind.keys.get(name) if isinstance(name, str) else None
            if name == CONTEXTS:
                continue
            if key is None:
                meant = "" if name in kind.elsewhere else did_you_mean(str(name), [*kind.keys, CONTEXTS])
                hint = kind.elsewhere.get(name, f"`{kind.name}` has {listed(kind.keys)}")
                self.wrong((*way, name), f"unknown key `{name}`{meant}", hint)
            elif value is not None:
                text = self.text((*way, name), key, value)
                if text is not None:
                    yield key.name, text

    def text(self, way: Way, key: Key, value: Any) -> str | None:
        """The text of a key; None where there is none."""
        if key.is_switch:
            return self.switch(way, key, value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self.wrong(way, f"`{key.name}` must be a text, found {_called(value)}", "put it in quotes")
            return None
        text = value.strip()
        if "\0" in text:
            self.wrong(way, f"`{key.name}` has a NUL character in it")
        elif not text and not key.may_be_empty:
            self.wrong(way, f"`{key.name}` is empty", key.meaning)
        elif key.is_name and not _NAME.fullmatch(text):
            self.wrong(way, f"`{text}` is no name of a variable", "letters, digits and `_`, no digit first")
        elif text == "-" and not key.dash and key.name.endswith("file"):
            self.wrong(way, f"`{key.name}` can't be `-`", key.meaning)
        return text

    def switch(self, way: Way, key: Key, value: Any) -> str | None:
        """``yes`` or ``no``, however it is written."""
        text = str(value).strip().lower()
        if text not in ("yes", "no", "true", "false"):
            self.wrong(way, f"`{key.name}` must be `yes` or `no`, found {_called(value)}", key.meaning)
            return None
        return "yes" if text in ("yes", "true") else "no"

    def arguments(self, way: Way, text: str) -> None:
        """Check that ``arguments`` can be split into words."""
        try:
            words.split(text)
        except ValueError as error:
            self.wrong(way, f"`arguments`: {error}", "an apostrophe inside of '...' ends it")


def _kinds_hint(name: Any) -> str:
    if name in ("recipe", "steps", "transitions"):
        return "a recipe is a mapping of its own, not an item of a list"
    return "an item is one of " + listed(KINDS)


def listed(names: Any) -> str:
    """Names as a hint lists them."""
    return ", ".join(f"`{name}`" for name in names)


def _called(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "a switch", int: "a number", float: "a number"}
    kind = next((name for kind, name in names.items() if type(value) is kind), type(value).__name__)
    return f"{kind} (`{value}`)" if isinstance(value, str | bool | int | float) and len(str(value)) < 60 else kind
