"""Action `kommandir_workspace_returned`: the exekutir's copy of the kommandir's workspace is brought up to date."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from exekutir import by_hand


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no type information
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return by_hand.answered("returned", str(self._task.args["workspace"]))
