"""The reference of providers names each option of each provider that ships, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kommandir.providers import command, existing_host, namespace_peon, podman_peon, qemu_vm

if TYPE_CHECKING:
    from kommandir.providers.command import Provider

PROVIDERS = (namespace_peon, podman_peon, qemu_vm, existing_host)


@pytest.fixture
def page(checkout: Path) -> str:
    return (checkout / "docs" / "reference" / "providers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: str(provider.name))
def test_the_table_has_the_options_of_each_provider(provider: Provider, page: str) -> None:
    table = page.partition("## Options of `create`")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("| `--")]
    told = {
        option
        for options, names in rows
        if provider.name in names.split(", ")
        for option in re.findall(r"--([a-z-]+)", options)
    }
    assert told == {option.name for option in provider.options}


def test_the_actions_are_those_that_there_are(page: str) -> None:
    block = page.partition("```text")[2].partition("```")[0]
    lines = [line.split() for line in block.strip().splitlines()]
    assert [line[1] for line in lines] == list(command.ACTIONS)
    told = {line[1]: set(re.findall(r"--([a-z-]+)", " ".join(line))) for line in lines}
    assert told == {action: {option.name for option in options} for action, options in command.ACTIONS.items()}
