"""``junit.xml``: one file for the whole job, in the form that CI servers read.

A failure means that the tests said no, an error that the infrastructure did. Each thing that went wrong is told once,
at its innermost place. Cases of a job's own are a context, a ``command`` step, a peon that comes up, and a role or play
on a peon; names are stable from run to run. What the peons' own JUnit files hold is added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from exekutir.results.conventions import CONSEQUENCE
from exekutir.results.record import Context, Failure, Group, Job, JUnitFile, Peon


class Case(NamedTuple):
    """One ``testcase``."""

    classname: str
    name: str
    seconds: float = 0.0
    #: passed, failed, error, skipped.
    outcome: str = "passed"
    message: str = ""
    text: str = ""


class Suite(NamedTuple):
    """One ``testsuite``."""

    name: str
    hostname: str
    started: str
    cases: list[Case]


def document(job: Job) -> Iterator[str]:
    """The file, in pieces."""
    suites = [suite for suite in _suites(job) if suite.cases]
    taken: dict[tuple[str, str], int] = {}
    cases = [case for suite in suites for case in suite.cases]
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    seconds = sum(context.seconds for context in job.contexts.values())
    yield f"<testsuites {_attributes(name=job.name or 'job', **_numbers(cases), time=seconds)}>\n"
    for suite in suites:
        yield from _suite(suite, taken)
    yield "</testsuites>\n"


def _suites(job: Job) -> Iterator[Suite]:
    root = job.name or "job"
    for context in job.contexts.values():
        place = f"{root}.{context.name}"
        cases = [*_context_cases(root, context), *_step_cases(place, context)]
        yield Suite(place, "", context.started, cases)
        for peon in context.peons.values():
            yield Suite(f"{place}.{peon.name}", peon.name, context.started, list(_peon_cases(place, peon)))
    for file in job.tests:
        yield Suite(f"{file.peon}: {file.path}", file.peon, "", list(_test_cases(file)))


def _context_cases(root: str, context: Context) -> Iterator[Case]:
    of_steps = {step.failure for step in context.steps.values()}
    own = [failure for failure in context.failures if failure not in of_steps]
    if own:
        yield _failed_case(root, context.name, context.seconds, own)
    elif context.exit_code is None:
        message = "it did not come to its end"
        yield Case(classname=root, name=context.name, seconds=context.seconds, outcome="error", message=message)
    elif not context.exit_code:
        yield Case(classname=root, name=context.name, seconds=context.seconds)


def _step_cases(place: str, context: Context) -> Iterator[Case]:
    for step in context.steps.values():
        if step.failure:
            yield _failed_case(place, step.title, step.seconds, [step.failure])
        elif step.kind == "command" and step.outcome in ("ok", "swallowed"):
            yield Case(classname=place, name=step.title, seconds=step.seconds)


def _peon_cases(place: str, peon: Peon) -> Iterator[Case]:
    classname = f"{place}.{peon.name}"
    grouped = {failure for group in peon.groups.values() for failure in group.failures}
    alone = [failure for failure in peon.failures if failure not in grouped]
    if alone:
        yield _failed_case(classname, "the host is up", peon.created_seconds or 0.0, alone)
    elif peon.state in ("created", "up", "kept"):
        yield Case(classname=classname, name="the host is up", seconds=peon.created_seconds or 0.0)
    for group in peon.groups.values():
        if group.role != CONSEQUENCE or group.failures:
            yield _group_case(classname, group)


def _group_case(classname: str, group: Group) -> Case:
    name = f"{group.role} ({group.play})" if group.role and group.play else group.role or group.play or "tasks"
    outcome = group.outcome
    if group.failures:
        return _failed_case(classname, name, group.seconds, group.failures)
    if outcome in ("failed", "unreachable"):
        message = f"{outcome} tasks; see the peon's other failures"
        return Case(classname=classname, name=name, seconds=group.seconds, outcome="failed", message=message)
    outcome = "skipped" if outcome == "skipped" else "passed"
    return Case(classname=classname, name=name, seconds=group.seconds, outcome=outcome)


def _failed_case(classname: str, name: str, seconds: float, failures: list[Failure]) -> Case:
    first = failures[0]
    message = f"{first.task}: {first.message}" if first.task else first.message
    return Case(
        classname=classname,
        name=name,
        seconds=seconds,
        outcome="failed" if first.kind == "test" else "error",
        message=message,
        text="\n\n".join(_told(failure) for failure in failures),
    )


def _told(failure: Failure) -> str:
    lines = [failure.what, failure.message, failure.output]
    lines += [f"written at {failure.source}"] if failure.source else []
    lines += [f"all of it: {failure.log}"] if failure.log else []
    return "\n".join(line for line in lines if line)


def _test_cases(file: JUnitFile) -> Iterator[Case]:
    for case in file.cases:
        yield Case(
            classname=f"{file.peon}.{case.classname or case.suite or 'tests'}",
            name=case.name,
            seconds=case.seconds,
            outcome=case.outcome,
            message=case.message,
            text=case.output,
        )
    if file.broken:
        message = f"{file.path} could not be read: {file.broken}"
        yield Case(classname=f"{file.peon}.results", name=file.path, outcome="error", message=message)


def _numbers(cases: Iterable[Case]) -> dict[str, int]:
    outcomes = [case.outcome for case in cases]
    return {"tests": len(outcomes), "failures": outcomes.count("failed"), "errors": outcomes.count("error")}


def _suite(suite: Suite, taken: dict[tuple[str, str], int]) -> Iterator[str]:
    skipped = sum(case.outcome == "skipped" for case in suite.cases)
    seconds = sum(case.seconds for case in suite.cases)
    optional = {"hostname": suite.hostname, "timestamp": suite.started[:19]}
    told = {key: value for key, value in optional.items() if value}
    numbers = _numbers(suite.cases)
    yield f"  <testsuite {_attributes(name=suite.name, **numbers, skipped=skipped, time=seconds, **told)}>\n"
    for case in suite.cases:
        yield _case(case, _unique(case, taken))
    yield "  </testsuite>\n"


def _unique(case: Case, taken: dict[tuple[str, str], int]) -> str:
    """The case's name, with a number where the same class has it already: GitLab drops duplicates."""
    name = case.name
    while number := taken.get((case.classname, name), 0):
        taken[case.classname, name] = number + 1
        name = f"{name} [{number + 1}]"
    taken[case.classname, name] = 1
    return name


def _case(case: Case, name: str) -> str:
    start = f"    <testcase {_attributes(classname=case.classname, name=name, time=case.seconds)}"
    if case.outcome == "passed":
        return f"{start}/>\n"
    if case.outcome == "skipped":
        return f"{start}><skipped/></testcase>\n"
    tag, kind = ("failure", "test") if case.outcome == "failed" else ("error", "infrastructure")
    body = f"<{tag} {_attributes(message=case.message, type=kind)}>{escape(case.text, quote=False)}</{tag}>"
    return f"{start}>{body}</testcase>\n"


def _attributes(**values: str | float) -> str:
    return " ".join(f'{key}="{_attribute(value)}"' for key, value in values.items())


def _attribute(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return escape(str(value)).replace("\n", "&#10;").replace("\t", "&#9;")
