"""What can go wrong, as exit codes and as errors that a person can act upon at 3 a.m."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """Exit codes of every command of ours. A failing test and a failing infrastructure never share one.

    ``meaning`` is what the reference (``docs/reference/exit-codes.md``) says of a member; a test compares them.
    """

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        """A member that is the number ``code``."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    GOOD = 0, "Everything went well."
    TESTS_FAILED = 1, "The tests said no."
    USAGE = 2, "A mistake in the command line, the job, a variable or a file of the user."
    PROVISIONING_FAILED = 3, "A host could not be created, set up or destroyed."
    UNREACHABLE = 4, "A host that exists does not answer."
    KOMMANDIR_FAILED = 5, "The kommandir, its disk or a program that it needs broke."
    LOCK_NOT_HAD = 6, "A lock was not had in time, or was lost."
    TIMED_OUT = 7, "A deadline passed."
    JOB_FAILED = 8, "A step of the job failed in `setup` or `cleanup`, where nothing is tested."
    LEFT_BEHIND = 9, "Cleanup ended, but something of the job is still there."
    INTERRUPTED = 130, "Stopped by SIGINT."
    TERMINATED = 143, "Stopped by SIGTERM (or SIGHUP)."


class ExekutirError(Exception):
    """Root of all our errors: something failed, and this is what a person needs in order to go on.

    ``what`` is one sentence; ``why`` the first lines of the cause; ``host`` the host on which it happened; ``log`` the
    file that has it all; ``hint`` what to do next. ``str(error)`` is all of it, as lines.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.KOMMANDIR_FAILED

    def __init__(
        self,
        what: str,
        *,
        host: str | None = None,
        why: str | None = None,
        log: Path | str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.host = host
        self.why = why
        self.log = log
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.host}: {self.what}" if self.host else self.what]
        if self.why:
            lines += [f"    {line}" for line in self.why.strip().splitlines()[:12]]
        if self.log:
            lines.append(f"  all of it: {self.log}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class UsageError(ExekutirError):
    """The user made a mistake; it names the place (file, line, key) where there is one."""

    exit_code = ExitCode.USAGE


class ProvisioningError(ExekutirError):
    """A host could not be created, set up or destroyed."""

    exit_code = ExitCode.PROVISIONING_FAILED


class UnreachableError(ExekutirError):
    """A host that exists does not answer."""

    exit_code = ExitCode.UNREACHABLE


class KommandirError(ExekutirError):
    """The kommandir, its disk or a program that it needs broke."""

    exit_code = ExitCode.KOMMANDIR_FAILED


class LockError(ExekutirError):
    """A lock was not had in time, or was lost."""

    exit_code = ExitCode.LOCK_NOT_HAD


class TimeOutError(ExekutirError):
    """A deadline passed."""

    exit_code = ExitCode.TIMED_OUT


class JobError(ExekutirError):
    """A step of the job failed outside of testing."""

    exit_code = ExitCode.JOB_FAILED


class LeftBehindError(ExekutirError):
    """Cleanup could not remove everything."""

    exit_code = ExitCode.LEFT_BEHIND


class StoppedError(ExekutirError):
    """A signal asked to stop; ``signal_number`` says which. The exit code is 128 + that number, as a shell has it."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, signal_number: int, doing: str | None = None) -> None:
        import signal

        name = signal.Signals(signal_number).name
        super().__init__(f"stopped by {name}" + (f" while {doing}" if doing else ""))
        self.signal_number = signal_number


def exit_code_of(error: ExekutirError) -> int:
    """The exit code (0 to 255) with which a command ends because of ``error``."""
    if isinstance(error, StoppedError):
        return int(ExitCode.INTERRUPTED if error.signal_number == 2 else ExitCode.TERMINATED)
    return int(error.exit_code)
