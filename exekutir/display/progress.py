"""What is under way at this moment: the context, its step, its task, and a line a unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exekutir.results.cleaning import one_line
from exekutir.results.conventions import BAD, NO_PEONS, task_name
from exekutir.results.wording import count, names

Event = dict[str, Any]
#: A peon in one of these states is no longer worked on.
ENDED = ("failed", "destroyed", "kept")


@dataclass(eq=False, repr=False)
class Unit:
    """A peon or a step on which something is being done."""

    kind: str
    name: str
    #: When it began, on the monotonic clock.
    since: float
    #: The last that was heard of it.
    last: str = ""


@dataclass(eq=False, repr=False)
class Progress:
    """Takes events; ``moment`` is the monotonic clock at which one came."""

    context: str = ""
    since: float = 0.0
    phase: str = ""
    waiting: str = ""
    #: How far a workspace has travelled, while it does.
    transfer: str = ""
    step_index: int = 0
    step_total: int = 0
    steps: dict[str, Unit] = field(default_factory=dict)
    peons: dict[str, Unit] = field(default_factory=dict)
    task: str = ""
    #: Peons that have no result yet of the task that runs, as far as is known.
    missing: dict[str, None] = field(default_factory=dict)
    #: All peons of this context, and those that failed.
    known: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    tasks: int = 0
    #: Peons and tasks of the steps that run: name of the step's key to (peons, tasks, failures).
    figures: dict[str, tuple[set[str], int, int]] = field(default_factory=dict)

    def take(self, event: Event, moment: float) -> None:
        """Note what ``event`` changes."""
        taker = _TAKERS.get(str(event.get("event")))
        if event.get("event") != "waiting":
            self.waiting = ""
        if event.get("event") != "transfer":
            self.transfer = ""
        if taker:
            taker(self, event, moment)

    @property
    def units(self) -> list[Unit]:
        """Steps first, then peons, in the order in which they began."""
        return [*self.steps.values(), *self.peons.values()]

    def counts(self) -> str:
        """The figures of this context in a few words."""
        told = [f"step {self.step_index} of {self.step_total}"] if self.step_total else []
        told += [count(len(self.known), "peon")] if self.known else []
        told += [count(self.tasks, "task")] if self.tasks else []
        told += [f"{count(len(self.failed), 'peon')} FAILED"] if self.failed else []
        return ", ".join(told)

    def awaited(self) -> str:
        """What it waits for, for a heartbeat."""
        if self.waiting:
            return f"waiting for {self.waiting}"
        if self.transfer:
            return self.transfer
        running = ", ".join(unit.name for unit in self.steps.values())
        if self.task:
            whom = f", not yet: {names(list(self.missing))}" if self.missing else ""
            return f'{running or self.phase}, task "{self.task}"{whom}'
        last = next((unit.last for unit in self.steps.values() if unit.last), "")
        creating = list(self.peons)
        whom = f", peons: {names(creating)}" if creating else ""
        return (running or self.phase or self.context) + (f": {last}" if last else "") + whom


def _context_started(progress: Progress, event: Event, moment: float) -> None:
    vars(progress).update(vars(Progress(context=one_line(event.get("context"), 60), since=moment)))


def _context_finished(progress: Progress, _event: Event, _moment: float) -> None:
    progress.steps, progress.peons, progress.missing = {}, {}, {}
    progress.task = progress.phase = ""


def _phase_started(progress: Progress, event: Event, _moment: float) -> None:
    progress.phase = one_line(event.get("phase"), 60)


def _step_started(progress: Progress, event: Event, moment: float) -> None:
    title = f"{one_line(event.get('kind'), 20)} {one_line(event.get('name'), 80)}".strip()
    key = str(event.get("step"))
    progress.steps[key] = Unit("step", title, moment)
    progress.figures[key] = (set(), 0, 0)
    index, total = event.get("index"), event.get("total")
    progress.step_index = index if isinstance(index, int) else 0
    progress.step_total = total if isinstance(total, int) else 0
    progress.task = ""


def _step_finished(progress: Progress, event: Event, _moment: float) -> None:
    progress.steps.pop(str(event.get("step")), None)
    progress.task = ""
    progress.missing = {}
    if not progress.steps:
        progress.peons = {}


def _task_started(progress: Progress, event: Event, _moment: float) -> None:
    role, task = one_line(event.get("role"), 80), task_name(one_line(event.get("task"), 120))
    progress.task = f"{role} : {task}" if role and task else task or role
    progress.missing = dict.fromkeys(progress.peons)
    step = progress.steps.get(str(event.get("step")))
    if step:
        step.last = progress.task
    for unit in progress.peons.values():
        unit.last = progress.task


def _task_result(progress: Progress, event: Event, moment: float) -> None:
    name = one_line(event.get("host"), 80)
    bad = event.get("outcome") in BAD
    progress.tasks += 1
    if name not in NO_PEONS:
        progress.known.add(name)
    progress.missing.pop(name, None)
    key = str(event.get("step"))
    peons, tasks, failures = progress.figures.get(key, (set(), 0, 0))
    if name not in NO_PEONS:
        peons.add(name)
    progress.figures[key] = (peons, tasks + 1, failures + bad)
    if bad:
        progress.failed.add(name)
        progress.peons.pop(name, None)
        return
    unit = progress.peons.setdefault(name, Unit("peon", name, moment))
    said = next((text for key in ("stderr", "stdout", "message") if (text := _last_line(event.get(key)))), "")
    unit.last = f"{one_line(event.get('outcome'), 20)}: {task_name(one_line(event.get('task'), 120))}" + (
        said and f": {said}"
    )


def _last_line(value: object) -> str:
    lines = value[-1000:].rstrip().splitlines() if isinstance(value, str) else []
    return one_line(lines[-1], 200) if lines else ""


def _output(progress: Progress, event: Event, _moment: float) -> None:
    step = progress.steps.get(str(event.get("step")))
    line = one_line(event.get("line"), 300)
    if step and line:
        step.last = line


def _peon(progress: Progress, event: Event, moment: float) -> None:
    name, state = one_line(event.get("peon"), 80), one_line(event.get("state"), 20)
    progress.known.add(name)
    if state == "failed":
        progress.failed.add(name)
    if state in ENDED:
        progress.peons.pop(name, None)
        progress.missing.pop(name, None)
    else:
        unit = progress.peons.setdefault(name, Unit("peon", name, moment))
        unit.last = f"{state}: {one_line(event.get('message'), 200)}".rstrip(": ")


def _waiting(progress: Progress, event: Event, _moment: float) -> None:
    held = one_line(event.get("holder"), 200)
    progress.waiting = one_line(event.get("for"), 100) + (f", held by {held}" if held else "")


def _transfer(progress: Progress, event: Event, _moment: float) -> None:
    size = event.get("bytes")
    told = f"{size / 1e6:.0f} MB" if isinstance(size, int | float) and 0 <= size < 1e18 else "?"
    doing, far, speed = (one_line(event.get(key), 100) for key in ("doing", "percent", "speed"))
    progress.transfer = f"{doing}: {far} %, {told}, {speed}"


_TAKERS: dict[str, Callable[[Progress, Event, float], None]] = {
    "context_started": _context_started,
    "context_finished": _context_finished,
    "phase_started": _phase_started,
    "step_started": _step_started,
    "step_finished": _step_finished,
    "task_started": _task_started,
    "task_result": _task_result,
    "output": _output,
    "peon": _peon,
    "transfer": _transfer,
    "waiting": _waiting,
}
