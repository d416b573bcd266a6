"""What may stand in a ``job.xn``: one table, from which checking, ``exekutir validate`` and the reference page derive.

Names, keys and behaviour are those of ADEPT's transition files; ``tags`` and ``skip_tags`` stand in jobs of its.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of an item."""

    name: str
    #: For the reference page and for hints.
    meaning: str
    required: bool = False
    #: Whether ``$VAR`` and ``${VAR}`` are replaced in its value.
    substituted: bool = True
    #: Whether an empty text is a value.
    may_be_empty: bool = False
    #: Whether it has to be a name: letters, digits and ``_``, no digit first.
    is_name: bool = False
    #: Whether ``-`` has a meaning of its own.
    dash: str = ""
    #: Whether it is ``yes`` or ``no``, or a switch of YAML.
    is_switch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of item."""

    name: str
    meaning: str
    #: The name under which the engine knows the action.
    target: str
    keys: Mapping[str, Key]
    #: Keys of which one at most may stand in an item.
    exclusive: tuple[str, ...] = ()
    #: Keys that people try here, and what to do instead.
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _keys(*keys: Key) -> Mapping[str, Key]:
    return MappingProxyType({key.name: key for key in keys})


#: A key of every item.
CONTEXTS = "contexts"
CONTEXTS_MEANING = "list of contexts in which the item takes part; without it, or when empty, in all"

_STDOUT = Key(
    name="stdoutfile",
    meaning="file that gets the standard output, instead of the log of the step",
    dash="the log of the step, as without the key",
)
_STDERR = Key(
    name="stderrfile",
    meaning="file that gets the standard error, instead of the log of the step",
    dash="wherever standard output goes",
)
_EXIT = Key(
    name="exitfile",
    meaning="file that gets the exit code, which then does not stop the job, whatever it is",
)

_AGAIN = Key(
    name="idempotent",
    meaning="`yes` or `no`: whether it is run again where it was under way when the context was killed; the default is "
    "`no` for a program, `yes` for a playbook",
    is_switch=True,
    substituted=False,
)

VARIABLE = Kind(
    name="variable",
    meaning="sets a variable for all later items, or demands that an earlier item has set it",
    target="variable.set",
    keys=_keys(
        Key(name="name", meaning="its name", required=True, is_name=True, substituted=False),
        Key(name="value", meaning="its value", may_be_empty=True),
        Key(name="from_env", meaning="name of the environment variable that has it", is_name=True, substituted=False),
        Key(name="from_file", meaning="file whose text is the value"),
        Key(
            name="default",
            meaning="the value where the environment variable is unset or empty, the file missing (which is then "
            "written) or, without either, the variable not set yet",
            may_be_empty=True,
        ),
    ),
    exclusive=("value", "from_env", "from_file"),
)

COMMAND = Kind(
    name="command",
    meaning="runs a program in the workspace",
    target="command.run",
    keys=_keys(
        Key(name="filepath", meaning="the program; without a `/` first it lies in the workspace", required=True),
        Key(
            name="arguments",
            meaning="its arguments, split as a shell splits words; a `#` that starts a word comments out the line",
            may_be_empty=True,
        ),
        _STDOUT,
        _STDERR,
        _EXIT,
        _AGAIN,
    ),
    elsewhere=MappingProxyType({"command": "the program is `filepath`, what follows it `arguments`"}),
)

PLAYBOOK = Kind(
    name="playbook",
    meaning="runs an Ansible playbook, from the playbook's own directory",
    target="ansible.playbook",
    keys=_keys(
        Key(name="filepath", meaning="the playbook", required=True),
        Key(name="inventory", meaning="inventory file or directory, instead of what the configuration names"),
        Key(name="varsfile", meaning="YAML file of extra variables; passed over where there is no such file"),
        Key(name="limit", meaning="hosts to which the playbook is limited"),
        Key(name="tags", meaning="only tasks with one of these tags, separated by commas"),
        Key(name="skip_tags", meaning="no task with one of these tags"),
        Key(name="config", meaning="`ansible.cfg` for this playbook"),
        _STDOUT,
        Key(
            name="stderrfile",
            meaning="file that gets Ansible's warnings and errors besides",
            dash="wherever standard output goes, as without the key",
        ),
        _EXIT,
        _AGAIN,
    ),
    elsewhere=MappingProxyType(
        {
            "arguments": "only commands have it; the arguments after `exekutir xn ... FILE` go to every playbook",
            "skip-tags": "it is written `skip_tags`",
        }
    ),
)

#: Actions of which nobody knows what they do when they are begun a second time.
_ONCE = frozenset({COMMAND.target, "peon.command"})


def again_by_default(target: str) -> bool:
    """Whether an action is run again where it was cut off, as long as its item does not say otherwise."""
    return target not in _ONCE


KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in (VARIABLE, COMMAND, PLAYBOOK)})


def reference() -> str:
    """The tables of all kinds and keys as Markdown, for the reference page."""
    return "\n".join(line for kind in KINDS.values() for line in _reference_of(kind))


def _reference_of(kind: Kind) -> list[str]:
    lines = [f"### `{kind.name}`", "", f"{kind.meaning[0].upper()}{kind.meaning[1:]}.", ""]
    lines += ["| key | | meaning |", "|---|---|---|", f"| `{CONTEXTS}` | | {CONTEXTS_MEANING} |"]
    for key in kind.keys.values():
        meaning = key.meaning + (f"; `-`: {key.dash}" if key.dash else "")
        lines.append(f"| `{key.name}` | {'required' if key.required else ''} | {meaning} |")
    if kind.exclusive:
        lines += ["", "One at most of " + ", ".join(f"`{name}`" for name in kind.exclusive) + "."]
    return [*lines, ""]
