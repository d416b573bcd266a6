"""What the terminal says at the end: the verdict, what failed with the tail of its output, and where all of it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exekutir.results.cleaning import one_line, tail
from exekutir.results.paths import inside
from exekutir.results.record import Context, Failure, Job, JUnitFile
from exekutir.results.wording import count, duration, meaning, names

#: Failures that are told in full, and those that get a line each.
IN_FULL = 8
IN_A_LINE = 40
_MESSAGE_LINES = 12
_OUTPUT_LINES = 12
_LONGEST = 400
_TESTS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The end of a job or of one of its contexts."""

    #: That of the command; None where it isn't known.
    exit_code: int | None
    #: What went wrong in the contexts that this command went through; nothing where the exit code is 0.
    failures: tuple[Failure, ...] = ()
    #: The directory of all results.
    results: Path
    #: What is known of the job.
    job: Job = field(default_factory=Job)
    #: The contexts that this command went through.
    contexts: tuple[str, ...] = ()
    #: What could not be read or written of the results, one sentence each.
    problems: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether everything went well."""
        return self.exit_code == 0

    def lines(self) -> list[str]:
        """The end as plain text, a line each: what failed, then the verdict, the result directory last."""
        told = [] if self.good else [*self._failures(), *self._failed_tests()]
        if told:
            told.append("")
        notes = [*self._earlier(), *self._unheard(), *(f"warning: {problem}" for problem in self.problems)]
        return [*told, self.headline, *notes, f"results: {self.results}{self._page()}"]

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        label = self.job.name or "the job"
        if self.good:
            told = self._mine()
            what = names([context.name for context in told]) or label
            return f"{label}: {what} good{self._figures(told)}"
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        where = names([context.name for context in self._mine() if context.outcome != "good"])
        return f"{label}: {where + ' ' if where else ''}FAILED: {meaning(self.exit_code)}{code}"

    def _page(self) -> str:
        return " (open index.html there)" if (self.results / "index.html").is_file() else ""

    def _mine(self) -> list[Context]:
        return [context for name, context in self.job.contexts.items() if name in self.contexts]

    def _figures(self, contexts: Sequence[Context]) -> str:
        peons = len({name for context in contexts for name in context.peon_names})
        tests = sum(len(file.cases) for file in self.job.tests) if "run" in self.contexts else 0
        figures = [count(peons, "peon")] if peons else []
        figures += [count(tests, "test")] if tests else []
        figures += [duration(sum(context.seconds for context in contexts))]
        return f" ({', '.join(figures)})"

    def _failures(self) -> Iterator[str]:
        groups = list(alike(self.failures).values())
        for group in groups[:IN_FULL]:
            yield ""
            yield from self._in_full(group)
        if len(groups) > IN_FULL:
            yield ""
        for group in groups[IN_FULL:IN_A_LINE]:
            yield f"  {place(group)}: {one_line(group[0].message, 100)}"
        if len(groups) > IN_A_LINE:
            yield f"  and {len(groups) - IN_A_LINE} more, see index.html"

    def _in_full(self, group: Sequence[Failure]) -> Iterator[str]:
        failure = group[0]
        yield f"  {place(group)}"
        message = [line for line in failure.message.splitlines() if line.strip()]
        for line in message[:_MESSAGE_LINES]:
            yield f"      {_bounded(line)}"
        output = [line for line in tail(failure.output, _OUTPUT_LINES) if line not in message]
        for line in output:
            yield f"    | {_bounded(line)}"
        log = next((path for path in (inside(self.results, item.log) for item in group) if path), None)
        if log:
            yield f"    all of it: {log}"

    def _failed_tests(self) -> Iterator[str]:
        if "run" not in self.contexts:
            return
        for file in self.job.tests:
            bad = [case for case in file.cases if case.outcome in ("failed", "error")]
            if bad or file.broken:
                yield ""
                yield f"  tests of {file.peon}: {_tests_line(file, len(bad))}"
            for case in bad[:_TESTS_SHOWN]:
                name = f"{case.classname}.{case.name}" if case.classname else case.name
                yield f"      {name}: {one_line(case.message, 120)}".rstrip(": ")
            if len(bad) > _TESTS_SHOWN:
                yield f"      and {len(bad) - _TESTS_SHOWN} more"

    def _earlier(self) -> Iterator[str]:
        for name, context in self.job.contexts.items():
            if name not in self.contexts and context.outcome != "good":
                yield f"  {name} before it: {meaning(context.exit_code)}" + (
                    f" (exit code {context.exit_code})" if context.exit_code is not None else ""
                )

    def _unheard(self) -> Iterator[str]:
        """Failed tests that the job passed over: nobody should read `good` and not know of them."""
        bad = sum(file.number("failed", "error") for file in self.job.tests)
        if self.good and bad and "run" in self.contexts:
            yield f"  but {count(bad, 'test')} of the peons' own files failed; the job did not make that its verdict"


def _bounded(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _tests_line(file: JUnitFile, bad: int) -> str:
    told = f"{bad} of {count(len(file.cases), 'test')} failed ({file.path})"
    return f"{told}; the file could not be read to its end: {file.broken}" if file.broken else told


def place(group: Sequence[Failure]) -> str:
    """Where failures that are alike happened: peons, context, and step or role and task."""
    failure = group[0]
    peons = names(list(dict.fromkeys(item.peon for item in group if item.peon)))
    task = f'task "{failure.task}"' if failure.task else ""
    role = f"role {failure.role}" if failure.role else ""
    outcome = failure.outcome if failure.outcome != "failed" else ""
    step = failure.step if not (task or role) else ""
    return ", ".join(part for part in (peons, failure.context, step, role, task, outcome) if part)


def alike(failures: Sequence[Failure]) -> dict[tuple[str, ...], list[Failure]]:
    """Failures of several peons for the same reason, told once."""
    groups: dict[tuple[str, ...], list[Failure]] = {}
    for failure in failures:
        key = (failure.context, failure.step, failure.role, failure.task, failure.outcome, failure.message)
        groups.setdefault(key if failure.peon else (*key, str(len(groups))), []).append(failure)
    return groups
