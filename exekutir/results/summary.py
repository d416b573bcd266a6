"""``summary.json``: the same results for programs. ``docs/reference/results.md`` documents each key."""

from __future__ import annotations

import json
from typing import Any

from exekutir.results.record import Context, Failure, Job, JUnitFile, Peon, Step
from exekutir.results.wording import meaning

#: Raised when a key goes away or changes its meaning; new keys may come at any time.
SCHEMA = 1


def document(job: Job, *, written: str) -> str:
    """The file; ``written`` is the moment it is made, UTC, ISO 8601."""
    return json.dumps(_job(job, written), indent=1, allow_nan=False) + "\n"


def _job(job: Job, written: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "written": written,
        "exekutir": job.version,
        "job": {"name": job.name, "uuid": job.uuid, "workspace": job.workspace},
        "exit_code": job.exit_code,
        "meaning": meaning(job.exit_code),
        "contexts": [_context(context) for context in job.contexts.values()],
        "tests": [_tests(file) for file in job.tests],
    }


def _context(context: Context) -> dict[str, Any]:
    return {
        "context": context.name,
        "outcome": context.outcome,
        "exit_code": context.exit_code,
        "reason": context.reason,
        "started": context.started,
        "finished": context.finished,
        "seconds": round(context.seconds, 3),
        "phases": [
            {"phase": phase.name, "outcome": phase.outcome, "seconds": round(phase.seconds, 3)}
            for phase in context.phases
        ],
        "steps": [_step(step) for step in context.steps.values()],
        "peons": [_peon(peon) for peon in context.peons.values()],
        "failures": [_failure(failure) for failure in context.failures],
        "warnings": context.warnings,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "name": step.name,
        "outcome": step.outcome,
        "exit_code": step.exit_code,
        "seconds": round(step.seconds, 3),
        "log": step.log,
    }


def _peon(peon: Peon) -> dict[str, Any]:
    return {
        "peon": peon.name,
        "outcome": peon.outcome,
        "state": peon.state,
        "provider": peon.provider,
        "seconds": round(peon.seconds, 3),
        "tasks": {outcome: number for outcome, number in peon.counts.items() if number},
        "failures": [_failure(failure) for failure in peon.failures],
        "more_failures": peon.more_failures,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "kind": failure.kind,
        "outcome": failure.outcome,
        "step": failure.step,
        "play": failure.play,
        "role": failure.role,
        "task": failure.task,
        "message": failure.message,
        "output": failure.output,
        "log": failure.log,
        "source": failure.source,
    }


def _tests(file: JUnitFile) -> dict[str, Any]:
    return {
        "peon": file.peon,
        "path": file.path,
        "broken": file.broken,
        "tests": len(file.cases),
        "passed": file.number("passed"),
        "failed": file.number("failed"),
        "errors": file.number("error"),
        "skipped": file.number("skipped"),
        "seconds": round(sum(case.seconds for case in file.cases), 3),
        "failures": [
            {"classname": case.classname, "name": case.name, "outcome": case.outcome, "message": case.message}
            for case in file.cases
            if case.outcome in ("failed", "error")
        ],
    }
