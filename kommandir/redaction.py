"""Secrets are redacted by value: wherever one turns up, in a log, a result or an event, it is replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

MARK = "[redacted]"

#: Names of variables whose values are secrets.
SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|credential"
    r"|(^|[_-])(pass|passcode|pwd|tokens?|api_?key|access_?key|private_?key|auth_?key)($|[_-])",
    re.IGNORECASE,
)
#: Names that look like secrets but hold the name of a file or a switch.
NOT_SECRET_NAME = re.compile(r"(_file|_path|_url|no_log|public_?key)$", re.IGNORECASE)

#: Shorter values would redact half of every text; such a secret is none.
SHORTEST = 4


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return bool(SECRET_NAME.search(name)) and not NOT_SECRET_NAME.search(name)


def secret_values(variables: Mapping[str, Any]) -> Iterator[str]:
    """The values, at any depth, of all variables whose names look like secrets."""
    for name, value in variables.items():
        if is_secret_name(str(name)):
            yield from scalars(value)
        elif isinstance(value, Mapping):
            yield from secret_values(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    yield from secret_values(item)


def scalars(value: Any) -> Iterator[str]:
    """The texts of all values in nested lists and mappings, switches and nothing left out."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from scalars(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from scalars(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


class Redactor:
    """Replaces the secrets it was told of in texts and in nested values; it may be told more at any time."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._told: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Take more secrets; templates (``{{ ... }}``) and values shorter than SHORTEST are none."""
        for secret in secrets:
            self._told.add(secret)
            for text in (line.strip() for line in [secret, *secret.splitlines()]):
                if len(text) >= SHORTEST and "{{" not in text and not text.startswith("-----"):
                    self._secrets |= {text, json.dumps(text)[1:-1], quote(text, safe="", errors="replace")}
        if self._secrets:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    @property
    def secrets(self) -> frozenset[str]:
        """All that it was told, for another one that shall redact the same."""
        return frozenset(self._told)

    def text(self, text: str) -> str:
        """``text`` with every secret replaced."""
        return self._pattern.sub(MARK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A copy of nested lists, mappings and strings with every secret replaced, in keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if self._pattern and value is not None and not isinstance(value, bool) and self.text(str(value)) != str(value):
            return MARK
        return value
