"""How a command of ours ends: with an exit code that says whose fault it was."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import click


def ended(work: Callable[[], int]) -> NoReturn:
    """End the process with the exit code of ``work``; an error of ours is shown for people."""
    from kommandir.errors import ExekutirError, exit_code_of

    try:
        code = work()
    except ExekutirError as error:
        click.echo(f"kommandir: {error}", err=True)
        code = exit_code_of(error)
    sys.exit(code)
