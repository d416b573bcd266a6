"""Build hook: ships roles, playbooks, inventory and bundled jobs inside the wheel, below `kommandir/_content`.

An editable install leaves them out on purpose: it reads the checkout, and a copy would go stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONTENT = ("ansible.cfg", "inventory", "job_path", "playbooks", "roles")


class WheelContent(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for name in CONTENT:
            source = Path(self.root, name)
            if not source.exists():
                raise FileNotFoundError(f"{source}: a wheel without it would not work")
            build_data["force_include"][str(source)] = f"kommandir/_content/{name}"
