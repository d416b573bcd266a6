"""Jobs on disk, and what Ansible itself makes of an inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Write = Callable[[Path, Mapping[str, str]], Path]
Ask = Callable[[Path], dict[str, dict[str, Any]]]


@cache
def load_plugins() -> None:
    """Make Ansible in this process know its plugins; once, since a second time it warns."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()


@pytest.fixture(scope="session")
def write() -> Write:
    """Writes files (text by way) below a folder, which comes back."""

    def written(folder: Path, files: Mapping[str, str]) -> Path:
        for way, text in files.items():
            path = folder / way
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return written


@pytest.fixture(scope="session")
def ask_ansible() -> Ask:
    """All variables of each host of an inventory folder, as Ansible computes them in this process.

    Files beside a playbook in the folder above count too.
    """
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.vars.manager import VariableManager

    load_plugins()

    def asked(folder: Path) -> dict[str, dict[str, Any]]:
        loader = DataLoader()
        loader.set_basedir(str(folder.parent))
        inventory = InventoryManager(loader=loader, sources=[str(folder)])
        manager = VariableManager(loader=loader, inventory=inventory)
        return {host.name: dict(manager.get_vars(host=host)) for host in inventory.get_hosts()}

    return asked
