"""``job.xn``: the items of a job, checked whole, then run one after the other for a context.

The face: ``check(file, text, context=...)`` names every mistake; ``run(XnRequest(...))`` runs the items of one context
and returns an ``XnResult``. What is heavy is imported when it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kommandir.mistakes import Mistake
    from kommandir.xn.request import Failure, XnRequest, XnResult

__all__ = ["Failure", "XnRequest", "XnResult", "check", "closed", "run"]


def check(file: Path | None, text: str | None, *, context: str | None = None) -> list[Mistake]:
    """Every mistake in a file (or in ``text`` where there is no file), in the order of its lines."""
    from kommandir.xn.reading import read

    return list(read(file, text, context=context).mistakes)


def run(request: XnRequest) -> XnResult:
    """Run the items that take part in the request's context, in their order, until one fails.

    A durable run goes on where an earlier one of the same context was killed.

    Raises MistakesError, before anything is run, when anything is wrong anywhere in the file; LockError or
    KommandirError where the journal of a durable one can't be had. Whatever goes wrong in a step is in the result.
    """
    from kommandir.xn.running import run as run_items

    return run_items(request)


def closed(workspace: Path, *, begins: str | None = None) -> None:
    """A durable run that this process has made in ``workspace`` has ended, and who has to know that was told.

    Until then the next call of the same context goes on with it. ``begins`` is the name of a context that begins: the
    run of any other one that was killed is given up.
    """
    from kommandir.xn import run_journal

    run_journal.closed(workspace, begins=begins)


def __getattr__(name: str) -> object:
    if name in ("Failure", "XnRequest", "XnResult"):
        from kommandir.xn import request

        return getattr(request, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
