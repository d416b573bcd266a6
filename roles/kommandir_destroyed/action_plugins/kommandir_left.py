"""Action `kommandir_left`: the job leaves its kommandir; a retired one that nobody uses is destroyed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from exekutir import by_hand


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no type information
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return by_hand.answered("left", str(self._task.args["workspace"]))
