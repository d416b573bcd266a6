"""The reference pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from kommandir import cli, xn
from kommandir.xn import schema

BEGIN, END = "<!-- made from kommandir/xn/schema.py; a test compares it -->", "<!-- end -->"


def test_the_tables_of_items_are_those_of_the_schema(checkout: Path) -> None:
    page = (checkout / "docs/reference/xn.md").read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == schema.reference().strip()


def test_the_example_is_good(checkout: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", (checkout / "docs/reference/xn.md").read_text(), re.DOTALL)
    assert example
    assert yaml.safe_load(example[1])
    assert xn.check(None, example[1], context="setup") == []


def commands(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        inner = commands(command, f"{prefix} {name}") if isinstance(command, click.Group) else []
        found += inner or [(f"{prefix} {name}", command)]
    return found


@pytest.mark.parametrize(("name", "command"), commands(cli.main, "kommandir"), ids=str)
def test_every_command_of_kommandir_is_described_with_its_options(
    checkout: Path, name: str, command: click.Command
) -> None:
    page = (checkout / "docs/reference/kommandir.md").read_text()
    section = page.partition(f"\n## `{name}")[2].partition("\n## ")[0]
    assert section
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert f"`{max(parameter.opts, key=len)}" in section
