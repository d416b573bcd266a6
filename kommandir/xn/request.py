"""What to run of a ``job.xn``, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, ExitCode, exit_code_of
from kommandir.events import EventStream
from kommandir.failure import Failure

__all__ = ["Failure", "XnRequest", "XnResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class XnRequest:
    """The items of one context, with everything around them."""

    context: str
    #: The kommandir's: commands run there, relative files lie there.
    workspace: Path
    #: None: ``text`` is the file, from standard input.
    file: Path | None = None
    text: str | None = None
    #: Further arguments: they go to every playbook, and to commands as ``ADEPT_OPTIONAL``.
    optional: tuple[str, ...] = ()
    #: The job's; "" for a file that is run by itself.
    uuid: str = ""
    #: Names of environment variables that pass to children besides the allowed ones.
    environment_pass: tuple[str, ...] = ()
    #: YAML file of extra variables that win over all others.
    extra_vars: Path | None = None
    #: Hosts to which every playbook is limited, whatever its item says.
    limit: str | None = None
    #: 0 to 4 or more, as Ansible's ``-v``.
    verbosity: int = 0
    deadline: Deadline
    cancellation: Cancellation
    events: EventStream
    #: Only say what would be done.
    check: bool = False
    #: Whether it keeps a journal in the workspace, so that the next call goes on where this one was killed.
    durable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class XnResult:
    """What came of it."""

    #: That of the first item that failed, as ADEPT returns it; 0 where none did.
    exit_code: int
    #: The same, classified: whose fault it was.
    outcome: ExitCode
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What came of one item."""

    exit_code: int
    outcome: ExitCode
    failures: tuple[Failure, ...] = ()
    #: The log of the step, relative to the workspace; "" where there is none.
    log: str = ""
    #: Whether its exit code went into a file and does not count.
    swallowed: bool = False
    #: Whether a signal or a deadline ended it.
    stopped: bool = False
    #: Whether it was under way when the process that ran it was killed.
    killed: bool = False

    @property
    def good(self) -> bool:
        """Whether the next item is to run."""
        return self.outcome == ExitCode.GOOD or self.swallowed

    @property
    def word(self) -> str:
        """The outcome, as events name it."""
        if self.stopped or self.killed:
            return "interrupted"
        if self.outcome == ExitCode.GOOD:
            return "ok"
        return "swallowed" if self.swallowed else "failed"


def outcome_of(error: ExekutirError) -> ExitCode:
    """The exit code of an error as what it means."""
    number = exit_code_of(error)
    return next(code for code in ExitCode if code == number)


GOOD = StepResult(exit_code=0, outcome=ExitCode.GOOD)
