"""What a variable may hold: kinds of values, each of which says what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kommandir.yamlfile import UnsafeValue, VaultValue, Way, did_you_mean

#: What Ansible takes for true and false in a text.
TRUE_WORDS = frozenset({"true", "yes", "on", "y", "t", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "n", "f", "0"})

_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a text", list: "a list", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong inside a value."""

    #: The way from the value to what is wrong.
    way: Way
    message: str
    hint: str = ""


class Kind:
    """What a variable may hold; this one: whatever a job likes."""

    #: What the reference and messages call it.
    name: str = "anything"

    def __str__(self) -> str:
        return self.name

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """Everything that is wrong with a value that is set, with the way to it."""
        return iter(())

    def converted(self, text: str) -> Any:
        """The value that a text of the command line means; the text itself where it means none."""
        return text


def is_empty(value: Any) -> bool:
    """Whether a value counts as "not set": null, an empty text, list or mapping, as ADEPT's variable ``empty``."""
    return value is None or (isinstance(value, str | list | tuple | Mapping) and len(value) == 0)


def is_template(value: Any) -> bool:
    """Whether Ansible will replace this text by what it evaluates to."""
    return isinstance(value, str) and not isinstance(value, UnsafeValue) and ("{{" in value or "{%" in value)


def has_template(value: Any) -> bool:
    """Whether there is a template anywhere in a value."""
    if isinstance(value, Mapping):
        return any(map(has_template, value.values()))
    return any(map(has_template, value)) if isinstance(value, list | tuple) else is_template(value)


def is_open(value: Any) -> bool:
    """Whether nobody knows the value yet: a template, or a text that only Ansible can decrypt."""
    return isinstance(value, VaultValue) or is_template(value)


def described(value: Any) -> str:
    """The kind of a value in words, for messages."""
    return _NAMES.get(type(value), f"a {type(value).__name__}")


def _shown(value: Any) -> str:
    """The same with the value, where it is a scalar: in lists and mappings there may be secrets."""
    return described(value) + ("" if isinstance(value, list | Mapping) else f": {value!r}")


class Boolean(Kind):
    """True or false; a quoted word is neither, since Ansible's conditions refuse it."""

    name = "boolean"

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """Anything but a boolean."""
        if isinstance(value, bool) or is_open(value):
            return
        quoted = isinstance(value, str) and value.lower() in TRUE_WORDS | FALSE_WORDS
        hint = "write it without quotes" if quoted else "true or false"
        yield Problem(way, f"must be a boolean, but is {_shown(value)}", hint)

    def converted(self, text: str) -> Any:
        """The words that Ansible's ``bool`` filter knows."""
        word = text.strip().lower()
        if word in TRUE_WORDS:
            return True
        return False if word in FALSE_WORDS else text


class Number(Kind):
    """An integer or, unless ``whole``, a number, also as a quoted text of digits; 0 or more."""

    def __init__(self, name: str = "integer", *, whole: bool = True) -> None:
        self.name, self.whole = name, whole

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """Anything that is no number, or one that is too small."""
        if is_open(value):
            return
        number = self.converted(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int if self.whole else int | float):
            article = "an" if self.name[0] in "aeiou" else "a"
            yield Problem(way, f"must be {article} {self.name}, but is {_shown(value)}")
        elif not number >= 0:
            yield Problem(way, f"must be 0 or more, but is {value!r}")

    def converted(self, text: str) -> Any:
        """Decimal digits only, so that nothing is read in another base."""
        try:
            return int(text) if self.whole or text.strip().lstrip("+-").isdigit() else float(text)
        except ValueError:
            return text


class Text(Kind):
    """A text; what YAML reads as a number or boolean must be quoted, since it no longer is what was written."""

    def __init__(self, name: str = "text") -> None:
        self.name = name

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """Anything but a text."""
        if is_open(value):
            return
        if not isinstance(value, str):
            scalar = isinstance(value, bool | int | float) or not isinstance(value, list | Mapping)
            hint = "put it in quotes" if scalar else ""
            yield Problem(way, f"must be a text, but YAML reads {_shown(value)}", hint)


class OneOf(Text):
    """One of a few words."""

    def __init__(self, *choices: str) -> None:
        super().__init__(" or ".join(f"`{choice}`" for choice in choices))
        self.choices = choices

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """Anything but one of them."""
        if not is_open(value) and value not in self.choices:
            near = did_you_mean(str(value), self.choices)
            yield Problem(way, f"must be {self.name}, but is {_shown(value)}{near}")


class ListOf(Kind):
    """A list whose items are all of one kind; ``single``: old jobs have a single text where a list is meant."""

    def __init__(self, item: Kind, *, single: bool = False) -> None:
        self.item, self.single = item, single
        self.name = f"list of {item.name}s"

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """A value that is no list, and whatever is wrong with each item."""
        if is_open(value) or (self.single and isinstance(value, str)):
            return
        if not isinstance(value, list | tuple):
            hint = "write it as a list: [...]" if isinstance(value, str) else ""
            yield Problem(way, f"must be a {self.name}, but is {described(value)}", hint)
            return
        for index, item in enumerate(value):
            yield from self.item.problems(item, (*way, index))

    def converted(self, text: str) -> Any:
        """A YAML or JSON list."""
        return _flow(text, "[", list)


class MappingOf(Kind):
    """A mapping of any names to values of one kind."""

    name = "mapping"

    def __init__(self, value: Kind) -> None:
        self.value = value

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """A value that is no mapping, and whatever is wrong with each of its values."""
        if is_open(value):
            return
        if not isinstance(value, Mapping):
            yield Problem(way, f"must be a mapping, but is {described(value)}", "write it as `name: value`")
            return
        for key, item in value.items():
            if item is not None:
                yield from self.value.problems(item, (*way, key))

    def converted(self, text: str) -> Any:
        """A YAML or JSON mapping."""
        return _flow(text, "{", dict)


class Record(Kind):
    """A mapping whose keys are known."""

    def __init__(self, keys: Mapping[str, Kind], *, required: tuple[str, ...] = (), name: str = "mapping") -> None:
        self.keys, self.required, self.name = keys, required, name

    def problems(self, value: Any, way: Way = ()) -> Iterator[Problem]:
        """A value that is no mapping, keys that are unknown or missing, and what is wrong with their values."""
        if is_open(value):
            return
        if not isinstance(value, Mapping):
            yield Problem(way, f"must be a mapping, but is {described(value)}", self._example())
            return
        for key, item in value.items():
            if key not in self.keys:
                near = did_you_mean(str(key), self.keys)
                yield Problem((*way, key), f"unknown key `{key}`{near}", "known are " + ", ".join(self.keys))
            elif item is not None:
                yield from self.keys[key].problems(item, (*way, key))
        for key in self.required:
            if is_empty(value.get(key)):
                yield Problem(way, f"key `{key}` is missing", self._example())

    def _example(self) -> str:
        return "{" + ", ".join(f"{key}: ..." for key in self.required or tuple(self.keys)[:1]) + "}"

    def converted(self, text: str) -> Any:
        """A YAML or JSON mapping."""
        return _flow(text, "{", dict)


def _flow(text: str, opening: str, wanted: type) -> Any:
    """A list or mapping in YAML's flow style; anything else stays the text it is."""
    if not text.lstrip().startswith(opening) or text.lstrip().startswith("{{"):
        return text
    from kommandir.errors import UsageError
    from kommandir.yamlfile import parse

    try:
        value = parse(text, "-e").value
    except UsageError:
        return text
    return value if isinstance(value, wanted) else text


ANYTHING = Kind()
BOOLEAN = Boolean()
INTEGER = Number()
SECONDS = Number(name="number (seconds)", whole=False)
HOURS = Number(name="number (hours)", whole=False)
DAYS = Number(name="number (days)", whole=False)
TEXT = Text()
PATH = Text(name="path")
NAMES = ListOf(TEXT)
MAPPING = MappingOf(ANYTHING)
#: Keys of a command that a person brings: those of Ansible's ``shell`` module, as ADEPT has them.
COMMAND = Record(
    {"command": TEXT, "chdir": PATH, "creates": PATH, "executable": PATH, "removes": PATH},
    required=("command",),
    name="command",
)
