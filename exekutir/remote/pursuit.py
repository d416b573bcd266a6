"""One run on a remote kommandir, pursued over as many connections as it takes."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from exekutir.remote import runs
from exekutir.remote.absence import Absence
from exekutir.remote.clock import Clock
from exekutir.remote.control import NO_STATUS, ConnectionLostError, Control, HostKeyError, RemoteCommand
from exekutir.remote.host import RemoteHost
from exekutir.remote.runs import RemoteRun
from exekutir.remote.verdicts import Ending, ending_of, killed
from kommandir.cancellation import Cancellation, never
from kommandir.deadline import Deadline
from kommandir.detached.request import RunRequest
from kommandir.errors import (
    ExitCode,
    KommandirError,
    LockError,
    StoppedError,
    TimeOutError,
    UnreachableError,
    UsageError,
)
from kommandir.events import EventStream
from kommandir.journal import Journal
from kommandir.process import Outcome
from kommandir.xn import XnResult

#: Seconds without a line, heartbeats included, after which a stream is taken for dead.
SILENCE = 15.0
#: The same for the first line of a connection: a program has to start there, perhaps on a very slow machine.
FIRST_LINE = 90.0
#: Seconds that a run has to end its steps when it is stopped, and that we try to reach the kommandir for that.
GRACE, STOP_PATIENCE = 30.0, 60.0
#: Seconds by which a run, which has the same deadline, may overrun it until it is stopped from here.
LATE = 10.0
#: What the program ``kommandir`` ends with.
_MISTAKEN, _BUSY = int(ExitCode.USAGE), int(ExitCode.LOCK_NOT_HAD)
_ALIVE = "`exekutir run --attach` (or `setup --attach`) takes it up again, `exekutir cleanup` ends it"


class Pursuit:
    """What is known here of a run, and what to do when a connection was lost or the run has to stop."""

    def __init__(
        self,
        host: RemoteHost,
        run: RemoteRun,
        request: RunRequest | None,
        *,
        journal: Journal,
        events: EventStream,
        deadline: Deadline,
        cancellation: Cancellation,
        reconnect_timeout: float,
        place: int = 0,
    ) -> None:
        """``request`` starts the run; None for one that was started. ``place`` is where its events go on."""
        self.host, self.run, self.request = host, run, request
        self.journal, self.events = journal, events
        self.deadline, self.cancellation = deadline, cancellation
        self.place = place
        self.absence = Absence(host.name, run, events, reconnect_timeout)
        self.clock = Clock(host.name, events)
        #: Whether the start may have reached the kommandir, and whether it surely has.
        self._sent = self._begun = request is None
        #: By when a run that has to stop must have; None as long as it need not.
        self._stopping: Deadline | None = None
        self._ending: Ending | None = None

    def result(self) -> XnResult:
        """Start the run unless it was, take its events over, and return what came of it."""
        while self._ending is None:
            try:
                with Control.opened(self.host, deadline=self._limit, cancellation=self._watched) as control:
                    self._pursued(control)
            except HostKeyError:
                raise
            except (StoppedError, LockError):  # a signal, or a lease that was lost
                if not self._sent:
                    self._over(None)
                    raise
                self._stop()
            except UnreachableError as error:
                self._wait(error)
            except TimeOutError as error:
                raise self._not_stopped() from error
        return self._concluded(self._ending)

    @property
    def _limit(self) -> Deadline:
        return self._stopping or Deadline.never()

    @property
    def _watched(self) -> Cancellation:
        """What ends a wait: a signal, unless it was heard already."""
        return _DEAF if self._stopping else self.cancellation

    def _pursued(self, control: Control) -> None:
        """Take over what the run tells, as long as this connection lasts or until it is over."""
        follower, stopper = self._follower(control), None
        silence = Deadline.after(FIRST_LINE)
        while self._ending is None:
            if stopper is None and self._must_stop():
                stopper = control.started(self._stop_words(), deadline=self._limit, cancellation=_DEAF)
            if stopper is not None and stopper.ended:
                self._demand_stopped(stopper.outcome(0.0))
            commands = [follower] if stopper is None or stopper.ended else [follower, stopper]
            control.wait(commands, seconds=1.0, cancellation=None if self._stopping else self.cancellation)
            lines = follower.lines()
            for line in lines:
                self._take(line)
            if lines:
                silence = Deadline.after(SILENCE)
                self.absence.over()
            if follower.ended and self._ending is None:
                self._demand_lost(follower.outcome(0.0), control)
                return
            if silence.expired:
                raise ConnectionLostError(
                    "the connection was lost", host=self.host.name, why=f"no heartbeat for {silence.given:g} s"
                )
            self._limit.check("the run to end", host=self.host.name)
        if self._stopping or isinstance(self._ending.error, KommandirError):
            self._swept(control)

    def _follower(self, control: Control) -> RemoteCommand:
        """The command whose lines are the run's."""
        if not self._begun and self._sent and self._must_stop():  # it may not have begun, and then never shall
            self._demand_stopped(control.run(self._stop_words(), deadline=self._limit, cancellation=_DEAF))
            self._begun = True
        words, stdin = self._words("follow", "--from", str(self.place), self.run.id), b""
        if not self._begun and self.request is not None:
            words, stdin = self._words("start", "--follow"), self._asked(self.request)
            self._sent = True
        return control.started(words, stdin=stdin, deadline=self._limit, cancellation=self._watched)

    def _asked(self, request: RunRequest) -> bytes:
        """The request with what is left of the time."""
        told = json.loads(request.dumped())
        seconds = self.deadline.remaining()
        told["seconds"] = None if seconds == float("inf") else seconds
        return json.dumps(told).encode()

    def _words(self, verb: str, *more: str) -> list[str]:
        return runs.words(self.run.program, self.run.runs, verb, *more)

    def _stop_words(self) -> list[str]:
        number = "INT" if self.cancellation.signal_number == 2 else "TERM"
        return self._words("stop", "--grace", f"{GRACE:g}", "--signal", number, self.run.id)

    def _must_stop(self) -> bool:
        """Whether a signal or the deadline wants the run to end."""
        if self.cancellation.requested or time.monotonic() > self.deadline.moment + LATE:
            self._stop()
        return self._stopping is not None

    def _stop(self) -> None:
        if self._stopping is None:
            self._stopping = Deadline.after(GRACE + STOP_PATIENCE)

    def _take(self, line: bytes) -> None:
        """What one line of the follower tells; what is none of its, or torn, is passed over."""
        try:
            told = json.loads(line)
        except ValueError:
            return
        if not isinstance(told, dict):
            return
        if "event" in told:
            self._relay(told)
        elif "heartbeat" in told:
            self._begun = True
            self.clock.told(told.get("now"))
        elif "state" in told:
            self._begun = True
        elif "died" in told and self._stopping:  # what ends it has not left its result yet
            self._ending = killed(self.cancellation)
        elif "result" in told or "died" in told:
            self._ending = ending_of(told, self.run, self.host.name)

    def _relay(self, told: dict[str, Any]) -> None:
        place = int(told["next"])
        if place > self.place:
            self.place = place
            self.events.relay(runs.marked(self.clock.corrected(told["event"]), self.run.id, place))

    def _demand_lost(self, outcome: Outcome, control: Control) -> None:
        """The follower ended without the run's end. Return where the next connection may do better, else raise."""
        why = outcome.stderr or outcome.end
        if outcome.code == _BUSY and self.run.context == "cleanup":
            words = self._words("stop", "--grace", f"{GRACE:g}")
            control.run(words, deadline=self._limit, cancellation=self._watched)
            return
        if outcome.code == _BUSY:
            raise self._refused("another run of this job is alive on the kommandir", why, _ALIVE)
        if outcome.code == _MISTAKEN and self.request is None:
            raise self._refused("there is no run to attach to", why, "run the same without --attach")
        if outcome.code not in (0, NO_STATUS):
            raise self._failed("the run can't be followed", why)
        raise ConnectionLostError("the connection was lost", host=self.host.name, why=why)

    def _refused(self, what: str, why: str, hint: str) -> UsageError:
        """The error for a run that never began."""
        self._over(None)
        return UsageError(what, host=self.host.name, why=why, hint=hint)

    def _failed(self, what: str, why: str) -> KommandirError:
        return KommandirError(what, host=self.host.name, why=why, hint="`exekutir cleanup` ends what runs there")

    def _demand_stopped(self, outcome: Outcome) -> None:
        if outcome.code not in (0, NO_STATUS):
            raise self._failed("the run can't be ended", outcome.stderr or outcome.end)

    def _wait(self, error: UnreachableError) -> None:
        """The kommandir was not reached. Return when it is to be tried again; raise where it is given up."""
        self._must_stop()
        if self._stopping is not None and self._stopping.expired:
            raise self._not_stopped() from error
        if self._stopping is None and self.absence.too_long:
            if not self._sent:
                self._over(None)
                raise error
            raise self.absence.given_up(error) from error
        self.absence.wait(error, None if self._stopping else self.cancellation)

    def _not_stopped(self) -> StoppedError | TimeOutError:
        """The run had to end and could not be told so, or did not tell that it had."""
        what = f"ending the run {self.run.id} on {self.host.name}, which does not answer: it may go on there"
        self.events.emit("warning", message=f"{what}; `exekutir cleanup` ends it")
        if self.cancellation.requested:
            return StoppedError(self.cancellation.signal_number or 15, what)
        return TimeOutError(f"the deadline of {self.deadline.given:g} s passed while {what}", host=self.host.name)

    def _swept(self, control: Control) -> None:
        """Return when nothing of the run works on: one that was stopped may be ending, one that died left its steps."""
        with contextlib.suppress(UnreachableError, TimeOutError):  # the next start, and cleanup, do the same
            control.run(self._stop_words(), deadline=Deadline.after(STOP_PATIENCE), cancellation=_DEAF)

    def _concluded(self, ending: Ending) -> XnResult:
        for warning in ending.warnings:
            self.events.emit("warning", message=warning)
        self._over(ending.exit_code)
        if ending.error is not None:
            raise ending.error
        if self._stopping and not self.cancellation.requested and ending.result.outcome != ExitCode.GOOD:
            return XnResult(
                exit_code=int(ExitCode.TIMED_OUT), outcome=ExitCode.TIMED_OUT, failures=ending.result.failures
            )
        return ending.result

    def _over(self, exit_code: int | None) -> None:
        runs.end(self.journal, self.run, exit_code)


#: For waits that a signal, which was heard already, shall not end.
_DEAF = never()
