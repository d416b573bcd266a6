"""The part of the results page that tells one context: its phases, steps, warnings and what each peon did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exekutir.results.markup import h, link, outcome_badge, rows, scrolled
from exekutir.results.record import Context, Peon
from exekutir.results.wording import count, duration, meaning

#: Roles and plays of a peon that get a row each.
SHOWN_GROUPS = 100


def context_section(context: Context, results: Path) -> Iterator[str]:
    """Everything about ``context``, in pieces."""
    anchor = "".join(letter if letter.isalnum() else "-" for letter in context.name)
    yield f'<section aria-labelledby="context-{h(anchor)}">\n<h2 id="context-{h(anchor)}">{h(context.name)} '
    yield f"{outcome_badge(context.outcome)}</h2>\n"
    yield from _how_it_ended(context)
    yield from _warnings(context)
    proved = [phase.detail for phase in context.phases if phase.outcome == "ok" and phase.detail]
    yield from (f'<p class="message">{h(detail)}</p>\n' for detail in proved)
    yield from _phases(context)
    yield from _steps(context, results)
    for peon in context.peons.values():
        yield from _peon(peon)
    yield "</section>\n"


def _how_it_ended(context: Context) -> Iterator[str]:
    code = "" if context.exit_code is None else f" (exit code {context.exit_code})"
    reason = f" {context.reason}" if context.reason and context.exit_code else ""
    ended = f"{meaning(context.exit_code)}{code}".capitalize()
    yield f'<p class="note">{h(ended)} after {h(duration(context.seconds))}.</p>\n'
    if reason:
        yield f'<p class="message">{h(reason.strip())}</p>\n'


def _warnings(context: Context) -> Iterator[str]:
    if context.warnings:
        items = "".join(f"<li>{h(warning)}</li>" for warning in context.warnings)
        more = f"<li>and {context.more_warnings:,} more</li>" if context.more_warnings else ""
        yield f'<div class="warnings"><strong>Warnings</strong><ul>{items}{more}</ul></div>\n'


def _phases(context: Context) -> Iterator[str]:
    total = sum(phase.seconds for phase in context.phases)
    if not total:
        return
    long_ones = [phase for phase in context.phases if phase.seconds >= 0.05]
    told = ", ".join(f"{phase.name} {duration(phase.seconds)}" for phase in long_ones)
    bars = "".join(
        f'<i class="{"bad" if phase.outcome == "failed" else ""}" style="flex-grow:{phase.seconds / total:.4f}"'
        f' title="{h(phase.name)} {h(duration(phase.seconds))}"></i>'
        for phase in context.phases
    )
    yield f'<div class="phases" aria-hidden="true">{bars}</div>'
    yield f'<p class="note">Where the time went: {h(told)}</p>\n' if told else ""


def _steps(context: Context, results: Path) -> Iterator[str]:
    if not context.steps:
        return
    body = [
        [
            h(step.title),
            outcome_badge(step.outcome),
            "" if step.exit_code is None else h(step.exit_code),
            h(duration(step.seconds)),
            link(results, step.log) if step.log else "",
        ]
        for step in context.steps.values()
    ]
    head = ["Step", "Outcome", "Exit code", "Time", "Log"]
    yield scrolled(rows(head, body, caption="Steps of job.xn", figures={2, 3}, row_headers=True))


def _peon(peon: Peon) -> Iterator[str]:
    figures = ", ".join(f"{number:,} {outcome}" for outcome, number in peon.counts.items() if number)
    told = [count(peon.total, "task") + f" ({figures})" if figures else "", duration(peon.seconds) if figures else ""]
    told += [f"{peon.state} ({peon.provider})" if peon.provider and peon.state else peon.state]
    text = " · ".join(part for part in told if part)
    yield f"<details><summary><strong>{h(peon.name)}</strong> {outcome_badge(peon.outcome)} {h(text)}</summary>"
    yield '<div class="inside">\n'
    yield from _groups(peon)
    yield from _tasks(peon)
    if not peon.groups:
        yield '<p class="note">No task ran on it.</p>\n'
    yield "</div></details>\n"


def _groups(peon: Peon) -> Iterator[str]:
    groups = list(peon.groups.values())
    if len(groups) < 2 and peon.total <= len(peon.tasks):
        return
    body = [
        [
            h(group.role or group.play or "tasks"),
            h(group.play if group.role else ""),
            outcome_badge(group.outcome),
            h(", ".join(f"{number:,} {outcome}" for outcome, number in group.counts.items() if number)),
            h(duration(group.seconds)),
        ]
        for group in groups[:SHOWN_GROUPS]
    ]
    head = ["Role", "Play", "Outcome", "Tasks", "Time"]
    yield scrolled(rows(head, body, caption="By role", figures={4}, row_headers=True))
    if len(groups) > SHOWN_GROUPS:
        yield f'<p class="note">and {len(groups) - SHOWN_GROUPS:,} more.</p>\n'


def _tasks(peon: Peon) -> Iterator[str]:
    body = [
        [
            h(f"{task.role} : {task.name}" if task.role else task.name),
            outcome_badge(task.outcome),
            h(duration(task.seconds)),
            h(task.message),
        ]
        for task in peon.tasks
    ]
    if body:
        head = ["Task", "Outcome", "Time", "Message"]
        yield scrolled(rows(head, body, caption="Tasks, in their order", figures={2}, row_headers=True))
    if peon.total > len(peon.tasks):
        left = peon.total - len(peon.tasks)
        yield f'<p class="note">and {left:,} more tasks; events.jsonl has all of them.</p>\n'
