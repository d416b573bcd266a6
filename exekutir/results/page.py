"""``index.html``: a page that a browser opens from disk, without a server, a network or scripts.

It shows which peon, which context, which task, how long, what failed and why. Every value is escaped, and a policy in
the page forbids scripts and anything loaded from elsewhere besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exekutir.results.conventions import NO_PEONS
from exekutir.results.markup import badge, facts, h, link, outcome_badge, rows, scrolled
from exekutir.results.page_context import context_section
from exekutir.results.record import STOPPED, Context, Failure, Job, JUnitFile
from exekutir.results.verdict import alike, place
from exekutir.results.wording import count, duration, meaning, names

#: Failures that are told in full; failed test cases of a file that are named.
SHOWN_FAILURES = 100
SHOWN_TESTS = 200

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
#: A dot in the colour of the verdict, for the browser's tab.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E"
    "%3Ccircle cx='4' cy='4' r='4' fill='%23{colour}'/%3E%3C/svg%3E"
)
_COLOURS = {"Good": "19703a", "Failed": "b42318"}
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="{icon}">
<style>{css}</style>
</head>
<body>
<a class="skip" href="#results">Skip to the results</a>
"""


def document(job: Job, *, results: Path, written: str) -> Iterator[str]:
    """The page, in pieces; links lead to files below ``results`` that exist."""
    title = f"{_word(job)}: {job.name or 'job'}"
    icon = _ICON.format(colour=_COLOURS.get(_word(job), "8a5300"))
    yield _HEAD.format(policy=_POLICY, title=h(title), icon=icon, css=_STYLE.read_text(encoding="utf-8"))
    yield from _verdict(job)
    yield '<main id="results">\n'
    yield from _failures(job, results)
    yield from _peons(job, results)
    yield from _tests(job, results)
    for context in job.contexts.values():
        yield from context_section(context, results)
    yield from _files(job, results)
    yield "</main>\n"
    yield from _footer(job, results, written)
    yield "</body>\n</html>\n"


def _word(job: Job) -> str:
    if job.exit_code is None:
        return "Unfinished"
    if job.exit_code in STOPPED:
        return "Interrupted"
    return "Failed" if job.exit_code else "Good"


def _verdict(job: Job) -> Iterator[str]:
    tone = {"Good": "good", "Failed": "bad"}.get(_word(job), "warn")
    yield f'<header class="verdict {tone}"><div>\n<h1>{badge(_word(job), tone)} {h(job.name or "job")}</h1>\n'
    yield f'<p class="lead">{h(_sentence(job))}</p>\n'
    started = next((context.started for context in job.contexts.values() if context.started), "")
    seconds = sum(context.seconds for context in job.contexts.values())
    told = {
        "started": started[:19].replace("T", " ") + (" UTC" if started else ""),
        "took": duration(seconds) if job.contexts else "",
        "uuid": job.uuid,
        "workspace": job.workspace,
        "exekutir": job.version,
    }
    yield facts({key: value for key, value in told.items() if value})
    if job.contexts:
        yield '<ol class="contexts" aria-label="Contexts">\n'
        yield from (_context_card(context) for context in job.contexts.values())
        yield "</ol>\n"
    yield "</div></header>\n"


def _sentence(job: Job) -> str:
    if not job.contexts:
        return "No events were recorded."
    code = job.exit_code
    if code:
        first = next(context.name for context in job.contexts.values() if context.exit_code)
        return f"{first} ended with exit code {code}: {meaning(code)}."
    if code is None:
        open_ones = [context.name for context in job.contexts.values() if context.exit_code is None]
        return f"{names(open_ones)} did not come to an end."
    return "Everything went well."


def _context_card(context: Context) -> str:
    figures = [duration(context.seconds)]
    figures += [count(len(context.peon_names), "peon")] if context.peon_names else []
    failures = len(context.all_failures)
    figures += [count(failures, "failure")] if failures else []
    code = f" · exit code {context.exit_code}" if context.exit_code else ""
    return (
        f'<li class="card"><div class="head"><a href="#context-{h(_anchor(context.name))}">{h(context.name)}</a>'
        f"{outcome_badge(context.outcome)}</div><p>{h(' · '.join(figures))}{h(code)}</p></li>\n"
    )


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _failures(job: Job, results: Path) -> Iterator[str]:
    failures = [failure for context in job.contexts.values() for failure in context.all_failures]
    if not failures:
        return
    groups = list(alike(failures).values())
    yield '<section aria-labelledby="failures">\n<h2 id="failures">What failed</h2>\n'
    for group in groups[:SHOWN_FAILURES]:
        yield _failure(group, results)
    if len(groups) > SHOWN_FAILURES:
        left = count(len(groups) - SHOWN_FAILURES, "more failure")
        yield f'<p class="note">{left}: see {link(results, "results/summary.json", "summary.json")}.</p>\n'
    yield "</section>\n"


def _failure(group: list[Failure], results: Path) -> str:
    failure = group[0]
    kind = badge("test", "bad") if failure.kind == "test" else badge("infrastructure", "warn")
    where = [f"step {failure.step}" if failure.step else "", f"play {failure.play}" if failure.play else ""]
    where += [f"written at {failure.source}" if failure.source else ""]
    parts = [
        f'<article class="card failure"><div class="head"><h3>{h(place(group))}</h3>{kind}</div>',
        f'<p class="where">{h(" · ".join(part for part in where if part))}</p>',
        f'<p class="message">{h(failure.message)}</p>' if failure.message else "",
        f'<pre tabindex="0" aria-label="Tail of the output">{h(failure.output)}</pre>' if failure.output else "",
    ]
    logs = dict.fromkeys(item.log for item in group if item.log)
    links = [link(results, log) for log in list(logs)[:5]]
    links += [
        f'<a href="#files-{h(_anchor(item.peon))}">files of {h(item.peon)}</a>' for item in group[:5] if item.peon
    ]
    parts.append(f'<p class="links">{" · ".join(links)}</p>' if links else "")
    return "".join(part for part in parts if part) + "</article>\n"


def _peons(job: Job, results: Path) -> Iterator[str]:
    hosts = job.hosts
    if not hosts:
        return
    tests: dict[str, list[JUnitFile]] = {}
    for file in job.tests:
        tests.setdefault(file.peon, []).append(file)
    heading = "Peons" if NO_PEONS.isdisjoint(hosts) else "Hosts"
    yield f'<section aria-labelledby="peons">\n<h2 id="peons">{heading}</h2>\n'
    head = [heading[:-1], *(context.name for context in job.contexts.values()), *(["Tests"] if tests else [])]
    body = []
    for name in hosts:
        cells = [_peon_cell(context, name) for context in job.contexts.values()]
        cells += [_test_cell(tests.get(name, []))] if tests else []
        body.append([link(results, f"results/{name}", name), *cells])
    yield scrolled(rows(head, body, caption=f"Each {heading[:-1].lower()} in each context", row_headers=True))
    yield "</section>\n"


def _peon_cell(context: Context, name: str) -> str:
    peon = context.peons.get(name)
    if peon is None:
        return "<small>not in it</small>"
    bad = peon.outcome != "good"
    figures = [f"{peon.total:,} tasks, {duration(peon.seconds)}"] if peon.total else []
    figures += [peon.state] if peon.state and not bad else []
    figures += [names(list(dict.fromkeys(failure.what for failure in peon.failures)), 2)] if bad else []
    return f"{outcome_badge(peon.outcome)}<small>{h(' · '.join(figures))}</small>"


def _test_cell(files: list[JUnitFile]) -> str:
    total = sum(len(file.cases) for file in files)
    if not total:
        return "<small>none</small>"
    bad = sum(file.number("failed", "error") for file in files)
    return outcome_badge("failed" if bad else "good") + f"<small>{total - bad:,} of {total:,} good</small>"


def _tests(job: Job, results: Path) -> Iterator[str]:
    if not job.tests:
        return
    yield '<section aria-labelledby="tests">\n<h2 id="tests">Tests that ran on the peons</h2>\n'
    for file in job.tests:
        yield from _test_file(file, results)
    yield "</section>\n"


def _test_file(file: JUnitFile, results: Path) -> Iterator[str]:
    bad = file.number("failed", "error")
    skipped = file.number("skipped")
    told = f"{count(len(file.cases), 'test')}" + (f", {bad} failed" if bad else "")
    told += f", {skipped} skipped" if skipped else ""
    opened = " open" if bad or file.broken else ""
    mark = outcome_badge("failed" if bad or file.broken else "good")
    yield f"<details{opened}><summary>{h(file.peon)}: {told} {mark}</summary>"
    yield f'<div class="inside"><p class="links">{link(results, file.path)}</p>\n'
    if file.broken:
        yield f'<p class="note">It could not be read to its end: {h(file.broken)}</p>\n'
    order = sorted(file.cases, key=lambda case: case.outcome not in ("failed", "error"))
    body = [
        [
            h(f"{case.classname}.{case.name}" if case.classname else case.name),
            outcome_badge(case.outcome),
            h(duration(case.seconds)),
            f'<div class="message">{h(case.message)}</div>' if case.message else "",
        ]
        for case in order[:SHOWN_TESTS]
    ]
    if body:
        yield scrolled(rows(["Test", "Outcome", "Time", "Why"], body, figures={2}, row_headers=True))
    if len(order) > SHOWN_TESTS:
        yield f'<p class="note">and {len(order) - SHOWN_TESTS:,} more in the file.</p>\n'
    yield "</div></details>\n"


def _files(job: Job, results: Path) -> Iterator[str]:
    if not any(job.files.values()):
        return
    yield '<section aria-labelledby="files">\n<h2 id="files">Files</h2>\n'
    for name, paths in job.files.items():
        if paths:
            yield f'<details id="files-{h(_anchor(name))}"><summary>{h(name)}: {count(len(paths), "file")}</summary>'
            yield '<div class="inside"><ul class="files">\n'
            yield from (f"<li>{link(results, f'results/{path}', path.partition('/')[2])}</li>\n" for path in paths)
            yield "</ul></div></details>\n"
    yield "</section>\n"


def _footer(job: Job, results: Path, written: str) -> Iterator[str]:
    others = [link(results, f"results/{name}", name) for name in ("junit.xml", "summary.json", "events.jsonl")]
    yield f"<footer>Written {h(written[:19].replace('T', ' '))} UTC by exekutir {h(job.version)}. "
    yield f"The same for programs: {', '.join(others)}.</footer>\n"
