"""One call of a context: its transition between the records of its start and its end, and what people see of it.

Whatever happens inside, the exit files, the journal, the results and the verdict tell the same exit code.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from exekutir import job as jobs
from exekutir import preview, transitions, unforeseen, workspace
from exekutir.job import Job
from exekutir.locks import Holder, LockFolder
from exekutir.options import Options
from exekutir.workspace import Workspace
from kommandir import xn
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, ExitCode, KommandirError, exit_code_of
from kommandir.events import Subscriber
from kommandir.version import __version__

TRANSITIONS: dict[str, Callable[[Job], int]] = {
    "setup": transitions.setup,
    "run": transitions.run,
    "cleanup": transitions.cleanup,
}
#: Seconds to wait for another exekutir that works on the same workspace, where nobody gave a limit.
WORKSPACE_PATIENCE = 600.0


def perform(context: str, options: Options, subscriber: Subscriber, errors: TextIO) -> int:
    """Take a job to the end state of ``context``; the exit code comes back.

    Errors are printed to ``errors``. Signals are handled here; main thread only.
    """
    cancellation = Cancellation()
    try:
        with cancellation.handling_signals():
            return _performed(context, options, cancellation, subscriber, errors)
    except (ExekutirError, OSError) as error:
        told = error if isinstance(error, ExekutirError) else unforeseen.of_the_system(error)
        print(f"exekutir {context}: {told}", file=errors)
        return exit_code_of(told)


def perform_all(options: Options, subscriber: Subscriber, errors: TextIO) -> int:
    """``setup``, ``run`` if that was good, then ``cleanup`` whatever happened; the first bad exit code comes back."""
    codes = [perform("setup", options, subscriber, errors)]
    if codes[0] == ExitCode.GOOD:
        codes.append(perform("run", options, subscriber, errors))
    if codes[0] != ExitCode.USAGE or (options.workspace and (options.workspace / workspace.FORMAT_FILE).exists()):
        codes.append(perform("cleanup", options, subscriber, errors))
    return next((code for code in codes if code), int(ExitCode.GOOD))


def _performed(
    context: str, options: Options, cancellation: Cancellation, subscriber: Subscriber, errors: TextIO
) -> int:
    place = workspace.asked(options.workspace)
    if context == "cleanup" and workspace.untouched(place):
        print(f"exekutir cleanup: nothing was ever set up in {place}; nothing to clean up", file=errors)
        return int(ExitCode.GOOD)
    if options.check:
        there = workspace.opened(place, create=False) if place.exists() else Workspace(place)
        return preview.shown(context, options, there, errors)
    opened = workspace.opened(place, create=context == "setup")
    with _workspace_locked(context, options, opened, cancellation):
        job = jobs.load(context, options, opened, cancellation, subscriber)
        return _recorded(job, errors)


@contextlib.contextmanager
def _workspace_locked(context: str, options: Options, opened: Workspace, cancellation: Cancellation) -> Iterator[None]:
    """Keep other exekutirs out of the workspace while a context is under way."""
    told: list[str] = []

    def waiting(_lock: str, holders: list[Holder]) -> None:
        message = f"exekutir {context}: waiting for {', '.join(map(str, holders)) or 'another exekutir'}"
        if message not in told:
            told.append(message)
            print(message, file=sys.stderr, flush=True)

    patience = Deadline.after(options.timeout or WORKSPACE_PATIENCE)
    locks = LockFolder(opened.path / ".locks", str(opened.path), context, patience, cancellation, waiting)
    with locks.exclusive("workspace"):
        yield


def _recorded(job: Job, errors: TextIO) -> int:
    started = time.monotonic()
    _started(job)
    try:
        code = TRANSITIONS[job.context](job)
        if code == ExitCode.GOOD:
            job.cancellation.check("its end")  # a signal that nothing was left to hear
        reason = ""
    except Exception as error:  # noqa: BLE001  who waits for the exit code gets one also where a bug of ours is behind it
        told = unforeseen.told(error, job)
        code, reason = exit_code_of(told), job.events.redactor.text(str(told))
    _finished(job, code, reason, time.monotonic() - started)
    if reason:
        print(f"exekutir {job.context}: {reason}", file=errors)
    return code


def _started(job: Job) -> None:
    if job.context == "setup":
        workspace.earlier_results_put_away(job.workspace)
    if job.context != "run":  # which is refused where a setup was killed, and that is still to be gone on with
        xn.closed(job.workspace.kommandir, begins=job.context)
    known = {name: job.variables[name] for name in jobs.REMEMBERED if job.variables.get(name) is not None}
    job.workspace.record_exit("exekutir", job.context, None)
    job.workspace.record_exit("kommandir", job.context, None)
    job.workspace.journal.append("context_started", context=job.context, pid=os.getpid(), **known)
    job.workspace.results.mkdir(parents=True, exist_ok=True)
    job.events.emit(
        "context_started",
        uuid=job.uuid,
        job_name=job.name,
        workspace=str(job.workspace.path),
        version=__version__,
    )


def _finished(job: Job, code: int, reason: str, seconds: float) -> None:
    """Keep the exit code in every place where it is looked for; a full disk must not hide it."""
    job.events.emit("context_finished", exit_code=code, reason=reason, seconds=round(seconds, 3))
    with contextlib.suppress(KommandirError, OSError):
        job.workspace.journal.append("context_finished", context=job.context, exit_code=code)
        job.workspace.record_exit("exekutir", job.context, code)
        xn.closed(job.workspace.kommandir)


def verdict_shown(name: str, options: Options, code: int) -> None:
    """Write the results (JUnit, summary, page) of a call and print its verdict; nothing where there is no workspace."""
    from exekutir import display, results

    if options.workspace is None or options.check or not (options.workspace / "results").is_dir():
        return
    contexts = list(TRANSITIONS) if name == "all" else [name]
    verdict = results.write(options.workspace.absolute(), exit_code=code, contexts=contexts)
    display.concluded(verdict, options.format, stdout=sys.stdout, environ=os.environ)
