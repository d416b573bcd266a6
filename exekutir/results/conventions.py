"""Names of hosts, roles and outcomes that mean something to whoever shows a job."""

from __future__ import annotations

#: Hosts on which tasks run and that are no peons.
NO_PEONS = frozenset({"kommandir", "exekutir", "localhost", "127.0.0.1"})
#: This role fails a peon because something else failed before; that is the failure to tell.
CONSEQUENCE = "failed_peon_result"
#: Outcomes of a task that are failures.
BAD = ("failed", "unreachable")

_OF_ANSIBLE = "Validating arguments against arg spec"


def task_name(name: str) -> str:
    """A task's name for people; the one that Ansible puts before every role with a specification is a long one."""
    return "its arguments are valid" if name.startswith(_OF_ANSIBLE) else name
