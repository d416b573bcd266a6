"""Action `peon_facts_gathered`: gathers the facts of a peon and keeps them among its results."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from kommandir import peon_actions


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no type information
    TRANSFERS_FILES = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return peon_actions.answered(self, task_vars, peon_actions.facts_gathered)
