"""The options of ``exekutir``, each declared once: its name, its environment variable, its meaning, its type.

The parser, the help, the completion of shells and the reference page all derive from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

KEEP_CHOICES = ("never", "on-failure", "always")
FORMATS = ("auto", "plain", "json")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """A time as people write it: ``90``, ``90s``, ``15m``, ``2h``, ``1d``; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than 0."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if not match or float(match[1]) == 0:
            self.fail(f"{value!r} is no time; write it like 90s, 15m, 2h or 1d", param, ctx)
        return float(match[1]) * _UNITS[match[2] or "s"]


class ExtraVars(click.ParamType[str]):
    """A ``-e`` as it stands; from the environment it is one item, blanks and all."""

    name = "variables"

    def split_envvar_value(self, rv: str) -> list[str]:
        """The whole value, since JSON has blanks."""
        return [rv]


class ExtraOption(click.Option):
    """``-e`` adds to what the environment says, and wins over it, instead of replacing all of it."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """The values of the environment, then those of the command line."""
        value, source = super().consume_value(ctx, opts)
        given = self.value_from_envvar(ctx) if source is ParameterSource.COMMANDLINE else None
        return ((*given, *value) if given else value), source


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a call of ``exekutir`` was asked for."""

    #: The folder of all state.
    workspace: Path | None = None
    #: A folder of a job, or the name of a bundled one.
    job: str | None = None
    #: Each ``-e`` as it was written.
    extra: tuple[str, ...] = ()
    #: A pattern of hosts, for every playbook.
    limit: str | None = None
    #: 0 to 4, as Ansible has it.
    verbosity: int = 0
    #: Seconds that one context may take.
    timeout: float | None = None
    #: Whether cleanup keeps peons.
    keep: str = "never"
    #: Seconds until the lease of a kept peon ends.
    keep_for: float = 7200.0
    #: Only say what would be done.
    check: bool = False
    #: Take up the run that a killed exekutir left on a remote kommandir.
    attach: bool = False
    #: How the display looks.
    format: str = "auto"


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

WORKSPACE = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path),
    envvar="WORKSPACE",
    show_envvar=True,
    metavar="DIR",
    help="Folder of all state of the job.",
)
JOB = click.option(
    "-j",
    "--job",
    envvar="EXEKUTIR_JOB_PATH",
    show_envvar=True,
    metavar="PATH",
    shell_complete=lambda _context, _parameter, incomplete: _jobs(incomplete),
    help="Folder of the job, or the name of a bundled one.",
)
EXTRA = click.option(
    "-e",
    "--extra-vars",
    "extra",
    cls=ExtraOption,
    multiple=True,
    type=ExtraVars(),
    envvar="EXEKUTIR_EXTRA_VARS",
    show_envvar=True,
    metavar="KEY=VALUE|JSON|@FILE",
    help="Variables that win over all others, added to those of the environment; may be given several times.",
)
LIMIT = click.option(
    "-l",
    "--limit",
    envvar="EXEKUTIR_LIMIT",
    show_envvar=True,
    metavar="PATTERN",
    help="Only these hosts, as Ansible's --limit.",
)
VERBOSITY = click.option(
    "-v",
    "--verbose",
    "verbosity",
    count=True,
    type=click.IntRange(0, 4, clamp=True),
    envvar="EXEKUTIR_VERBOSITY",
    show_envvar=True,
    help="Say more; up to -vvvv, as Ansible has it.",
)
TIMEOUT = click.option(
    "--timeout",
    type=Duration(),
    envvar="EXEKUTIR_TIMEOUT",
    show_envvar=True,
    metavar="TIME",
    help="How long a context may take (90s, 15m, 2h); after that it is ended, exit code 7.",
)
KEEP = click.option(
    "--keep",
    type=click.Choice(KEEP_CHOICES),
    default="never",
    envvar="EXEKUTIR_KEEP",
    show_envvar=True,
    show_default=True,
    help="Whether cleanup leaves the peons alive, to look at them.",
)
KEEP_FOR = click.option(
    "--keep-for",
    type=Duration(),
    default="2h",
    envvar="EXEKUTIR_KEEP_FOR",
    show_envvar=True,
    show_default=True,
    metavar="TIME",
    help="When the lease of a kept peon ends; `exekutir reap` then destroys it.",
)
CHECK = click.option(
    "--check",
    is_flag=True,
    envvar="EXEKUTIR_CHECK",
    show_envvar=True,
    help="Only validate, and print what would be done.",
)
FORMAT = click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="auto",
    envvar="EXEKUTIR_FORMAT",
    show_envvar=True,
    show_default=True,
    help="A board on a terminal and plain lines elsewhere; always plain lines; or events as JSON lines.",
)

ATTACH = click.option(
    "--attach",
    is_flag=True,
    help="Take up what an exekutir that was killed left running on a remote kommandir, and finish the context.",
)

#: The options of the transitions, in the order in which the help shows them.
TRANSITION = (WORKSPACE, JOB, EXTRA, LIMIT, VERBOSITY, TIMEOUT, KEEP, KEEP_FOR, CHECK, FORMAT)


def options(*chosen: Decorator) -> Decorator:
    """A decorator that gives a command the ``chosen`` options, in that order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(chosen):
            function = option(function)
        return function

    return decorate


def _jobs(incomplete: str) -> list[Any]:
    """Folders and bundled jobs, for the completion of shells."""
    from click.shell_completion import CompletionItem

    from kommandir import content

    bundled = sorted(folder.name for folder in content.jobs().iterdir() if folder.is_dir())
    return [
        *(CompletionItem(name) for name in bundled if name.startswith(incomplete)),
        CompletionItem(incomplete, type="dir"),
    ]
