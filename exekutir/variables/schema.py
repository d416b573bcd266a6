"""The schema of all known variables. Validation, hints, ``exekutir explain`` and the reference derive from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from exekutir.variables import catalogue_hosts, catalogue_jobs
from exekutir.variables.kinds import is_empty
from exekutir.variables.variable import Variable

__all__ = ["KNOWN", "Variable", "near_miss", "of_exekutir_alone", "passes", "value"]

#: Every variable that exekutir, its roles or its inventory know, by name, in the order of the reference.
KNOWN: Mapping[str, Variable] = MappingProxyType(
    {variable.name: variable for variable in (*catalogue_jobs.VARIABLES, *catalogue_hosts.VARIABLES)}
)

#: Names that only mean something on the host for which they were set, whatever follows.
_STAY_PREFIXES = ("compatible_ansible_", "cloud_")


def passes(name: str) -> bool:
    """Whether a value in ``exekutir_vars.yml`` is also forced upon the kommandir; a job's own variables are."""
    variable = KNOWN.get(name)
    if variable is not None:
        return variable.passes
    return not name.startswith(_STAY_PREFIXES) and name != "ansible_version"


def of_exekutir_alone(name: str) -> bool:
    """Whether a variable means nothing on the kommandir, so that it is never written there."""
    variable = KNOWN.get(name)
    return variable is not None and (variable.host == "exekutir" or variable.computed)


def is_set(variables: Mapping[str, Any], name: str) -> bool:
    """Whether a variable has a value; as ADEPT has it, nothing and an empty text are none."""
    return not is_empty(variables.get(name))


def value(variables: Mapping[str, Any], name: str) -> Any:
    """The value of a known variable, or its default where it is not set."""
    given = variables.get(name)
    return KNOWN[name].default if is_empty(given) else given


def near_miss(name: str, known: Iterable[str] | None = None) -> str | None:
    """The known name that ``name`` is most probably a misspelling of, or None.

    Few letters may differ (none in short names), and a number at the end makes it a name of its own.
    """
    if name.startswith("ansible_") or name.rstrip("0123456789") in KNOWN:
        return None
    allowed = 0 if len(name) < 5 else 1 if len(name) < 8 else 2
    best: tuple[int, str] | None = None
    for other in KNOWN if known is None else known:
        if abs(len(other) - len(name)) <= allowed and 0 < (apart := _distance(name, other, allowed)) <= allowed:
            best = min(best or (apart, other), (apart, other))
    return best[1] if best else None


def _distance(one: str, other: str, limit: int) -> int:
    """How many letters were added, left out, changed or swapped with their neighbour; above ``limit`` just more."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
