"""Inventory files in YAML: ``group: {hosts: {...}, children: {...}, vars: {...}}``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exekutir.variables.inventory import Group, Inventory, Settings, added
from exekutir.variables.inventory_ini import host_names
from exekutir.variables.kinds import described
from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.yamlfile import Document, Way, did_you_mean

_SECTIONS = ("hosts", "children", "vars")


def read(text: str, path: Path, inventory: Inventory) -> None:
    """Add what the text of a file defines; mistakes go to ``inventory.mistakes``."""
    try:
        document = yamlfile.checked_mapping(yamlfile.parse(text, str(path)))
    except UsageError as error:
        place, _, message = error.what.partition(": ")
        inventory.wrong(place, message, "" if error.hint is None else error.hint)
        return
    if not document.value:
        inventory.wrong(document.place(), "is empty", "name hosts in it, or remove the file")
    elif "plugin" in document.value and not isinstance(document.value["plugin"], dict):
        inventory.dynamic.append(path)
    else:
        for name, content in document.value.items():
            _group(document, (name,), content, inventory)


def _group(document: Document, way: Way, content: Any, inventory: Inventory) -> None:
    name = str(way[-1])
    group = inventory.group(name, document.place(*way))
    if content is None:
        return
    if not isinstance(content, dict):
        message = f"group `{name}` must be a mapping of {', '.join(_SECTIONS)}, but is {described(content)}"
        inventory.wrong(document.place(*way), message)
        return
    for section, members in content.items():
        here = (*way, section)
        if section not in _SECTIONS:
            near = did_you_mean(str(section), _SECTIONS)
            hint = "known are " + ", ".join(_SECTIONS)
            inventory.wrong(document.place(*here), f"unknown key `{section}` of group `{name}`{near}", hint)
        elif members is not None and not isinstance(members, dict | str):
            message = f"`{section}` of group `{name}` must be a mapping, but is {described(members)}"
            inventory.wrong(document.place(*here), message, "end each name with `:`")
        else:
            _section(document, here, {members: None} if isinstance(members, str) else members or {}, group, inventory)


def _section(document: Document, way: Way, members: dict[Any, Any], group: Group, inventory: Inventory) -> None:
    if way[-1] == "vars":
        _settings(document, way, members, group.settings)
        return
    for member, content in members.items():
        if way[-1] == "children":
            group.children[str(member)] = None
            _group(document, (*way, member), content, inventory)
        else:
            _host(document, (*way, member), content, group, inventory)


def _host(document: Document, way: Way, content: Any, group: Group, inventory: Inventory) -> None:
    pattern, place = way[-1], document.place(*way)
    try:
        if not isinstance(pattern, str):
            raise ValueError(f"host {pattern!r} is {described(pattern)}; put it in quotes")
        names, port = host_names(pattern)
    except ValueError as error:
        inventory.wrong(place, str(error))
        return
    if content is not None and not isinstance(content, dict):
        inventory.wrong(place, f"host `{pattern}` must hold a mapping of variables, but holds {described(content)}")
        content = None
    for name in names:
        settings = inventory.add_host(name, group.name, place)
        added(settings, port, place)
        _settings(document, way, content or {}, settings)


def _settings(document: Document, way: Way, values: dict[Any, Any], settings: Settings) -> None:
    for name, value in values.items():
        added(settings, {str(name): value}, document.place(*way, name))
