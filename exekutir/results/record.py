"""What is known of a job: contexts, and in each its phases, steps and peons with their tasks; filled by ``history``.

Everything here is bounded, however many tasks a job has: groups (a play or role on a peon) are counted in full, single
tasks are kept up to a number. Values are named tuples and records are never compared: making such classes is most of
what it costs to load this module, and each command does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from exekutir.results.conventions import NO_PEONS
from kommandir.errors import ExitCode

#: ``test``: the tests said no. ``infrastructure``: everything else.
Kind = Literal["test", "infrastructure"]

#: Tasks of a peon, failures of a peon, warnings of a context that are kept one by one; the others are counted.
KEPT_TASKS = 100
KEPT_FAILURES = 50
KEPT_WARNINGS = 50
#: Plays and roles of a peon that are counted one by one.
KEPT_GROUPS = 2000
#: Lines of output of a step that are kept for the case that it fails.
KEPT_LINES = 30

#: In the order in which a job goes through them.
CONTEXTS = ("setup", "run", "cleanup")
#: Exit codes of what a signal stopped.
STOPPED = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
#: In these nothing is tested: whatever fails there is no verdict of a test.
UNTESTED = frozenset({"setup", "cleanup"})


class Failure(NamedTuple):
    """One thing that went wrong, at the innermost place that is known of it."""

    context: str
    kind: Kind
    #: The peon's name in the inventory, "" where it happened on no peon.
    peon: str = ""
    #: The step's name and kind, "" outside of steps.
    step: str = ""
    play: str = ""
    role: str = ""
    #: The task, or the test of a peon's own file.
    task: str = ""
    #: failed, unreachable, interrupted.
    outcome: str = "failed"
    message: str = ""
    #: The tails of standard output and error, cleaned.
    output: str = ""
    #: The file that has it all, relative to the kommandir's workspace, "" where there is none.
    log: str = ""
    #: Where the task is written, ``file:line``.
    source: str = ""

    @property
    def what(self) -> str:
        """The role and task, or the step, in one line."""
        task = f"{self.role} : {self.task}" if self.role and self.task else self.task or self.role
        return task or self.step or self.context


class Task(NamedTuple):
    """The result of one task on one peon."""

    play: str
    role: str
    name: str
    outcome: str
    seconds: float
    message: str


@dataclass(eq=False, repr=False)
class Group:
    """All tasks of one role, or of a play outside of roles, on one peon."""

    step: str
    play: str
    role: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """failed, unreachable, skipped (all of it), changed or ok."""
        for outcome in ("unreachable", "failed", "changed", "ok", "ignored", "rescued"):
            if self.counts.get(outcome):
                return "ok" if outcome in ("ignored", "rescued") else outcome
        return "skipped"


@dataclass(eq=False, repr=False)
class Peon:
    """A peon in one context."""

    name: str
    provider: str = ""
    #: intent, creating, created, up, failed, kept, rebooted, destroyed; "" where nothing was told.
    state: str = ""
    message: str = ""
    #: Seconds until it was up, or until it was gone.
    created_seconds: float | None = None
    #: Sum of the tasks' seconds.
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    groups: dict[tuple[str, str, str], Group] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    #: Failures beyond KEPT_FAILURES.
    more_failures: int = 0

    @property
    def outcome(self) -> str:
        """unreachable, failed or good."""
        if self.counts.get("unreachable"):
            return "unreachable"
        return "failed" if self.failures or self.state == "failed" else "good"

    @property
    def total(self) -> int:
        """How many task results there were."""
        return sum(self.counts.values())


@dataclass(eq=False, repr=False)
class Step:
    """An item of ``job.xn`` in one context."""

    key: str
    kind: str
    name: str
    index: int = 0
    total: int = 0
    #: running, ok, failed, interrupted, swallowed.
    outcome: str = "running"
    exit_code: int | None = None
    seconds: float = 0.0
    log: str = ""
    #: Why it failed, where that was no peon's task.
    failure: Failure | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    @property
    def title(self) -> str:
        """Kind and name, as people say it."""
        return f"{self.kind} {self.name}".strip() or self.key or "step"


@dataclass(eq=False, repr=False)
class Phase:
    """A part of a transition: locks, variables, discovery, ..."""

    name: str
    #: running, ok, failed.
    outcome: str = "running"
    seconds: float = 0.0
    detail: str = ""


@dataclass(eq=False, repr=False)
class Context:
    """The last transition to a context."""

    name: str
    #: UTC, ISO 8601; "" where it isn't known.
    started: str = ""
    finished: str = ""
    #: Time of its last event.
    last: str = ""
    exit_code: int | None = None
    reason: str = ""
    seconds: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    peons: dict[str, Peon] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    more_warnings: int = 0
    #: What went wrong on no peon.
    failures: list[Failure] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """good, failed, interrupted (by a signal), or unfinished where its end was never told."""
        if self.exit_code is None:
            return "unfinished"
        if self.exit_code in STOPPED:
            return "interrupted"
        return "failed" if self.exit_code else "good"

    @property
    def all_failures(self) -> list[Failure]:
        """What went wrong, on peons and elsewhere."""
        return [failure for peon in self.peons.values() for failure in peon.failures] + self.failures

    @property
    def failed_peons(self) -> list[str]:
        """Names of the peons on which something failed."""
        return [peon.name for peon in self.peons.values() if peon.outcome != "good"]

    @property
    def peon_names(self) -> list[str]:
        """Names of the hosts that are peons, not the kommandir itself."""
        return [name for name in self.peons if name not in NO_PEONS]


class PeonTest(NamedTuple):
    """One test case of a peon's own JUnit file."""

    suite: str
    classname: str
    name: str
    seconds: float
    #: passed, failed, error, skipped.
    outcome: str
    message: str = ""
    output: str = ""


@dataclass(eq=False, repr=False)
class JUnitFile:
    """A JUnit file that a peon left in its results."""

    peon: str
    #: Relative to the kommandir's workspace.
    path: str
    cases: list[PeonTest] = field(default_factory=list)
    #: Why it could not be read to its end; "" where it could.
    broken: str = ""

    def number(self, *outcomes: str) -> int:
        """How many cases ended in one of ``outcomes``."""
        return sum(case.outcome in outcomes for case in self.cases)


@dataclass(eq=False, repr=False)
class Job:
    """One job: what all its contexts left behind."""

    name: str = ""
    uuid: str = ""
    workspace: str = ""
    version: str = ""
    contexts: dict[str, Context] = field(default_factory=dict)
    #: The context of the last event.
    latest: str = ""
    tests: list[JUnitFile] = field(default_factory=list)
    #: A peon each: its files below ``results/``, relative to the kommandir's workspace.
    files: dict[str, list[str]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int | None:
        """That of the first context that went wrong; None where one has not come to its end, 0 where all is good."""
        codes = [context.exit_code for context in self.contexts.values()]
        wrong = [code for code in codes if code]
        return wrong[0] if wrong else None if None in codes or not codes else 0

    @property
    def hosts(self) -> list[str]:
        """All hosts that any context knows, in order of their first mention."""
        return list(dict.fromkeys(name for context in self.contexts.values() for name in context.peons))
