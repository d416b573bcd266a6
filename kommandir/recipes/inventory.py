"""The peons of an inventory, told by Ansible itself.

A program: ``python -P inventory.py PATTERN LIMIT INVENTORY`` prints a JSON list of ``{name, groups}``. It is one
because Ansible reads its configuration once a process, from the environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def told(pattern: str, limit: str, source: str) -> list[dict[str, Any]]:
    """Name and groups of the hosts of ``source`` that ``pattern``, and ``limit`` unless it is empty, stand for."""
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[source])
    variables = VariableManager(loader=loader, inventory=inventory)
    if limit:
        inventory.subset(limit)
    return [
        {"name": str(host.name), "groups": _groups(host, variables.get_vars(host=host))}
        for host in inventory.get_hosts(pattern)
    ]


def _groups(host: Any, variables: dict[str, Any]) -> list[str]:
    """Those of the inventory, and those that the role `common` would add."""
    added = variables.get("peon_groups") or ()
    named = [str(group) for group in added] if isinstance(added, list | tuple) else []
    own = [group.name for group in host.get_groups() if group.name != "all"]
    return list(dict.fromkeys([*named, *map(str, own)]))


def main() -> int:
    """The entry point; an inventory that can't be read is told on standard error, with exit code 2."""
    from ansible.errors import AnsibleError

    try:
        print(json.dumps(told(*sys.argv[1:4])))
    except AnsibleError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
