"""How a remote run ended, from the last line that its kommandir tells."""

from __future__ import annotations

import signal
from dataclasses import dataclass, fields
from typing import Any

from exekutir.remote.runs import RemoteRun
from kommandir.cancellation import Cancellation
from kommandir.errors import (
    ExekutirError,
    ExitCode,
    JobError,
    KommandirError,
    LeftBehindError,
    LockError,
    ProvisioningError,
    StoppedError,
    TimeOutError,
    UnreachableError,
    UsageError,
    exit_code_of,
)
from kommandir.failure import Failure
from kommandir.xn import XnResult

#: The error that ends a call with an exit code of ours.
ERRORS: dict[int, type[ExekutirError]] = {
    int(each.exit_code): each
    for each in (
        UsageError,
        ProvisioningError,
        UnreachableError,
        KommandirError,
        LockError,
        TimeOutError,
        JobError,
        LeftBehindError,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of a run: a result, or an error to raise instead."""

    result: XnResult
    error: ExekutirError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """For the journal."""
        return exit_code_of(self.error) if self.error is not None else self.result.exit_code


def ending_of(told: dict[str, Any], run: RemoteRun, host: str) -> Ending:
    """The ending that the last line of ``kommandir job follow`` tells."""
    if "died" in told:
        return _failed("the run ended without a result", str(told.get("why")), run, host)
    result = told.get("result")
    if not isinstance(result, dict):
        return _failed("the run's result can't be read", "", run, host)
    if "crash" in result:
        return _failed("a bug", str(result["crash"]), run, host)
    warnings = tuple(map(str, result.get("warnings") or ()))
    if "error" in result:
        return Ending(result=_NONE, error=_error(result["error"]), warnings=warnings)
    try:
        known = {each.name for each in fields(Failure)}
        failures = tuple(
            Failure(**{name: value for name, value in each.items() if name in known}) for each in result["failures"]
        )
        outcome = next(code for code in ExitCode if code == int(result["outcome"]))
        return Ending(
            result=XnResult(exit_code=int(result["exit_code"]), outcome=outcome, failures=failures), warnings=warnings
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        return _failed("the run's result can't be read", repr(error), run, host)


def killed(cancellation: Cancellation) -> Ending:
    """The ending of a run that had to be killed, since it did not end in time after a signal or its deadline."""
    outcome = ExitCode.TIMED_OUT
    if cancellation.requested:
        outcome = ExitCode.INTERRUPTED if cancellation.signal_number == signal.SIGINT else ExitCode.TERMINATED
    failure = Failure(step="", message="the run did not end in time when it was told to, and was killed")
    return Ending(result=XnResult(exit_code=int(outcome), outcome=outcome, failures=(failure,)))


_NONE = XnResult(exit_code=int(ExitCode.KOMMANDIR_FAILED), outcome=ExitCode.KOMMANDIR_FAILED)


def _failed(what: str, why: str, run: RemoteRun, host: str) -> Ending:
    error = KommandirError(
        f"the kommandir failed: {what}",
        host=host,
        why=why,
        log=f"{run.runs}/{run.id}/crash.txt on {host}",
        hint="look at the last steps in the results; `exekutir cleanup` destroys the peons all the same",
    )
    return Ending(result=_NONE, error=error)


def _error(told: dict[str, Any]) -> ExekutirError:
    """The error that ended the run there, as it would have ended it here."""
    texts = {name: str(told[name]) for name in ("host", "why", "log", "hint") if told.get(name)}
    if told.get("signal"):
        return StoppedError(int(told["signal"]))
    kind = ERRORS.get(int(told.get("exit_code") or 0), KommandirError)
    return kind(str(told.get("what")), **texts)
