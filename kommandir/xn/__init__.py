"""``job.xn``: the items of a job, checked whole, then run one after the other for a context.

The face: ``check(file, text, context=...)`` names every mistake, ``run(request)`` runs the items of one context.
"""

from __future__ import annotations

from pathlib import Path

from kommandir.mistakes import Mistake


def check(file: Path | None, text: str | None, *, context: str | None = None) -> list[Mistake]:
    """Every mistake in a file (or in ``text`` where there is no file), in the order of its lines."""
    from kommandir.xn.reading import read

    return list(read(file, text, context=context).mistakes)
