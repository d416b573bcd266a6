"""What the items of a context would do, said without doing it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kommandir.errors import UsageError
from kommandir.xn import command, playbook
from kommandir.xn.reading import Item
from kommandir.xn.surroundings import Surroundings

#: The step under which the lines are told.
STEP = "check"


def tell(items: Sequence[Item], surroundings: Surroundings) -> None:
    """Emit a line an item. Variables that only running would give stand as ``$NAME``."""
    for number, item in enumerate(items, 1):
        line = f"{number}/{len(items)} {item.kind.name}: {_said(item, surroundings)}"
        surroundings.request.events.emit("output", step=STEP, stream="stdout", line=line)


def _said(item: Item, surroundings: Surroundings) -> str:
    try:
        if item.kind.name == "variable":
            return _variable(item, surroundings)
        if item.kind.name == "command":
            return shlex.join(command.arguments(item, surroundings))
        options = playbook.arguments(item, surroundings, written=Path("..."))
        return shlex.join(["ansible-playbook", *options, str(surroundings.file(item, "filepath"))])
    except UsageError as error:
        return f"would fail: {error.what}"


def _variable(item: Item, surroundings: Surroundings) -> str:
    name = item.keys["name"]
    value = surroundings.text(item, "value")
    if "from_env" in item.keys:
        value = os.environ.get(item.keys["from_env"]) or None
    if value is None and "from_file" not in item.keys:
        value = surroundings.variables.get(name, surroundings.text(item, "default"))
    if value is not None:
        surroundings.set(name, value)
        return f"{name}={value}"
    return f"{name} from {surroundings.file(item, 'from_file')}" if "from_file" in item.keys else f"{name} must be set"
