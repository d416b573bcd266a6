"""The display callback of ansible-runner, which besides says of a failure whether the playbook rescues it.

Ansible counts rescued failures, but tells of each one only that it failed.
"""

from __future__ import annotations

from typing import Any

from ansible.playbook.block import Block
from ansible.plugins.loader import callback_loader

DOCUMENTATION = """
    name: exekutir_display
    type: stdout
    short_description: what ansible-runner shows, with rescued failures marked
    description: [ansible-runner's own display, whose events also say whether a failure is rescued]
    extends_documentation_fragment: [default_callback]
"""

_Display: Any = callback_loader.get("awx_display", class_only=True)


class CallbackModule(_Display):  # type: ignore[misc]  # Ansible finds this class at run time
    """Marks the events of failures with `rescued` and `ignored`."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "exekutir_display"

    def capture_event_data(self, event: str, **event_data: Any) -> Any:
        """Adds the marks to the events of failures; everything else is as ansible-runner has it."""
        task = event_data.get("task")
        if event == "runner_on_failed" and task is not None:
            event_data["rescued"] = is_rescued(task)
        elif event == "runner_on_unreachable" and task is not None:
            event_data["ignored"] = task.ignore_unreachable is True
        return super().capture_event_data(event, **event_data)


def is_rescued(task: Any) -> bool:
    """Whether `task` stands in the main part of a block, near or far, that has a rescue part."""
    child, around = task, task._parent
    while around is not None:
        if isinstance(around, Block) and around.rescue and child._uuid in {part._uuid for part in around.block}:
            return True
        child, around = around, around._parent
    return False
