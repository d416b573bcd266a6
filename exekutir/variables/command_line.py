"""Variables of the command line: ``-e KEY=VALUE``, ``-e JSON or YAML``, ``-e @FILE``, as Ansible reads them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exekutir.variables.schema import KNOWN
from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.mistakes import Mistake, demand_none

#: What messages call the command line.
PLACE = "-e"

_BRACKETS = {"{{": "}}", "{%": "%}", "{#": "#}"}
_ESCAPE = re.compile(r"\\(?:U[0-9A-Fa-f]{8}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|N\{[^}]+\}|[\\'\"abfnrtv])")


def parse_extra(items: Sequence[str]) -> dict[str, Any]:
    """The variables of all ``-e`` in their order; a later one wins.

    Values of ``KEY=VALUE`` are texts, as with Ansible, but those of known variables become what their type says
    (``cleanup=no`` is false). A relative ``job_path`` that is there becomes an absolute one, since ``-e`` also holds in
    later contexts, wherever those are started. Raises MistakesError with every item that can't be read.
    """
    variables: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for item in items:
        try:
            variables.update(_read(item.strip(), mistakes))
        except UsageError as error:
            mistakes.append(Mistake(PLACE, error.what, error.hint or ""))
    demand_none(mistakes)
    job = variables.get("job_path")
    if isinstance(job, str) and job and Path(job).is_dir():
        variables["job_path"] = str(Path(job).absolute())
    return variables


def _read(item: str, mistakes: list[Mistake]) -> Mapping[str, Any]:
    if not item:
        return {}
    if item.startswith("@"):
        return _mapping(yamlfile.load(Path(item[1:]).expanduser()))
    if item[0] in "/.":
        raise UsageError(f"`{item}` looks like a file", hint=f"write -e @{item}")
    if item[0] in "[{":
        return _mapping(yamlfile.parse(item, PLACE))
    return {name: _typed(name, value) for name, value in _assignments(item, mistakes)}


def _mapping(document: yamlfile.Document) -> Mapping[str, Any]:
    value: Mapping[str, Any] = yamlfile.checked_mapping(document).value
    return value


def _typed(name: str, text: str) -> Any:
    variable = KNOWN.get(name)
    return variable.type.converted(text) if variable and "{{" not in text else text


def _assignments(text: str, mistakes: list[Mistake]) -> Iterator[tuple[str, str]]:
    for word in words(text):
        name, equals, value = _unescaped(word).partition("=")
        if not equals or not name.strip():
            hint = "quote values with blanks: -e \"name='some words'\""
            mistakes.append(Mistake(PLACE, f"`{word.strip()}` is no KEY=VALUE", hint))
        else:
            yield name.strip(), _unquoted(value.strip())


def words(text: str) -> list[str]:
    """Split at blanks outside of quotes and of templates; raises UsageError where one of these never ends."""
    found: list[str] = []
    word, quote, closing, position = "", "", "", 0
    while position < len(text):
        letter, pair = text[position], text[position : position + 2]
        step = 1
        if closing:
            step = 2 if pair == closing else 1
            closing = "" if pair == closing else closing
        elif letter == "\\":
            step = 2
        elif quote:
            quote = "" if letter == quote else quote
        elif pair in _BRACKETS:
            closing, step = _BRACKETS[pair], 2
        elif letter in "'\"":
            quote = letter
        elif letter.isspace():
            found, word, step = ([*found, word] if word else found), "", 1
            position += 1
            continue
        word += text[position : position + step]
        position += step
    if quote or closing:
        raise UsageError(f"`{text}`: {quote or closing} is missing at the end")
    return [*found, word] if word else found


def _unescaped(word: str) -> str:
    return _ESCAPE.sub(lambda match: str(ast.literal_eval(f'"{match[0]}"')), word)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
