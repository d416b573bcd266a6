"""Inventory files in Ansible's INI form: ``[group]``, ``[group:vars]``, ``[group:children]``, ``name key=value``."""

from __future__ import annotations

import ast
import re
import shlex
import string
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exekutir.variables.inventory import UNGROUPED, Inventory, added
from kommandir.yamlfile import did_you_mean

_SECTION = re.compile(r"\[(?P<group>[^:\]\s]+)(?::(?P<type>\w+))?\]\s*(?:#.*)?")
_TYPES = ("hosts", "vars", "children")
_PORT = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|(?:[^:\[\]]|\[[^\]]*\])+):(?P<port>\d+)")
_RANGE = re.compile(r"\[(?P<first>\w*):(?P<last>\w+)(?::(?P<step>\d+))?\]")


@dataclass(slots=True)
class _Reader:
    path: Path
    inventory: Inventory
    group: str = UNGROUPED
    type: str = "hosts"
    #: Sections that need a group which is defined somewhere: place by group.
    pending: dict[str, tuple[str, str]] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)

    def section(self, line: str, place: str) -> None:
        match = _SECTION.fullmatch(line)
        if not match:
            self.inventory.wrong(place, f"`{line}` is no section", "write [group], [group:vars] or [group:children]")
            return
        self.group, self.type = match["group"], match["type"] or "hosts"
        if self.type not in _TYPES:
            near = did_you_mean(self.type, _TYPES)
            self.inventory.wrong(place, f"section [{self.group}:{self.type}] is of an unknown type{near}")
            self.type = "vars"
        if self.type == "vars":
            self.pending.setdefault(self.group, (place, f"section [{self.group}:vars]"))
        else:
            self.defined.add(self.group)
        self.inventory.group(self.group, place)

    def entry(self, line: str, place: str) -> None:
        if self.type == "hosts":
            self.host(line, place)
        elif self.type == "vars":
            self.variable(line, place)
        else:
            child = line.split("#", 1)[0].strip()
            self.pending.setdefault(child, (place, f"section [{self.group}:children]"))
            self.inventory.group(child, place)
            self.inventory.groups[self.group].children[child] = None

    def variable(self, line: str, place: str) -> None:
        name, equals, value = line.partition("=")
        if not equals:
            self.inventory.wrong(place, f"`{line}` is no variable", "write name=value")
            return
        added(self.inventory.groups[self.group].settings, {name.strip(): evaluated(value.strip())}, place)

    def host(self, line: str, place: str) -> None:
        try:
            pattern, *assignments = shlex.split(line, comments=True)
            names, variables = host_names(pattern)
        except ValueError as error:
            self.inventory.wrong(place, f"`{line}` can't be read: {error}")
            return
        for assignment in assignments:
            name, equals, value = assignment.partition("=")
            if not equals:
                hint = "write name=value; blanks around `=` are not allowed here"
                self.inventory.wrong(place, f"`{assignment}` after host `{pattern}` is no variable", hint)
            else:
                variables[name] = evaluated(value)
        for name in names:
            added(self.inventory.add_host(name, self.group, place), variables, place)

    def finish(self) -> None:
        known = {name for name, group in self.inventory.groups.items() if group.hosts or group.children}
        for name, (place, section) in self.pending.items():
            if name not in self.defined | known | {"all", UNGROUPED}:
                near = did_you_mean(name, sorted(self.defined | known))
                self.inventory.wrong(
                    place, f"{section} names group `{name}`, which is not defined{near}", f"add [{name}]"
                )


def read(text: str, path: Path, inventory: Inventory) -> None:
    """Add what the text of a file defines; mistakes go to ``inventory.mistakes``."""
    reader = _Reader(path, inventory)
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        place = f"{path}:{number}"
        if line.startswith("[") and (_SECTION.fullmatch(line) or line.endswith("]")):
            reader.section(line, place)
        else:
            reader.entry(line, place)
    reader.finish()


def evaluated(text: str) -> Any:
    """A value as Ansible reads it here: a Python literal where it is one, else the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return _plain(value, text)


def _plain(value: Any, text: str) -> Any:
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item, str(item)) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, str(item)) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str | int | float | bool | None) else text


def host_names(pattern: str) -> tuple[list[str], dict[str, Any]]:
    """The hosts of a pattern like ``web[01:20].example.org:2222``, and the variable that its port means.

    Raises ValueError where a range makes no sense.
    """
    match = _PORT.fullmatch(pattern)
    if pattern.endswith(":"):
        raise ValueError("a port is missing after `:`")
    name = match["name"] if match else pattern
    if match and re.fullmatch(r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]", name):
        name = name[1:-1]
    return list(_expanded(name)), {"ansible_port": int(match["port"])} if match else {}


def _expanded(name: str) -> Iterator[str]:
    match = _RANGE.search(name)
    if not match:
        if "[" in name:
            raise ValueError(f"`{name}` has a `[` but no range like [1:9]")
        yield name
        return
    for part in _sequence(match["first"] or "0", match["last"], int(match["step"] or 1)):
        yield from _expanded(name[: match.start()] + part + name[match.end() :])


def _sequence(first: str, last: str, step: int) -> list[str]:
    if step < 1:
        raise ValueError("the step of a range must be 1 or more")
    letters = string.ascii_letters
    if first in letters and last in letters:
        if letters.index(first) > letters.index(last):
            raise ValueError(f"range [{first}:{last}] ends before it begins")
        return list(letters[letters.index(first) : letters.index(last) + 1 : step])
    if not (first.isdigit() and last.isdigit()):
        raise ValueError(f"range [{first}:{last}] is neither of numbers nor of letters")
    width = len(first) if first.startswith("0") and len(first) > 1 else 0
    if width and width != len(last):
        raise ValueError(f"range [{first}:{last}]: both ends need as many digits")
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1, step)]
