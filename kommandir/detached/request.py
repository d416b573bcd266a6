"""What a detached run is asked to do, as it travels: JSON on standard input, then a file for its owner's eyes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from kommandir.errors import UsageError

#: Names of runs: they become folders.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One call of ``kommandir.xn.run`` with the environment that it gets."""

    #: Chosen by who asks; the same one is never run twice.
    id: str
    context: str
    #: The kommandir's workspace; paths below are as the kommandir sees them.
    workspace: str
    #: None: ``text`` is the file.
    file: str | None = None
    text: str | None = None
    optional: tuple[str, ...] = ()
    uuid: str = ""
    #: All that the run gets, besides what ``starting.environment`` adds.
    environment: dict[str, str] = field(default_factory=dict)
    environment_pass: tuple[str, ...] = ()
    #: YAML file of extra variables.
    extra_vars: str | None = None
    limit: str | None = None
    verbosity: int = 0
    check: bool = False
    #: Seconds after which it ends itself; None for never.
    seconds: float | None = None
    #: What is redacted in its events and logs, besides the secrets of the workspace's variables.
    secrets: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What is run, for journals: the file's name, or a digest of the text."""
        if self.file is not None:
            return f"file:{self.file}"
        return f"text:{hashlib.sha256((self.text or '').encode()).hexdigest()[:16]}"

    def dumped(self) -> str:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def parsed(cls, text: str) -> RunRequest:
        """From JSON. Raises UsageError for what is no request; it names the key, never a value."""
        try:
            told = json.loads(text)
        except ValueError as error:
            raise UsageError("the request is no JSON", why=str(error)) from error
        if not isinstance(told, dict):
            raise UsageError("the request is no mapping")
        known = {each.name: each for each in dataclasses.fields(cls)}
        for name, value in told.items():
            if name not in known or not _fits(value, str(known[name].type)):
                raise UsageError(f"the request's `{name}` can't be used", hint="both sides must be of one version")
        for name in ("id", "context", "workspace"):
            if not told.get(name):
                raise UsageError(f"the request has no `{name}`")
        demand_id(told["id"])
        if (told.get("file") is None) == (told.get("text") is None):
            raise UsageError("the request has to have either `file` or `text`")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        return cls(**values)


def demand_id(name: str) -> str:
    """The name of a run. Raises UsageError where it is none."""
    if not ID.fullmatch(name):
        raise UsageError(f"{name!r} can't be the id of a run", hint="use letters, digits, `.`, `_` and `-`")
    return name


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return kind.endswith("| None")
    kind = kind.removesuffix(" | None")
    if kind == "dict[str, str]":
        return isinstance(value, dict) and all(map(_is_text, [*value, *value.values()]))
    if kind == "tuple[str, ...]":
        return isinstance(value, list) and all(map(_is_text, value))
    if kind in ("int", "float"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _is_text(value) if kind == "str" else isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value
