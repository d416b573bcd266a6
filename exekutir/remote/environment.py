"""What of the exekutir's environment a remote kommandir gets: what a variable names, the terminal, the language."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

#: The terminal as the caller has it, his language, his clock. Locales pass by their prefix ``LC_``.
ALWAYS = ("TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "LANG", "LANGUAGE", "TZ")


def passed(
    environment_pass: Iterable[str], environ: Mapping[str, str] | None = None, stdout: TextIO | None = None
) -> dict[str, str]:
    """The variables of ``environ`` (default: this process's) that pass; the size of a terminal that nobody exported.

    ``stdout`` is where that terminal would be; default: this process's.
    """
    source = os.environ if environ is None else environ
    names = {*ALWAYS, *environment_pass, *(name for name in source if name.startswith("LC_"))}
    found = {name: source[name] for name in sorted(names) if source.get(name)}
    return {**_size(sys.stdout if stdout is None else stdout), **found}


def _size(stdout: TextIO | None) -> dict[str, str]:
    try:
        columns, lines = os.get_terminal_size(stdout.fileno() if stdout is not None else -1)
    except (OSError, ValueError):  # it is no terminal, or none at all
        return {}
    return {"COLUMNS": str(columns), "LINES": str(lines)} if columns and lines else {}
