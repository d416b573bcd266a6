"""Pieces of HTML: everything that goes into a page is cleaned and escaped here."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from exekutir.results.cleaning import clean
from exekutir.results.paths import inside

_TONES = {
    "good": "good",
    "ok": "good",
    "passed": "good",
    "changed": "good",
    "failed": "bad",
    "error": "bad",
    "unreachable": "bad",
    "interrupted": "warn",
    "unfinished": "warn",
    "running": "warn",
    "ignored": "warn",
    "swallowed": "warn",
    "rescued": "warn",
}
_SIGNS = {"good": "✓", "bad": "✗", "warn": "!"}


def h(value: object) -> str:
    """A value as text of a page or of a quoted attribute."""
    return escape(clean(value))


def badge(text: str, tone: str) -> str:
    """A coloured word; its sign says the same to whoever sees no colours."""
    sign = f'<span aria-hidden="true">{_SIGNS[tone]}</span> ' if tone in _SIGNS else ""
    return f'<span class="badge {tone}">{sign}{h(text)}</span>'


def outcome_badge(outcome: str) -> str:
    """An outcome as a badge."""
    return badge(outcome or "unknown", _TONES.get(outcome, "plain"))


def link(results: Path, path: str, text: str | None = None) -> str:
    """A link to a file or folder ``path`` (``results/...``), where it exists; else only its name."""
    shown = h(text if text is not None else path)
    inner = path.removeprefix("results/")
    if inner not in _OURS and inside(results, path) is None:
        return shown
    return f'<a href="./{escape(quote(os.fsencode(inner)))}">{shown}</a>'


#: They come with the page, but maybe after it.
_OURS = frozenset({"junit.xml", "summary.json"})


def facts(values: Mapping[str, str]) -> str:
    """A list of names and values."""
    items = "".join(f"<div><dt>{h(name)}</dt><dd>{h(value)}</dd></div>" for name, value in values.items())
    return f'<dl class="facts">{items}</dl>\n'


def rows(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    caption: str = "",
    figures: Collection[int] = (),
    row_headers: bool = False,
) -> str:
    """A table; cells of ``body`` are markup, ``figures`` the columns of numbers."""
    last = len(head) - 1
    kinds = [
        ' class="figure"' if column in figures else ' class="wide"' if column in (0, last) else ""
        for column in range(len(head))
    ]
    titles = "".join(f'<th scope="col"{kind}>{h(title)}</th>' for kind, title in zip(kinds, head, strict=True))
    lines = []
    for row in body:
        cells = [f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)]
        if row_headers:
            cells[0] = f'<th scope="row" class="wide">{row[0]}</th>'
        lines.append(f"<tr>{''.join(cells)}</tr>\n")
    told = f"<caption>{h(caption)}</caption>" if caption else ""
    return f"<table>{told}<thead><tr>{titles}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table>"


def scrolled(table: str) -> str:
    """A table that a narrow screen can scroll, by keyboard too."""
    return f'<div class="scroll" tabindex="0" role="group">{table}</div>\n'
