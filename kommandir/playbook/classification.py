"""Whose fault it was: the exit code of a playbook, from its events and never from Ansible's exit code alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kommandir.errors import ExitCode
from kommandir.failure import Failure

#: Ansible's own exit code for an error that it did not foresee.
UNEXPECTED = 250
#: What ansible-runner says where there is no such program.
MISSING = 127
#: What means that the machine failed, not the playbook.
_OF_THE_MACHINE = re.compile(
    r"No space left on device|Disk quota exceeded|Read-only file system|Cannot allocate memory|Too many open files"
)
_ERROR = re.compile(r"^(\[ERROR\]|ERROR!|ansible-playbook: error)")
#: Lines of an error that say no more than the lines before.
MOST_LINES = 10


def of_failures(failures: Iterable[Failure], context: str) -> ExitCode:
    """The code of failed tasks: where the infrastructure failed, what the tests say is worth nothing."""
    known = list(failures)
    if any(failure.infrastructure and not failure.unreachable for failure in known):
        return ExitCode.PROVISIONING_FAILED
    if any(failure.unreachable for failure in known):
        return ExitCode.UNREACHABLE
    return of_step(context)


def of_step(context: str) -> ExitCode:
    """The code of a step that said no: in ``run`` that is the tests' verdict, elsewhere the job's failure."""
    return ExitCode.TESTS_FAILED if context == "run" else ExitCode.JOB_FAILED


def of_breakage(code: int, lines: Sequence[str]) -> tuple[ExitCode, str]:
    """Code and message where Ansible ended with ``code`` and no task had failed: ``lines`` is what it said.

    That is the user's mistake (broken YAML, no such playbook, role, module, host), unless Ansible was killed, missing,
    surprised, or the machine failed it.
    """
    text = _error_in(lines)
    if code == MISSING:
        return ExitCode.KOMMANDIR_FAILED, "Ansible can't be started:\n" + "\n".join(lines[-MOST_LINES:])
    if code < 0 or code == UNEXPECTED or not text or _OF_THE_MACHINE.search(text):
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return ExitCode.KOMMANDIR_FAILED, f"Ansible {ended} before any task failed" + (f":\n{text}" if text else "")
    return ExitCode.USAGE, text


def _error_in(lines: Sequence[str]) -> str:
    """The last error and what explains it, its place among that."""
    starts = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    if not starts:
        return ""
    found = list(lines[starts[-1] :])[:MOST_LINES]
    found[0] = re.sub(r"^(\[ERROR\]:|ERROR!)\s*", "", found[0])
    return "\n".join(line.rstrip() for line in found if line.strip())
