"""From the stream of events to what is known of a job; tolerant of whatever is missing, torn or of another type."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from exekutir.results.cleaning import clean, one_line, shortened, tail
from exekutir.results.conventions import BAD, CONSEQUENCE, task_name
from exekutir.results.record import (
    CONTEXTS,
    KEPT_FAILURES,
    KEPT_GROUPS,
    KEPT_TASKS,
    KEPT_WARNINGS,
    UNTESTED,
    Context,
    Failure,
    Group,
    Job,
    Kind,
    Peon,
    Phase,
    Step,
    Task,
)
from exekutir.results.wording import meaning
from kommandir.errors import ExitCode

Event = dict[str, Any]
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")


def collect(events: Iterable[Event], exit_code: int | None = None) -> Job:
    """What the events say of a job. Those of a repeated context replace the earlier ones of the same context.

    ``exit_code`` is that of the last context where its own end was not told yet.
    """
    collector = Collector()
    for event in events:
        collector.take(event)
    return collector.job(exit_code)


class Collector:
    """Takes one event after the other; ``job()`` is what they add up to."""

    def __init__(self) -> None:
        self._job = Job()
        self._contexts: dict[str, Context] = {}
        #: The call of a context before the last one: where it was killed, the last one may go on with it.
        self._former: dict[str, Context] = {}
        self._takers: dict[str, Callable[[Context, Event], None]] = {
            "context_finished": _context_finished,
            "phase_started": _phase_started,
            "phase_finished": _phase_finished,
            "step_started": _step_started,
            "step_finished": _step_finished,
            "task_result": _task_result,
            "output": _output,
            "peon": _peon,
            "warning": _warning,
        }

    def take(self, event: Event) -> None:
        """Add what one event says; kinds that are not known are passed over."""
        name = one_line(event.get("context"), 100)
        kind = event.get("event")
        if kind == "context_started":
            self._context_started(name, event)
        if not name:
            return
        context = self._contexts.setdefault(name, Context(name))
        moment = _moment(event)
        context.started = context.started or moment
        context.last = moment or context.last
        self._job.latest = name
        taker = self._takers.get(kind) if isinstance(kind, str) else None
        if taker:
            taker(context, event)
        elif kind == "resumed":
            _resumed(context, self._former.pop(name, Context(name)), event)

    def _context_started(self, name: str, event: Event) -> None:
        self._former[name] = self._contexts.pop(name, Context(name))
        job = self._job
        job.name = _text(event, "job_name") or job.name
        job.uuid = _text(event, "uuid") or job.uuid
        job.workspace = _text(event, "workspace") or job.workspace
        job.version = _text(event, "version") or job.version

    def job(self, exit_code: int | None) -> Job:
        """What all events add up to, contexts in their order."""
        last = self._contexts.get(self._job.latest)
        if last and last.exit_code is None:
            last.exit_code = exit_code
        for context in self._contexts.values():
            _complete(context)
        rank = {name: index for index, name in enumerate(CONTEXTS)}
        ordered = sorted(self._contexts.values(), key=lambda context: rank.get(context.name, len(rank)))
        self._job.contexts = {context.name: context for context in ordered}
        return self._job


def _resumed(context: Context, former: Context, event: Event) -> None:
    """What a killed call did belongs to the one that goes on with it, but for the steps that are run again."""
    for key in _names(event, "again"):
        former.steps.pop(key, None)
        for peon in former.peons.values():
            _forget(peon, key)
    for key in _names(event, "done"):
        former.steps.setdefault(key, Step(key, "", key, outcome="ok"))
    context.started = former.started or context.started
    context.steps = {**former.steps, **context.steps}
    context.peons = {**former.peons, **context.peons}
    context.warnings = [*former.warnings, *context.warnings][:KEPT_WARNINGS]


def _names(event: Event, key: str) -> list[str]:
    value = event.get(key)
    return [one_line(item) for item in value] if isinstance(value, list) else []


def _forget(peon: Peon, step: str) -> None:
    """What the tasks of a step did on a peon counts no more."""
    for key in [key for key in peon.groups if key[0] == step]:
        group = peon.groups.pop(key)
        peon.seconds -= group.seconds
        for outcome, number in group.counts.items():
            peon.counts[outcome] = peon.counts.get(outcome, 0) - number
    peon.failures = [failure for failure in peon.failures if failure.step != step]


def _text(event: Event, key: str, limit: int = 300) -> str:
    return one_line(event.get(key), limit)


def _moment(event: Event) -> str:
    """The event's time where it is one, else nothing."""
    moment = event.get("time")
    return moment if isinstance(moment, str) and _MOMENT.fullmatch(moment) else ""


def _number(value: Any) -> float:
    """A figure of an event, 0 where it is none, or one that can't be."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return 0.0
        return max(0.0, number) if math.isfinite(number) else 0.0
    return 0.0


def _code(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31 else None


def _context_finished(context: Context, event: Event) -> None:
    context.exit_code = _code(event.get("exit_code"))
    context.reason = shortened(event.get("reason"))
    context.seconds = _number(event.get("seconds"))
    context.finished = _moment(event)


def _phase_started(context: Context, event: Event) -> None:
    context.phases.append(Phase(_text(event, "phase")))


def _phase_finished(context: Context, event: Event) -> None:
    name = _text(event, "phase")
    phase = next((phase for phase in reversed(context.phases) if phase.name == name), None)
    if phase is None:
        phase = Phase(name)
        context.phases.append(phase)
    phase.outcome = _text(event, "outcome") or "ok"
    phase.seconds = _number(event.get("seconds"))
    phase.detail = shortened(event.get("detail"))


def _step(context: Context, event: Event) -> Step:
    key = _text(event, "step")
    step = context.steps.get(key)
    if step is None:
        step = context.steps[key] = Step(key, "", "")
    return step


def _step_started(context: Context, event: Event) -> None:
    context.steps.pop(_text(event, "step"), None)
    step = _step(context, event)
    step.kind, step.name = _text(event, "kind"), _text(event, "name")
    step.index, step.total = int(_number(event.get("index"))), int(_number(event.get("total")))


def _step_finished(context: Context, event: Event) -> None:
    step = _step(context, event)
    step.kind, step.name = _text(event, "kind") or step.kind, _text(event, "name") or step.name
    step.outcome = _text(event, "outcome") or "failed"
    step.exit_code = _code(event.get("exit_code"))
    step.seconds = _number(event.get("seconds"))
    step.log = _text(event, "log", 1000)


def _output(context: Context, event: Event) -> None:
    _step(context, event).lines.append(clean(event.get("line")).rstrip()[:2000])


def _warning(context: Context, event: Event) -> None:
    if len(context.warnings) < KEPT_WARNINGS:
        context.warnings.append(shortened(event.get("message"), 1000))
    else:
        context.more_warnings += 1


def _peon(context: Context, event: Event) -> None:
    name = _text(event, "peon")
    if not name:
        return
    peon = context.peons.setdefault(name, Peon(name))
    peon.state = _text(event, "state") or peon.state
    peon.provider = _text(event, "provider") or peon.provider
    peon.message = shortened(event.get("message")) or peon.message
    if peon.state in ("created", "up", "destroyed") and event.get("seconds") is not None:
        peon.created_seconds = _number(event.get("seconds"))


def _task_result(context: Context, event: Event) -> None:
    name = _text(event, "host")
    if not name:
        return
    peon = context.peons.setdefault(name, Peon(name))
    outcome = _text(event, "outcome") or "ok"
    play, role, seconds = _text(event, "play"), _text(event, "role"), _number(event.get("seconds"))
    peon.seconds += seconds
    peon.counts[outcome] = peon.counts.get(outcome, 0) + 1
    key = (_text(event, "step"), play, role)
    group = peon.groups.get(key)
    if group is None:
        group = Group(*key)
        if len(peon.groups) < KEPT_GROUPS:
            peon.groups[key] = group
    group.seconds += seconds
    group.counts[outcome] = group.counts.get(outcome, 0) + 1
    if outcome in BAD:
        _task_failed(context, peon, group, event, outcome)
    if len(peon.tasks) < KEPT_TASKS:
        message = one_line(event.get("message"))
        peon.tasks.append(Task(play, role, task_name(_text(event, "task")), outcome, seconds, message))


def _task_failed(context: Context, peon: Peon, group: Group, event: Event, outcome: str) -> None:
    if peon.failures and group.role == CONSEQUENCE:
        return
    if len(peon.failures) >= KEPT_FAILURES:
        peon.more_failures += 1
        return
    failure = Failure(
        context=context.name,
        peon=peon.name,
        step=group.step,
        play=group.play,
        role=group.role,
        task=_text(event, "task"),
        kind=_kind(context, infrastructure=event.get("infrastructure") is True or outcome == "unreachable"),
        outcome=outcome,
        message=shortened(event.get("message")),
        output=_both_streams(event),
        source=_text(event, "path", 1000),
    )
    peon.failures.append(failure)
    group.failures.append(failure)


def _both_streams(event: Event) -> str:
    streams = {name: tail(event.get(name), lines=60) for name in ("stdout", "stderr")}
    if not streams["stderr"]:
        return "\n".join(streams["stdout"])
    return "\n".join("\n".join([f"--- {name}", *lines]) for name, lines in streams.items() if lines)


def _kind(context: Context, *, infrastructure: bool) -> Kind:
    return "infrastructure" if infrastructure or context.name in UNTESTED else "test"


def _complete(context: Context) -> None:
    """Tell each failure once, at its innermost place, now that all events are known."""
    if not context.finished and not context.seconds:
        context.seconds = _seconds_between(context.started, context.last)
    for peon in context.peons.values():
        _forgive(context, peon)
        _complete_peon(context, peon)
    for step in context.steps.values():
        if step.outcome in ("failed", "interrupted") and not _has_failures(context, step.key):
            step.failure = _step_failure(context, step)
            context.failures.append(step.failure)
    if context.exit_code and (not context.all_failures or context.exit_code == ExitCode.LEFT_BEHIND):
        context.failures.append(_own_failure(context, context.exit_code))


def _own_failure(context: Context, exit_code: int) -> Failure:
    phase = next((phase for phase in context.phases if phase.outcome == "failed"), None)
    return Failure(
        context=context.name,
        step=f"phase {phase.name}" if phase else "",
        kind=_kind(context, infrastructure=exit_code != ExitCode.TESTS_FAILED),
        message=context.reason or (phase.detail if phase else "") or f"exit code {exit_code}",
    )


def _forgive(context: Context, peon: Peon) -> None:
    """What failed in a step whose failure the job swallows (``exitfile``) counts as ignored."""
    for group in peon.groups.values():
        step = context.steps.get(group.step)
        if step is not None and step.outcome == "swallowed":
            for outcome in BAD:
                bad = group.counts.pop(outcome, 0)
                group.counts["ignored"] = group.counts.get("ignored", 0) + bad
                peon.counts["ignored"] = peon.counts.get("ignored", 0) + bad
                peon.counts[outcome] = peon.counts.get(outcome, 0) - bad
            peon.failures = [failure for failure in peon.failures if failure.step != group.step]
            group.failures = []


def _complete_peon(context: Context, peon: Peon) -> None:
    if peon.state == "failed" and not peon.failures:
        message = peon.message or "it could not be created"
        log = f"results/{peon.name}/creation_result.yml"
        peon.failures.append(
            Failure(context=context.name, peon=peon.name, kind="infrastructure", message=message, log=log)
        )
    peon.failures = [_placed(context, failure) for failure in peon.failures]
    for group in peon.groups.values():
        group.failures = [_placed(context, failure) for failure in group.failures]


def _placed(context: Context, failure: Failure) -> Failure:
    """The failure with the name and log of its step, which are told at the step's end."""
    step = context.steps.get(failure.step)
    return failure._replace(step=step.title, log=failure.log or step.log) if step else failure


def _has_failures(context: Context, key: str) -> bool:
    groups = (group for peon in context.peons.values() for group in peon.groups.values() if group.step == key)
    return any(group.counts.get(outcome) for group in groups for outcome in BAD)


def _step_failure(context: Context, step: Step) -> Failure:
    ended = "it failed" if step.exit_code is None else f"exit code {step.exit_code}"
    if step.outcome == "interrupted" and step.exit_code == ExitCode.KOMMANDIR_FAILED:
        ended = "it was under way when exekutir was killed"
    elif step.outcome == "interrupted":
        ended = f"interrupted: {context.reason or meaning(context.exit_code)}"
    tested = step.kind == "command" and step.outcome == "failed"
    return Failure(
        context=context.name,
        step=step.title,
        kind=_kind(context, infrastructure=not tested),
        outcome=step.outcome,
        message=ended,
        output="\n".join(line for line in step.lines if line.strip()),
        log=step.log,
    )


def _seconds_between(started: str, ended: str) -> float:
    try:
        moments = [datetime.datetime.fromisoformat(moment) for moment in (started, ended)]
        return max(0.0, (moments[1] - moments[0]).total_seconds())
    except (ValueError, TypeError):
        return 0.0
