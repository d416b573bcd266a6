"""The reference page of the command ``exekutir``, made from the command itself.

``python -m exekutir.cli_reference FILE`` writes it; a test compares the page with the code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from exekutir.cli import main

INTRODUCTION = """# The command `exekutir`

Made from the code by `python -m exekutir.cli_reference`; a test compares it. What the exit codes mean stands in
[exit-codes.md](exit-codes.md), what the variables do in [variables.md](variables.md). An option that is not given on
the command line is taken from its environment variable.

Completion: `eval "$(exekutir completion bash)"` (or `zsh`, or `exekutir completion fish | source`).
"""


def page() -> str:
    """The whole page, as Markdown."""
    context = click.Context(main, info_name="exekutir")
    sections = [_section(main.commands[name], context) for name in main.list_commands(context)]
    return INTRODUCTION + "".join(sections)


def _section(command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = " ".join(["exekutir", str(command.name), *command.collect_usage_pieces(context)])
    lines = [f"\n## `{usage}`\n", f"{(command.help or '').strip()}\n"]
    options = list(_options(command, context))
    if options:
        lines += ["| option | environment | default | meaning |", "|---|---|---|---|", *options, ""]
    return "\n".join(lines)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option) or parameter.name == "help":
            continue
        names = ", ".join(f"`{name}`" for name in parameter.opts)
        metavar = "" if parameter.is_flag or parameter.count else f" `{parameter.make_metavar(context)}`"
        variable = f"`{parameter.envvar}`" if parameter.envvar else ""
        default = f"`{parameter.default}`" if parameter.show_default and parameter.default is not None else ""
        cells = [names + metavar, variable, default, parameter.help or ""]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
