"""The commands ``kommandir job``: runs that live on without the connection that started them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kommandir.ending import ended

if TYPE_CHECKING:
    from kommandir.detached.folder import RunsFolder

_RUNS = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of all runs of the job; by default `run` beside $EXEKUTIR_STATE.",
)
_GRACE = click.option(
    "--grace", type=float, default=30.0, show_default=True, metavar="SECONDS", help="Time to end in order, then KILL."
)
_SIGNAL = click.option(
    "--signal",
    "with_signal",
    type=click.Choice(["TERM", "INT"]),
    default="TERM",
    show_default=True,
    help="What it is ended by, and what its exit code tells.",
)


@click.group("job")
def group() -> None:
    """Run job.xn detached from the connection, as the job's user: start, follow, stop, status."""


@group.command()
@_RUNS
@click.option("--follow", "followed", is_flag=True, help="Then follow its events from the start on.")
def start(runs: Path | None, followed: bool) -> None:
    """Start the run that a JSON request on standard input describes, unless it was started before.

    What is known of it is printed as one JSON line. At most one run of a job is alive at a time (exit code 6).
    """
    from kommandir.detached import following, starting
    from kommandir.detached.request import RunRequest

    def work() -> int:
        request = RunRequest.parsed(sys.stdin.read())
        _print(starting.start(_folder(runs), request))
        if followed:
            following.follow(_folder(runs).run(request.id), 0)
        return 0

    ended(work)


@group.command()
@_RUNS
@click.argument("name", metavar="ID")
@click.option("--from", "offset", type=click.IntRange(0), default=0, metavar="N", help="The place to go on from.")
def follow(name: str, offset: int, runs: Path | None) -> None:
    """Print the events of a run as JSON lines as they come, with a heartbeat; the last line is its result.

    Each has the place from which to go on after it.
    """
    from kommandir.detached import following

    def work() -> int:
        following.follow(_folder(runs).run(name), offset)
        return 0

    ended(work)


@group.command()
@_RUNS
@_GRACE
@_SIGNAL
@click.argument("name", metavar="[ID]", required=False)
def stop(name: str | None, runs: Path | None, grace: float, with_signal: str) -> None:
    """End a run, or all of the job, with every process of it, and print what is known of it as a JSON line.

    A run that was not started yet never will be. May be done again at any time.
    """
    from kommandir.detached import stopping

    def work() -> int:
        if name is None:
            told = stopping.stop_all(_folder(runs), grace=grace, with_signal=with_signal)
        else:
            told = [stopping.stop(_folder(runs), name, grace=grace, with_signal=with_signal)]
        for each in told:
            _print(each)
        return 0

    ended(work)


@group.command()
@_RUNS
def status(runs: Path | None) -> None:
    """Print what is known of each run of the job, oldest first, a JSON line each."""

    def work() -> int:
        for run in _folder(runs).all():
            _print(run.told())
        return 0

    ended(work)


def _folder(path: Path | None) -> RunsFolder:
    from kommandir.detached.folder import RunsFolder

    return RunsFolder(path.absolute()) if path is not None else RunsFolder.default()


def _print(told: object) -> None:
    click.echo(json.dumps(told))
