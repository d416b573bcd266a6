"""What is wrong with variables: types, choices, misspelt names, names that nobody may set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from exekutir.variables.command_line import PLACE
from exekutir.variables.kinds import Kind, described, is_empty, is_open
from exekutir.variables.schema import KNOWN, near_miss
from kommandir.mistakes import Mistake
from kommandir.redaction import is_secret_name
from kommandir.yamlfile import Document

#: The longest that every system takes as the name of a user.
LONGEST_UUID = 32
_UUID = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
#: Names that are somebody already, on every host.
_TAKEN = frozenset({"root", "daemon", "bin", "sys", "nobody", "mail", "www-data", "localhost", "exekutir", "kommandir"})

#: Tells whether a job uses a variable of this name anywhere, so that it is no misspelling.
Uses = Callable[[str], bool]


def extra_document(extra: Mapping[str, Any]) -> Document:
    """The variables of the command line as a document whose places all read ``-e``."""
    return Document(dict(extra), PLACE)


def mistakes_in(
    document: Document, *, uses: Uses | None = None, known_only: bool = False, of_job: bool = False
) -> Iterator[Mistake]:
    """Everything that is wrong with a document of variables, by the schema.

    A variable that the schema does not know is the job's own; it is a mistake only where it is almost a known one and
    the job does not use it (``uses``), or, with ``known_only``, where the job does not use it at all.
    Files that Ansible alone reads (``of_job``) may hold templates everywhere.
    """
    for name, value in document.value.items():
        variable = KNOWN.get(name)
        if variable is None:
            yield from _unknown(document, name, uses, known_only)
        elif variable.computed and not is_empty(value):
            hint = "remove it; no value of yours would be kept"
            yield Mistake(_place(document, name), f"`{name}` is set by exekutir itself", hint)
        elif not is_empty(value) and name != "uuid":
            yield from _wrong(document, name, variable.type, value)
            if variable.reader == "program" and is_open(value) and not of_job:
                hint = "exekutir reads it before Ansible starts; write the value itself"
                yield Mistake(_place(document, name), f"`{name}` can be neither a template nor encrypted", hint)


def _unknown(document: Document, name: str, uses: Uses | None, known_only: bool) -> Iterator[Mistake]:
    near = near_miss(name)
    if (near is None and not known_only) or name.startswith("ansible_") or (uses and uses(name)):
        return
    if near is not None:
        yield Mistake(_place(document, name), f"unknown variable `{name}`, did you mean `{near}`?")
    else:
        hint = "a variable of the job belongs into its kommandir_vars.yml"
        yield Mistake(_place(document, name), f"unknown variable `{name}`: nothing in the job uses it", hint)


def _wrong(document: Document, name: str, kind: Kind, value: Any) -> Iterator[Mistake]:
    for problem in kind.problems(value):
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem.way)
        message = "holds a value of the wrong type" if is_secret_name(name) else problem.message
        yield Mistake(_place(document, name, *problem.way), f"`{name}{path}` {message}", problem.hint)


def uuid_mistakes(document: Document) -> Iterator[Mistake]:
    """What is wrong with the ``uuid`` of a document; one that is not set is good."""
    value = document.value.get("uuid")
    if is_empty(value):
        return
    place = _place(document, "uuid")
    if not isinstance(value, str):
        yield Mistake(place, f"`uuid` must be a text, but YAML reads {described(value)}: {value!r}", "put it in quotes")
    elif not _UUID.fullmatch(value):
        hint = f"lower-case letters, digits and `-`, a letter first, no `-` last, at most {LONGEST_UUID}"
        yield Mistake(place, f"`uuid` {value!r} is not valid as the name of a user and of a host", hint)
    elif value in _TAKEN:
        yield Mistake(place, f"`uuid` can't be `{value}`: that name is taken on every host", "name another one")


def _place(document: Document, *way: Any) -> str:
    return PLACE if document.source == PLACE else document.place(*way)
