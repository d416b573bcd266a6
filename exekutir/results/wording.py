"""How figures and outcomes are said: durations, counts, what an exit code means."""

from __future__ import annotations

from kommandir.errors import ExitCode

#: What an exit code means, as the end of the sentence "the job ...".
MEANINGS: dict[int, str] = {
    ExitCode.GOOD: "all good",
    ExitCode.TESTS_FAILED: "the tests said no",
    ExitCode.USAGE: "a mistake in the command line, the job or a variable",
    ExitCode.PROVISIONING_FAILED: "a host could not be created, set up or destroyed",
    ExitCode.UNREACHABLE: "a host does not answer",
    ExitCode.KOMMANDIR_FAILED: "the kommandir, its disk or a program that it needs broke",
    ExitCode.LOCK_NOT_HAD: "a lock was not had in time",
    ExitCode.TIMED_OUT: "a deadline passed",
    ExitCode.JOB_FAILED: "a step of the job failed where nothing is tested",
    ExitCode.LEFT_BEHIND: "cleanup ended, but something of the job is still there",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated by a signal",
}


def meaning(exit_code: int | None) -> str:
    """What an exit code of ours means, in words; also for none (not ended) and for those of other programs."""
    if exit_code is None:
        return "it did not come to its end"
    return MEANINGS.get(exit_code, "the exit code of the step that failed")


def duration(seconds: float) -> str:
    """Seconds for people: ``0.4 s``, ``12.3 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Seconds as a running clock: ``0:07``, ``12:40``, ``1:02:03``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun: ``1 peon``, ``3 peons``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def names(items: list[str], shown: int = 6) -> str:
    """A list of names: ``a, b and c``; of a long one the first ``shown`` and how many more."""
    if len(items) <= shown:
        return " and ".join(part for part in (", ".join(items[:-1]), *items[-1:]) if part)
    return f"{', '.join(items[:shown])} and {len(items) - shown} more"
