"""Actions in processes of their own, which limits and deadlines can end."""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import time
from typing import TYPE_CHECKING

from narval_engine import outcomes
from narval_engine.outcomes import Outcome, StepKilledError

if TYPE_CHECKING:
    from narval_engine.workers import Job

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Between being asked to end and being made to.
_GRACE = 2.0
#: How often it is looked whether the step was cancelled.
_LOOK = 0.5
_MEBIBYTE = 1024 * 1024


def perform_isolated(job: Job) -> Outcome:
    """Calls the action in a forked process under the step's limits. What it does to its inputs is not seen here.

    Reaching a limit kills the step. A process that goes away without an answer has killed it as well.
    """
    reading, writing = os.pipe()
    # Until the child has given up our handlers, a signal at it waits; it would be lost in them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        child = os.fork()
        if child == 0:
            os.close(reading)
            _be_the_action(job, writing)
    except OSError:
        os.close(reading)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writing)
    job.running.on_cancel(lambda: _end(child, signal.SIGTERM))
    try:
        answer = _read(reading, job)
    finally:
        os.close(reading)
        _end(child, signal.SIGKILL)
        _pid, status = os.waitpid(child, 0)
    if answer:
        # Our own child wrote it; nobody else holds the pipe.
        outcome: Outcome = pickle.loads(answer)  # noqa: S301 -- see above
        return outcome
    if job.running.cancelled is not None:
        return outcomes.of_exception(RuntimeError(f"cancelled: {job.running.cancelled}"))
    return outcomes.of_exception(StepKilledError(_epitaph(status, job)))


def _be_the_action(job: Job, writing: int) -> None:
    """In the child: runs the action, writes its outcome, and never returns."""
    from narval_engine.workers import perform

    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        source = job.call.step.source
        if source.memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (source.memory * _MEBIBYTE, source.memory * _MEBIBYTE))
        if source.cpu is not None:
            seconds = max(1, round(source.cpu))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        outcome = perform(job)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(outcome))
        code = 0
    finally:
        os._exit(code)


def _read(reading: int, job: Job) -> bytes:
    """What the child answers; nothing, if it was asked to end and did not do so in time."""
    parts: list[bytes] = []
    ending: float | None = None
    while True:
        ready, _writing, _failing = select.select([reading], [], [], _LOOK)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
        elif job.running.cancelled is not None:
            ending = ending or time.monotonic() + _GRACE
            if time.monotonic() > ending:
                return b""


def _end(child: int, how: signal.Signals) -> None:
    try:
        os.killpg(child, how)
    except (ProcessLookupError, PermissionError):
        # Not yet a group of its own, or gone.
        try:
            os.kill(child, how)
        except ProcessLookupError:
            return


def _epitaph(status: int, job: Job) -> str:
    name = job.call.step.source.target
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        reason = "its CPU limit was reached" if number == signal.SIGXCPU else f"signal {number.name}"
        return f"{name} was killed: {reason}"
    return f"{name} ended without an answer (exit code {os.waitstatus_to_exitcode(status)})"
