"""A run ended in order: TERM for its process, which ends its steps; time for that; KILL for all that bears its mark."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Any

from kommandir import process, strays
from kommandir.detached.folder import RUN_TAG, RunFolder, RunsFolder
from kommandir.errors import ExitCode, KommandirError
from kommandir.journal import now

#: Seconds that a run has to end its steps, each of which has a grace of its own (``process.GRACE``).
GRACE = 30.0
SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM}


def stop(runs: RunsFolder, name: str, *, grace: float = GRACE, with_signal: str = "TERM") -> dict[str, Any]:
    """End a run and all of its processes, and say what is known of it; one that was never started never will be.

    ``grace`` is in seconds. May be done again, and side by side. Raises KommandirError where the disk can't take that
    it was stopped.
    """
    run = runs.run(name)
    number = SIGNALS[with_signal]
    with runs.starting():
        if run.state == "unknown":
            run.path.mkdir(mode=0o700, exist_ok=True)
            _kept(run, number, "it was stopped before it began")
            return run.told()
    _ended(run, number, grace)
    strays.end_tagged(RUN_TAG, name)
    if run.state == "died":
        _kept(run, number, f"it did not end within {grace:g} s and was killed")
    return run.told()


def stop_all(runs: RunsFolder, *, grace: float = GRACE, with_signal: str = "TERM") -> list[dict[str, Any]]:
    """The same for every run of the job that is alive or was killed."""
    return [
        stop(runs, run.id, grace=grace, with_signal=with_signal)
        for run in runs.all()
        if run.state in ("running", "died")
    ]


def _ended(run: RunFolder, number: signal.Signals, grace: float) -> None:
    record = run.record
    if record is None:
        return
    pid = int(record["pid"])
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor is bound to one process, so what is known now holds for the signals.
        if not run.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            if not ended.poll(grace * 1000):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                process.end_group(pid, 0.0)
                ended.poll(grace * 1000)
    finally:
        os.close(handle)


def _kept(run: RunFolder, number: signal.Signals, why: str) -> None:
    outcome = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
    failure = {"step": "", "message": f"stopped by {number.name}: {why}"}
    try:
        run.keep_result(
            {"exit_code": int(outcome), "outcome": int(outcome), "failures": [failure], "warnings": [], "ended": now()}
        )
    except OSError as error:
        raise KommandirError(f"{run.path} can't be written: {error.strerror}", hint="look for a full disk") from error
