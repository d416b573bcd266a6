"""The actions that recipes of jobs may name: one table, from which checking and the reference page derive.

``variable.set``, ``command.run`` and ``ansible.playbook`` take the keys of the list form, as attributes of an element.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from kommandir.xn.schema import COMMAND, PLAYBOOK, VARIABLE, Key, Kind

#: What an operation does with the elements of type ``peon``.
ONE, ALL = "one", "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One action, under the name that recipes call it by."""

    name: str
    meaning: str
    #: The element with its keys; None where it takes none.
    kind: Kind | None = None
    #: Whether it can do without that element.
    optional: bool = False
    #: Which peons it takes: ONE, ALL or none ("").
    peons: str = ""
    #: Whether it runs at once in the engine's own thread, because it waits for nothing.
    inline: bool = False
    #: The types of the elements that it makes.
    makes: tuple[str, ...] = ()


def _kind(name: str, meaning: str, *keys: Key) -> Kind:
    return Kind(name=name, meaning=meaning, target="", keys=MappingProxyType({key.name: key for key in keys}))


def _of_peon(meaning: str, *, filepath: bool) -> Kind:
    """The keys of a playbook without ``limit``, which is the peon."""
    keys = {key.name: key for key in PLAYBOOK.keys.values() if key.name != "limit"}
    keys["filepath"] = replace(keys["filepath"], required=filepath)
    elsewhere = {**PLAYBOOK.elsewhere, "limit": "the playbook is limited to the peon"}
    return replace(PLAYBOOK, meaning=meaning, keys=MappingProxyType(keys), elsewhere=MappingProxyType(elsewhere))


_INVENTORY = Key(name="inventory", meaning="inventory file or directory; the default is `inventory` of the workspace")
PEONS = _kind(
    "peons",
    "says which peons",
    Key(name="hosts", meaning="a pattern of Ansible's; the default is `peons:!nocloud`"),
    _INVENTORY,
)
PIPELINE = _kind(
    "pipeline",
    "says which plans",
    Key(name="recipe", meaning="`group.name` of a recipe of this file", required=True, substituted=False),
)
LOGS = _kind(
    "logs",
    "says what to collect",
    Key(name="paths", meaning="files and directories of the peon, separated by blanks; the default is `/var/log`"),
    _INVENTORY,
)
LEASE = _kind("lease", "says how long", Key(name="hours", meaning="hours from now; the default is 24"))
REACHING = _kind("reaching", "says how", _INVENTORY)
FAILURE = _kind(
    "failure",
    "says why",
    Key(name="message", meaning="what to say where no error element is at hand"),
)

_OPERATIONS = (
    Operation(
        name="variable.set",
        meaning="sets a variable for all steps that start later, of whatever plan",
        kind=VARIABLE,
        inline=True,
    ),
    Operation(name="command.run", meaning="runs a program in the workspace", kind=COMMAND),
    Operation(name="ansible.playbook", meaning="runs an Ansible playbook", kind=PLAYBOOK),
    Operation(
        name="peon.list",
        meaning="makes an element `peon` of each peon of the inventory: `name`, `groups`, `provider`. `-l` of "
        "`exekutir` leaves peons out",
        kind=PEONS,
        optional=True,
        makes=("peon",),
    ),
    Operation(
        name="peon.pipelines",
        meaning="starts a plan of a recipe for each peon; they run side by side, none waits for another. An element "
        "`pipeline` (`recipe`, `peon`, `state`: done or failed) tells the end of each, an element `pipelines` "
        "(`recipe`, `done`, `failed`: lists of names) that of the last",
        kind=PIPELINE,
        peons=ALL,
        inline=True,
        makes=("start-plan",),
    ),
    Operation(
        name="peon.create",
        meaning="creates the peon and waits until it answers, by the playbook `peon_creation.yml`",
        kind=_of_peon("may name another playbook", filepath=False),
        optional=True,
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="peon.up",
        meaning="waits until the peon answers",
        kind=REACHING,
        optional=True,
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="peon.playbook",
        meaning="runs a playbook, limited to the peon",
        kind=_of_peon("names it", filepath=True),
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="peon.command",
        meaning="runs a program in the workspace, with `PEON` set to the name of the peon",
        kind=COMMAND,
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="peon.logs",
        meaning="fetches logs of the peon into `results/NAME/logs.tar.gz`",
        kind=LOGS,
        optional=True,
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="peon.keep",
        meaning="renews the lease of the peon, so that nobody reaps it; cleanup destroys it all the same",
        kind=LEASE,
        optional=True,
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="peon.destroy",
        meaning="destroys the peon, or what is left of it; not where the variable `cleanup` is false",
        peons=ONE,
        makes=("stage",),
    ),
    Operation(
        name="job.fail",
        meaning="fails with the first error on the way to it, so that what a transition has handled counts after all; "
        "not with what failed later, while that was looked into",
        kind=FAILURE,
        optional=True,
        inline=True,
    ),
    Operation(name="job.nothing", meaning="does nothing: a place for transitions to meet", inline=True),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({operation.name: operation for operation in _OPERATIONS})
#: What stands for a step that is left out.
NOTHING = "job.nothing"
#: What makes an error count that a transition has handled.
FAIL = "job.fail"


def reference() -> str:
    """The tables of all actions as Markdown, for the reference page."""
    return "\n".join(line for operation in _OPERATIONS for line in _reference_of(operation))


def _reference_of(operation: Operation) -> list[str]:
    lines = [f"### `{operation.name}`", "", f"{operation.meaning[0].upper()}{operation.meaning[1:]}.", ""]
    if operation.peons:
        lines += [f"Takes {'each' if operation.peons == ALL else 'one'} element `peon`.", ""]
    if operation.kind is None:
        return lines
    need = "may have" if operation.optional else "has"
    lines += [f"Its step {need} an argument `{operation.kind.name}`, which {operation.kind.meaning}.", ""]
    if operation.kind in (VARIABLE, COMMAND, PLAYBOOK):
        name = operation.kind.name
        link = f"[the keys of the list form](xn.md#{name})"
        return [*lines[:-2], f"Its step {need} an argument `{name}`, with {link}.", ""]
    lines += ["| key | | meaning |", "|---|---|---|"]
    for key in operation.kind.keys.values():
        lines.append(f"| `{key.name}` | {'required' if key.required else ''} | {key.meaning} |")
    return [*lines, ""]
