"""The hosts and groups of an inventory folder, with the place of each variable that its files set.

Read as Ansible reads them, but without Ansible: validation runs at every ``setup``, and ``exekutir explain`` has to
name lines. Scripts and plugins of an inventory are not run, so what they would add is unknown (``dynamic``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kommandir.mistakes import Mistake

#: Files of an inventory folder that Ansible passes over.
_PASSED_OVER = re.compile(r"^\.|(\.(pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)|~)$")
_VARIABLE_FOLDERS = ("group_vars", "host_vars", "vars_plugins")
ALL = "all"
UNGROUPED = "ungrouped"


@dataclass(frozen=True, slots=True)
class Setting:
    """One place that sets a variable."""

    value: Any
    #: ``file:line``.
    place: str


Settings = dict[str, list[Setting]]


@dataclass(slots=True)
class Group:
    """A group as the inventory's files define it."""

    name: str
    #: Where it is first named.
    place: str = ""
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    #: Variables of the inventory's files, weakest place first.
    settings: Settings = field(default_factory=dict)

    @property
    def priority(self) -> int:
        """``ansible_group_priority``; among groups of one depth the higher one wins."""
        given = self.settings.get("ansible_group_priority")
        try:
            return int(given[-1].value) if given else 1
        except (TypeError, ValueError):
            return 1


@dataclass(slots=True)
class Inventory:
    """All hosts and groups of an inventory, and the mistakes in its files."""

    groups: dict[str, Group] = field(default_factory=dict)
    #: Variables of the inventory's files, a host each, weakest place first.
    hosts: dict[str, Settings] = field(default_factory=dict)
    #: Where each host is first named.
    places: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    #: Scripts and the like, which may add anything.
    dynamic: list[Path] = field(default_factory=list)

    def group(self, name: str, place: str) -> Group:
        """The group of this name, made if need be."""
        return self.groups.setdefault(name, Group(name, place))

    def add_host(self, name: str, group: str, place: str) -> Settings:
        """Put a host, made if need be, into a group that is there; its own settings come back."""
        self.places.setdefault(name, place)
        self.groups[group].hosts[name] = None
        return self.hosts.setdefault(name, {})

    def wrong(self, place: str, message: str, hint: str = "") -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(place, message, hint))

    def groups_of(self, host: str, joined: tuple[str, ...] = ()) -> list[Group]:
        """The groups of a host with all their ancestors, weakest first; it joins those of ``joined`` at run time.

        Deeper groups win over their ancestors, among equals the higher priority, then the later name.
        """
        own = {name for name, group in self.groups.items() if host in group.hosts} | set(joined)
        own -= {ALL, UNGROUPED}
        names = {ALL, *(own or {UNGROUPED}), *(above for name in own for above in self._ancestors(name))}
        groups = [self.groups.get(name) or Group(name) for name in names]
        return sorted(groups, key=lambda group: (self._depth(group.name), group.priority, group.name))

    def _parents(self, name: str) -> Iterator[str]:
        return (parent for parent, group in self.groups.items() if name in group.children)

    def _ancestors(self, name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        found: set[str] = set()
        for parent in self._parents(name):
            found.add(parent)
            if parent not in seen:
                found |= self._ancestors(parent, seen | {name})
        return found

    def _depth(self, name: str, seen: frozenset[str] = frozenset()) -> int:
        if name == ALL:
            return 0
        parents = [parent for parent in self._parents(name) if parent not in seen]
        return 1 + max((self._depth(parent, seen | {name}) for parent in parents), default=0)

    def loops(self) -> list[str]:
        """Groups that are their own ancestors."""
        return sorted(name for name in self.groups if name in self._ancestors(name))


def added(settings: Settings, values: Mapping[str, Any], place: str) -> None:
    """Add the values of one place on top of what is there."""
    for name, value in values.items():
        settings.setdefault(name, []).append(Setting(value, place))


def read(files: Mapping[str, Path]) -> Inventory:
    """The inventory of a folder, by its files (``Overlay.files("inventory")``); mistakes are kept, not raised."""
    inventory = Inventory()
    inventory.group(ALL, "")
    inventory.group(UNGROUPED, "")
    for way, path in files.items():
        parts = way.split("/")
        if parts[0] in _VARIABLE_FOLDERS or any(_PASSED_OVER.search(part) for part in parts):
            continue
        _read_file(path, inventory)
    for name in inventory.loops():
        inventory.wrong(
            inventory.groups[name].place, f"group `{name}` is its own ancestor", "remove it from one [:children]"
        )
    return inventory


def _read_file(path: Path, inventory: Inventory) -> None:
    from exekutir.variables import inventory_ini, inventory_yaml

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        inventory.wrong(str(path), "is not UTF-8 text", "save the file as UTF-8")
        return
    except OSError as error:
        inventory.wrong(str(path), f"can't be read: {error.strerror}")
        return
    if (
        text.startswith("#!")
        or (os.access(path, os.X_OK) and not path.suffix)
        or path.suffix in (".toml", ".py", ".sh")
    ):
        inventory.dynamic.append(path)
    elif path.suffix in (".yml", ".yaml", ".json") or _looks_like_yaml(text):
        inventory_yaml.read(text, path, inventory)
    else:
        inventory_ini.read(text, path, inventory)


def _looks_like_yaml(text: str) -> bool:
    """Whether a file without a telling name is YAML: its first line is ``---`` or ends with ``:``."""
    for line in text.splitlines():
        bare = line.split("#", 1)[0].strip()
        if bare and not bare.startswith(";"):
            return bare == "---" or bare.endswith(":") or bare.startswith("{")
    return False
