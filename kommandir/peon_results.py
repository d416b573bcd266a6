"""What a peon brought, for people: ``results/NAME/adept_result.txt`` and ``facts.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kommandir import peon_files
from kommandir.redaction import Redactor

RESULT = "adept_result.txt"
FACTS = "facts.json"
#: Lines of a reason that the result shows.
_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a peon failed."""

    #: The role that failed, "" where the task belongs to none.
    role: str
    task: str
    #: Its message and the first lines of its output.
    why: str
    #: Where the task stands, ``file:line``.
    path: str = ""


def why(result: Mapping[str, Any]) -> str:
    """The reason in what Ansible keeps of a failed task (``ansible_failed_result``): its message, then its output."""
    parts = [str(result.get("msg") or "")]
    items = [item for item in result.get("results") or () if isinstance(item, Mapping)]
    parts += [why(item) for item in items if item.get("failed")]
    for stream in ("stderr", "stdout", "module_stderr"):
        text = str(result.get(stream) or "").strip()
        if text and text not in parts[0]:
            parts.append(f"{stream}: {text}")
    return "\n".join(part for part in parts if part) or "it gave no reason"


def failed(
    workspace: Path, peon: str, failure: Failure, *, job: str, context: str, redactor: Redactor | None = None
) -> Path:
    """Write which role failed, why, and where its output is."""
    place = f" ({failure.path})" if failure.path else ""
    lines = failure.why.strip().splitlines()
    cut = [f"({len(lines) - _LINES} lines more)"] if len(lines) > _LINES else []
    text = [
        f"The peon {peon} failed{_during(context, job)}.",
        f"role:    {failure.role or 'none that Ansible names'}",
        f"task:    {failure.task}{place}",
        *(f"{'why:' if not number else '':8} {line}" for number, line in enumerate([*lines[:_LINES], *cut])),
        _output(workspace, peon),
    ]
    return _written(workspace, peon, text, redactor)


def started(workspace: Path, peon: str, role: str, *, job: str, context: str) -> Path:
    """Write that ``role`` began; this is what stands there when the peon dies before it ends."""
    text = [
        f"The peon {peon} did not get to the end of the role {role}{_during(context, job)}.",
        f"role:    {role}",
        "why:     it was killed, it stopped answering, or it is still at work",
        _output(workspace, peon),
    ]
    return _written(workspace, peon, text, None)


def succeeded(workspace: Path, peon: str, *, job: str, context: str) -> Path:
    """Write that all went well."""
    text = [f"The peon {peon} did well{_during(context, job)}.", _output(workspace, peon)]
    return _written(workspace, peon, text, None)


def rendered(workspace: Path, peon: str, text: str, file: str = RESULT, redactor: Redactor | None = None) -> Path:
    """Write what a job's own template made of it."""
    place = Path(file)
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(f"{file} does not lie among the results of {peon}")
    (peon_files.result_place(workspace, peon, "") / place.parent).mkdir(parents=True, exist_ok=True)
    return peon_files.keep_result(workspace, peon, file, text, redactor or Redactor())


def facts(workspace: Path, peon: str, gathered: Mapping[str, Any], redactor: Redactor | None = None) -> Path:
    """Write the facts of a peon, as Ansible gathered them, with the names that its templates know them by."""
    known = (redactor or Redactor()).value(gathered)
    text = json.dumps(known, indent=1, sort_keys=True, default=str) + "\n"
    return peon_files.keep_result(workspace, peon, FACTS, text, redactor or Redactor())


def _during(context: str, job: str) -> str:
    return (f" in the context {context}" if context else "") + (f" of the job {job}" if job else "")


def _output(workspace: Path, peon: str) -> str:
    """Where its output is; by hand there are no logs but on the terminal."""
    logs = " and results/logs/" if (workspace / peon_files.RESULTS / "logs").is_dir() else ""
    return f"output:  results/{peon}/{logs}"


def _written(workspace: Path, peon: str, lines: list[str], redactor: Redactor | None) -> Path:
    return peon_files.keep_result(workspace, peon, RESULT, "\n".join(lines) + "\n", redactor or Redactor())
