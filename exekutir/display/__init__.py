"""What people see while a job runs: a board on a terminal, plain lines in a log, JSON lines for programs.

The display only listens to the events of the job, and nothing that happens to it ever happens to the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from exekutir.display.looks import chosen
from exekutir.display.output import Output
from exekutir.display.screen import Painter, Screen

if TYPE_CHECKING:
    from exekutir.results.verdict import Verdict

__all__ = ["Output", "concluded", "opened"]


@contextmanager
def opened(
    form: str, *, verbosity: int, stdout: TextIO | None, stderr: TextIO | None, environ: Mapping[str, str]
) -> Iterator[Screen]:
    """A subscriber for the event stream that shows a job on ``stdout`` as long as it is open.

    ``form`` is auto, plain or json; ``environ`` is asked for NO_COLOR, FORCE_COLOR, TERM, CI and the locale.
    Faults of the display itself are told on ``stderr``, once; none is raised.
    """
    screen = Screen(_painter(form, verbosity, stdout, environ), Output(stderr))
    try:
        yield screen
    finally:
        screen.close()


def _painter(form: str, verbosity: int, stdout: TextIO | None, environ: Mapping[str, str]) -> Painter:
    looks = chosen(form, stdout, environ)
    output = Output(stdout)
    if looks.form == "board":
        from exekutir.display.board import Board

        return Board(output, looks, verbosity=verbosity, environ=environ)
    from exekutir.display.lines import JsonLines, Lines

    if looks.form == "json":
        return JsonLines(output)
    return Lines(output, verbosity=verbosity, colour=looks.colour)


def concluded(verdict: Verdict, form: str, *, stdout: TextIO | None, environ: Mapping[str, str]) -> None:
    """Print the verdict, its failures and the path, after the display was closed; nothing as JSON. Never raises."""
    from exekutir.display.lines import coloured

    looks = chosen(form, stdout, environ)
    output = Output(stdout)
    if looks.form == "json":
        return
    for line in verdict.lines():
        tone = ("good" if verdict.good else "bad") if line == verdict.headline else "plain"
        output.write(coloured(line, tone, looks.colour) + "\n")
    output.flush()
