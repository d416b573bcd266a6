"""The action of a ``variable`` item."""

from __future__ import annotations

import os
from pathlib import Path

from kommandir import atomic
from kommandir.errors import UsageError
from kommandir.xn.reading import Item
from kommandir.xn.request import GOOD, StepResult
from kommandir.xn.substitution import substituted
from kommandir.xn.surroundings import Surroundings


def set_variable(item: Item, surroundings: Surroundings) -> StepResult:
    """Set the variable for later items.

    Raises UsageError, which names the place, where there is no value to be had. A missing ``from_file`` is written
    with the default.
    """
    name = item.keys["name"]
    surroundings.set(name, substituted(_value(item, name, surroundings), surroundings.values()).strip())
    return GOOD


def _value(item: Item, name: str, surroundings: Surroundings) -> str:
    if "from_file" in item.keys:
        return _from_file(item, surroundings)
    if "from_env" in item.keys:
        return _from_environment(item)
    if "value" in item.keys:
        return item.keys["value"]
    if name in surroundings.variables:
        return surroundings.variables[name]
    if "default" in item.keys:
        return item.keys["default"]
    raise UsageError(
        f"{item.place}: no earlier item sets the variable `{name}`",
        hint="give the item `value`, `from_env`, `from_file` or `default`",
    )


def _from_environment(item: Item) -> str:
    name = item.keys["from_env"]
    found = os.environ.get(name, "").strip()
    if found:
        return found
    if "default" in item.keys:
        return item.keys["default"]
    state = "is empty" if name in os.environ else "is not set"
    raise UsageError(f"{item.place}: the environment variable {name} {state}", hint=f"export {name}, or add `default`")


def _from_file(item: Item, surroundings: Surroundings) -> str:
    path = surroundings.file(item, "from_file")
    if path is None:
        raise AssertionError("the key stands there")
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if "default" not in item.keys:
            raise UsageError(f"{item.place}: there is no file {path}", hint="write it, or add `default`") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{item.place}: {path} can't be read: {why}") from error
    return _default_kept(item, path, surroundings)


def _default_kept(item: Item, path: Path, surroundings: Surroundings) -> str:
    default = substituted(item.keys["default"], surroundings.values())
    try:
        atomic.write(path, default, mode=0o600)
    except OSError as error:
        raise UsageError(f"{item.place}: the default can't be written to {path}: {error.strerror}") from error
    return default
