"""The results of a job: ``junit.xml``, ``summary.json`` and ``index.html``, made from its events, and its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exekutir.results.record import Job
    from exekutir.results.verdict import Verdict

__all__ = ["write"]


def write(workspace: Path, *, exit_code: int | None, contexts: Sequence[str] | None = None) -> Verdict:
    """Make all results of a workspace anew and return the verdict of the command that ends with ``exit_code``.

    ``contexts`` are those that the command went through. Without them it is all of them, but only the last one where
    that is good after one that was not.
    Each file is replaced in one step. What is missing, torn, or can't be written never raises: it is a problem that
    the verdict names. Where the workspace has no results folder, nothing is written.
    """
    from exekutir.results.verdict import Verdict

    results = _folder(workspace)
    problems: list[str] = []
    job = _job(results, exit_code, problems)
    if results.is_dir():
        problems += _written(results, job)
    mine = _contexts(job, exit_code, contexts)
    failures = [failure for name in mine for failure in job.contexts[name].all_failures] if exit_code else []
    return Verdict(
        exit_code=exit_code,
        failures=tuple(failures),
        results=results,
        job=job,
        contexts=tuple(mine),
        problems=tuple(problems),
    )


def _folder(workspace: Path) -> Path:
    linked = workspace / "results"
    return linked if linked.is_dir() else workspace / "kommandir_workspace" / "results"


def _job(results: Path, exit_code: int | None, problems: list[str]) -> Job:
    from exekutir.results import history, paths, peon_files
    from kommandir import events

    collector = history.Collector()
    try:
        for event in events.read(results / events.FILE_NAME):
            collector.take(event)
    except OSError as error:
        problems.append(f"{results / events.FILE_NAME} can't be read: {error.strerror}")
    job = collector.job(exit_code)
    paths.add_tails(job, results)
    job.files = peon_files.files_of_peons(results)
    job.tests = peon_files.junit_files(results, job.files)
    return job


def _contexts(job: Job, exit_code: int | None, contexts: Sequence[str] | None) -> list[str]:
    if contexts is None:
        all_good = all(context.outcome == "good" for context in job.contexts.values())
        contexts = [job.latest] if exit_code == 0 and not all_good else list(job.contexts)
    return [name for name in job.contexts if name in contexts]


def _written(results: Path, job: Job) -> list[str]:
    """Write the three files; the problems there were."""
    from exekutir.results import junit, page, summary
    from kommandir import atomic
    from kommandir.journal import now

    written = now()
    documents: dict[str, Iterable[str]] = {
        "junit.xml": junit.document(job),
        "summary.json": [summary.document(job, written=written)],
        "index.html": page.document(job, results=results, written=written),
    }
    problems = []
    for name, pieces in documents.items():
        try:
            atomic.write(results / name, "".join(pieces), durable=False)
        except OSError as error:
            problems.append(f"{results / name} can't be written: {error.strerror}")
    return problems
