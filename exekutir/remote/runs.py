"""What the exekutir keeps of the runs of ``job.xn`` on a remote kommandir: the intent, the end, and how far it heard.

Intent and end stand in the exekutir's journal. How far it heard stands in each event that it stored, so that event and
place are one write: whenever the exekutir is killed, no event of a run is lost or stored twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kommandir.errors import KommandirError
from kommandir.events import Event
from kommandir.journal import Entry, Journal

STARTED, ENDED = "remote_run_started", "remote_run_ended"
#: The key of an event that came from a remote run: {run: its id, next: the place in its events after this one}.
MARK = "remote"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """A run on a remote kommandir, as the journal has it."""

    id: str
    context: str
    #: What is run: the file's name, or a digest of the text.
    what: str
    #: The kommandir's name.
    host: str
    #: The program ``kommandir`` there, and the folder of the job's runs.
    program: str
    runs: str
    #: UTC, ISO 8601; "" before it is in the journal.
    since: str = ""

    def __str__(self) -> str:
        return f"{self.id} of {self.context} on {self.host}" + (f", since {self.since}" if self.since else "")


def words(program: str, folder: str, verb: str, *more: str) -> list[str]:
    """The words of ``kommandir job VERB`` there."""
    return [program, "job", verb, "--runs", folder, *more]


def new_id(context: str) -> str:
    """A name that no other run has; they sort by their start."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{context}-{os.urandom(4).hex()}"


def begin(journal: Journal, run: RemoteRun) -> None:
    """Keep the intent to start a run. Raises KommandirError where it can't be kept: then it must not be started."""
    told = asdict(run)
    del told["since"]
    journal.append(STARTED, **told)


def end(journal: Journal, run: RemoteRun, exit_code: int | None) -> None:
    """Keep that a run has ended; None where it left no exit code. That this can't be kept is no failure."""
    with contextlib.suppress(KommandirError):
        journal.append(ENDED, id=run.id, context=run.context, exit_code=exit_code)


def open_runs(journal: Journal) -> list[RemoteRun]:
    """The runs that are not known to have ended, oldest first: what cleanup has to end."""
    entries = list(journal.entries())
    ended = {entry.data.get("id") for entry in entries if entry.action == ENDED}
    return [run for run in map(_run, _of(entries, STARTED)) if run.id not in ended]


def resumable(journal: Journal, context: str, what: str | None = None) -> RemoteRun | None:
    """The run of a context that ``--attach`` takes up again, or None.

    It is the last one (of ``what``, where that is named) that is not known to have ended, or whose end the context did
    not live to tell. What was before the last ``cleanup``, or before a later run that ended, is past.
    """
    found: list[RemoteRun] = []
    ended: set[str] = set()
    for entry in journal.entries():
        if entry.action == "context_started" and entry.data.get("context") == "cleanup" and context != "cleanup":
            found = []
        elif (
            entry.action == STARTED and entry.data.get("context") == context and what in (None, entry.data.get("what"))
        ):
            found.append(_run(entry))
        elif entry.action == ENDED:
            found = _after_end(found, entry)
            ended.add(str(entry.data.get("id")))
        elif entry.action == "context_finished" and entry.data.get("context") == context:
            found = [run for run in found if run.id not in ended]
    return found[-1] if found else None


def _after_end(found: list[RemoteRun], entry: Entry) -> list[RemoteRun]:
    """Those that can still be taken up: a run that began proves that no earlier one was alive."""
    names = [run.id for run in found]
    if entry.data.get("exit_code") is None or entry.data.get("id") not in names:
        return [run for run in found if run.id != entry.data.get("id")]
    return found[names.index(entry.data["id"]) :]


def heard(events: Path | None, run: str) -> int:
    """The place in the events of a run after the last one of it that was stored in ``events``; 0 for none."""
    place = 0
    for line in _lines(events):
        if f'"{MARK}"' in line and run in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                mark = json.loads(line)[MARK]
                if mark["run"] == run:
                    place = max(place, int(mark["next"]))
    return place


def marked(event: Event, run: str, place: int) -> Event:
    """The event with the place after it."""
    return {**event, MARK: {"run": run, "next": place}}


def _lines(path: Path | None) -> Iterator[str]:
    if path is None or not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        yield from stream


def _of(entries: list[Entry], action: str) -> Iterator[Entry]:
    return (entry for entry in entries if entry.action == action)


def _run(entry: Entry) -> RemoteRun:
    told: dict[str, Any] = entry.data
    names = ("id", "context", "what", "host", "program", "runs")
    return RemoteRun(**{name: str(told.get(name, "")) for name in names}, since=entry.time)
