"""Events as sentences for people: what is said at which verbosity, on a board as in a log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from exekutir.display.progress import Progress
from exekutir.results.cleaning import clean, one_line, tail
from exekutir.results.conventions import BAD, CONSEQUENCE, task_name
from exekutir.results.wording import count, duration, meaning, names

Event = dict[str, Any]
Tone = Literal["plain", "good", "bad", "warn", "faint", "strong"]

#: Lines of output below a failure, and failures of a context that get them; the verdict at the end has more.
_TAIL = 6
_IN_FULL = 20


class Sentence(NamedTuple):
    """One thing to say: a line, and lines that belong below it."""

    text: str
    tone: Tone = "plain"
    detail: Sequence[str] = ()


@dataclass(eq=False, repr=False)
class Speaker:
    """Turns events into sentences. ``log`` also says what starts, which a board shows by itself."""

    progress: Progress
    verbosity: int
    log: bool
    _directory: str = ""
    _failures: int = 0
    #: Hosts of which a failure was told in this context.
    _failed: set[str] = field(default_factory=set)
    #: A step each: the last lines of its output.
    _lines: dict[str, deque[str]] = field(default_factory=dict)

    def say(self, event: Event) -> Iterator[Sentence]:
        """What to say of ``event``, which ``progress`` has taken already."""
        speak = _SPEECH.get(str(event.get("event")))
        if speak:
            yield from speak(self, event)

    def _context_started(self, event: Event) -> Iterator[Sentence]:
        self._failures = 0
        self._failed = set()
        self._lines = {}
        workspace = one_line(event.get("workspace"), 4096)
        if workspace and workspace != self._directory:
            self._directory = workspace
            yield Sentence(f"results: {workspace}/results")
        told = [f"job {_word(event, 'job_name')}", f"uuid {_word(event, 'uuid')}"]
        told += [f"exekutir {_word(event, 'version')}"] if event.get("version") else []
        yield Sentence(f"{self._named(event)}started: {', '.join(told)}", "strong")

    def _context_finished(self, event: Event) -> Iterator[Sentence]:
        name, after, code = self._named(event), _seconds(event), event.get("exit_code")
        if code == 0:
            figures = self.progress.counts().partition(", ")[2] if self.progress.step_total else self.progress.counts()
            yield Sentence(f"{name}good after {after}" + (f": {figures}" if figures else ""), "good")
        else:
            known = code if isinstance(code, int) else None
            yield Sentence(
                f"{name}FAILED after {after}: {meaning(known)} (exit code {_word(event, 'exit_code')})", "bad"
            )

    def _named(self, event: Event) -> str:
        """The context's name, which lines of a log have at their start anyway."""
        return "" if self.log else f"{_word(event, 'context')} "

    def _phase_started(self, event: Event) -> Iterator[Sentence]:
        if self.verbosity >= 2:
            yield Sentence(f"{_word(event, 'phase')} ...", "faint")

    def _phase_finished(self, event: Event) -> Iterator[Sentence]:
        detail = one_line(event.get("detail"))
        if event.get("outcome") == "failed":
            if self.verbosity >= 1:
                after = _seconds(event)
                yield Sentence(f"{_word(event, 'phase')} FAILED after {after}{detail and f': {detail}'}", "bad")
        elif detail:
            yield Sentence(detail, "good")
        elif self.verbosity >= 2:
            yield Sentence(f"{_word(event, 'phase')} good after {_seconds(event)}", "faint")

    def _resumed(self, event: Event) -> Iterator[Sentence]:
        done, again, interrupted = (_listed(event, key) for key in ("done", "again", "interrupted"))
        told = f"it was killed before and goes on: {count(len(done), 'step')} done"
        told += f"; begun again: {names(again)}" if again else ""
        told += f"; cut off: {names(interrupted)}" if interrupted else ""
        yield Sentence(told, "warn", done if self.verbosity >= 1 else ())

    def _step_started(self, event: Event) -> Iterator[Sentence]:
        if (self.log and event.get("kind") != "variable") or self.verbosity >= 1:
            place = f"step {event.get('index')} of {event.get('total')}: " if event.get("total") else ""
            yield Sentence(f"{one_line(place, 60)} {_title(event)} started".strip())

    def _step_finished(self, event: Event) -> Iterator[Sentence]:
        outcome, after = event.get("outcome"), _seconds(event)
        peons, tasks, failures = self.progress.figures.pop(str(event.get("step")), (set(), 0, 0))
        lines = self._lines.pop(str(event.get("step")), ())
        told = [count(len(peons), "peon")] if peons else []
        figures = f" ({', '.join([*told, count(tasks, 'task')])})" if tasks else ""
        if outcome == "ok":
            if event.get("kind") != "variable" or self.verbosity >= 1:
                yield Sentence(f"{_title(event)} good after {after}{figures}", "good")
        elif outcome == "swallowed":
            text = f"{_title(event)} ended with exit code {_word(event, 'exit_code')} after {after}; the job goes on"
            yield Sentence(text, "warn")
        elif outcome == "interrupted":
            yield Sentence(f"{_title(event)} INTERRUPTED after {after}", "bad")
        else:
            code = "" if event.get("exit_code") is None or failures else f": exit code {_word(event, 'exit_code')}"
            detail = () if failures else [f"| {line}" for line in list(lines)[-_TAIL:]]
            yield Sentence(f"{_title(event)} FAILED after {after}{figures}{code}", "bad", detail)

    def _output(self, event: Event) -> Iterator[Sentence]:
        line = clean(event.get("line")).rstrip().expandtabs(4)
        self._lines.setdefault(str(event.get("step")), deque(maxlen=_TAIL)).append(line)
        if self.verbosity >= 1:
            yield Sentence(f"| {line}", "plain")

    def _task_started(self, event: Event) -> Iterator[Sentence]:
        if self.verbosity >= 2:
            place = f" ({_word(event, 'path')})" if event.get("path") else ""
            yield Sentence(f"task {_task(event)}{place}", "faint")

    def _task_result(self, event: Event) -> Iterator[Sentence]:
        outcome, host = _word(event, "outcome"), _word(event, "host")
        if outcome in BAD:
            yield from self._failure(event, host, outcome)
        elif self.verbosity >= (2 if outcome == "skipped" else 1):
            tone: Tone = "warn" if outcome in ("ignored", "rescued") else "faint" if outcome == "skipped" else "plain"
            message = one_line(event.get("message"))
            yield Sentence(f"{host} {outcome}: {_task(event)}{message and f': {message}'}", tone, _output_lines(event))

    def _failure(self, event: Event, host: str, outcome: str) -> Iterator[Sentence]:
        if event.get("role") == CONSEQUENCE and host in self._failed and not self.verbosity:
            return
        self._failed.add(host)
        self._failures += 1
        word = "FAILED" if outcome == "failed" else outcome.upper()
        first, *others = [line.strip() for line in clean(event.get("message")).splitlines() if line.strip()] or [""]
        detail = [*others, *_output_lines(event)][-_TAIL:] if self._failures <= _IN_FULL or self.verbosity else ()
        first = one_line(first)
        yield Sentence(f"{host} {word}: {_task(event)}{first and f': {first}'}", "bad", detail)

    def _peon(self, event: Event) -> Iterator[Sentence]:
        name, state = _word(event, "peon"), _word(event, "state")
        message, provider = one_line(event.get("message"), 600), _word(event, "provider")
        after = f" after {_seconds(event)}" if event.get("seconds") else ""
        if state == "failed":
            yield Sentence(f"{name} FAILED to come up{after}{message and f': {message}'}", "bad")
        elif state in ("up", "destroyed"):
            yield Sentence(f"{name} {state}{after}{provider and f' ({provider})'}", "good")
        elif state == "kept":
            yield Sentence(f"{name} kept{message and f': {message}'}", "warn")
        elif self.verbosity >= 1 and state:
            yield Sentence(f"{name} {state}{after}{message and f': {message}'}", "faint")

    def _kommandir(self, event: Event) -> Iterator[Sentence]:
        name, state = _word(event, "kommandir"), _word(event, "state")
        message = one_line(event.get("message"), 600)
        after = f" after {_seconds(event)}" if event.get("seconds") else ""
        if state in ("created", "destroyed", "retired", "set up") or self.verbosity >= 1:
            tone: Tone = "warn" if state == "retired" else "good"
            yield Sentence(f"kommandir {name} {state}{after}{message and f': {message}'}", tone)

    def _waiting(self, event: Event) -> Iterator[Sentence]:
        since = f", since {_word(event, 'since')}" if event.get("since") else ""
        yield Sentence(f"waiting for {self.progress.waiting}{since}", "warn")

    def _transfer(self, _event: Event) -> Iterator[Sentence]:
        if self.log:
            yield Sentence(self.progress.transfer, "faint")

    def _warning(self, event: Event) -> Iterator[Sentence]:
        first, *others = [line for line in clean(event.get("message")).splitlines() if line.strip()] or [""]
        yield Sentence(f"warning: {first.strip()}", "warn", others[:20])


def _word(event: Event, key: str) -> str:
    return one_line(event.get(key), 200)


def _listed(event: Event, key: str) -> list[str]:
    value = event.get(key)
    return [one_line(item, 200) for item in value] if isinstance(value, list) else []


def _seconds(event: Event) -> str:
    value = event.get("seconds")
    return duration(float(value)) if isinstance(value, int | float) and 0 <= value < 1e12 else "?"


def _title(event: Event) -> str:
    return f"{_word(event, 'kind')} {_word(event, 'name')}".strip()


def _task(event: Event) -> str:
    return " : ".join(part for part in (_word(event, "role"), task_name(_word(event, "task"))) if part)


def _output_lines(event: Event) -> list[str]:
    return [f"| {line}" for key in ("stdout", "stderr") for line in tail(event.get(key), lines=40)]


_SPEECH: dict[str, Callable[[Speaker, Event], Iterator[Sentence]]] = {
    "context_started": Speaker._context_started,
    "context_finished": Speaker._context_finished,
    "phase_started": Speaker._phase_started,
    "phase_finished": Speaker._phase_finished,
    "resumed": Speaker._resumed,
    "step_started": Speaker._step_started,
    "step_finished": Speaker._step_finished,
    "output": Speaker._output,
    "task_started": Speaker._task_started,
    "task_result": Speaker._task_result,
    "peon": Speaker._peon,
    "kommandir": Speaker._kommandir,
    "transfer": Speaker._transfer,
    "waiting": Speaker._waiting,
    "warning": Speaker._warning,
}
