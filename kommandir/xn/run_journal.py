"""The journal of a run of ``job.xn``: what lets the next call of the same context go on where this one was killed.

One SQLite file a workspace, readable by its owner alone, below ``private/``: it holds the values of variables, secrets
among them. A run that has ended says so in it; the next one then begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from kommandir.errors import KommandirError, LockError
from kommandir.version import __version__
from kommandir.xn.call_notes import CallNotes
from kommandir.xn.request import XnRequest
from narval_engine import Engine
from narval_engine.journal import JournalBusyError, JournalError, SqliteJournal
from narval_engine.resuming import CutOff, resume

#: Where it lies in a kommandir's workspace.
FILE = Path("private", "job.sqlite")
CONTEXT, ENDED, PROCESS = "context", "ended", "process"
#: What has to be as it was, and what people call it.
_SAME = {
    "job": "job.xn",
    "limit": "the limit to some hosts",
    "arguments": "the further arguments",
    "extra": "the variables of the command line",
    "version": "the version of exekutir",
}


class RunJournal:
    """An open journal that belongs to one run."""

    def __init__(self, kept: SqliteJournal, *, goes_on: bool) -> None:
        self.kept = kept
        #: Whether it holds a run of the same context that was killed.
        self.goes_on = goes_on

    def stopped(self, _reason: str = "") -> None:
        """A signal or the deadline ends the run: what is killed from now on is not gone on with. From any thread."""
        with contextlib.suppress(JournalError):  # of a run that can't be noted any more nothing can be gone on with
            self.kept.label(ENDED, "yes")

    def begin(self, engine: Engine, recipe: str, *, restored: Callable[[], object], cut_off: CutOff) -> None:
        """Have the engine make the plan of ``recipe``, or bring back all plans of the run that was killed.

        Raises KommandirError where these can't be had any more.
        """
        if self.goes_on:
            try:
                resume(engine, self.kept, restored=restored, cut_off=cut_off)
            except JournalError as error:
                raise KommandirError(
                    "the run that was killed can't be gone on with",
                    why=str(error),
                    hint="call it once more: it then begins anew",
                ) from error
        if not self.goes_on or not any(True for _ in self.kept.entries()):
            with engine.held():
                engine.start_plan(recipe)


def opened(request: XnRequest) -> RunJournal:
    """The journal of the request's workspace, for a run of its file or text.

    Where a run of the same context was killed, and nothing that it depends on has changed since, it goes on; a warning
    says why not. Raises LockError where another process is running ``job.xn`` there, KommandirError where the file
    can't be written.
    """
    path = request.workspace / FILE
    kept = _connected(path, request)
    try:
        before, now = kept.labels, _identity(request)
        changed = [name for name in _SAME if before.get(name) != now[name]]
        killed = before.get(CONTEXT) == request.context and ENDED not in before
        if killed and changed:
            what = " and ".join(_SAME[name] for name in changed)
            message = f"an earlier {request.context} was killed; it begins anew, since {what} changed meanwhile"
            request.events.emit("warning", message=message)
        if not killed or changed:
            _given_up(kept, before)
            kept.begin(now)
        kept.label(PROCESS, str(os.getpid()))
    except JournalError as error:
        kept.close()
        raise unwritable(error) from error
    return RunJournal(kept, goes_on=killed and not changed)


def _connected(path: Path, request: XnRequest) -> SqliteJournal:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            return SqliteJournal(path)
        except JournalError as error:
            if isinstance(error, JournalBusyError) or isinstance(error.__cause__, OSError | sqlite3.OperationalError):
                raise
            message = f"{path} can't be read; what an earlier run that was killed had done is not known any more"
            request.events.emit("warning", message=f"{message}\n{error}")
            for name in (f"{path}-wal", f"{path}-shm", str(path)):
                Path(name).unlink(missing_ok=True)
            return SqliteJournal(path)
    except JournalBusyError as error:
        raise LockError(
            f"another process is running the job.xn of {request.workspace}", hint="wait for it, or end it"
        ) from error
    except (JournalError, OSError) as error:
        raise unwritable(error) from error


def unwritable(error: Exception) -> KommandirError:
    """What a person has to know of a journal that can't be written."""
    return KommandirError(
        "the journal of job.xn can't be written",
        why=str(error),
        hint="free some space or make the workspace writable, then run the same command again",
    )


def _identity(request: XnRequest) -> Mapping[str, str]:
    source = request.file.read_bytes() if request.file is not None else (request.text or "").encode()
    extra = request.extra_vars.read_bytes() if request.extra_vars is not None else b""
    return {
        CONTEXT: request.context,
        "job": hashlib.sha256(source).hexdigest(),
        "limit": request.limit or "",
        "arguments": json.dumps(request.optional),
        "extra": hashlib.sha256(extra).hexdigest(),
        "version": __version__,
    }


def closed(workspace: Path, *, begins: str | None = None) -> None:
    """The run that this process has made in ``workspace`` has ended, and that was told to whoever has to know.

    With ``begins``, the name of a context that begins: the run of any other one that was killed counts as ended, as
    nobody goes on with it once something else is done. Nothing where there is no journal, where another process uses it
    or where it can't be written: at worst the next call finds that all has been done.
    """
    path = workspace / FILE
    if not path.exists():
        return
    with contextlib.suppress(JournalError), contextlib.closing(SqliteJournal(path)) as kept:
        known = kept.labels
        mine = known.get(PROCESS) == str(os.getpid()) if begins is None else known.get(CONTEXT) != begins
        if known and mine:
            if begins is not None:
                _given_up(kept, known)
            kept.label(ENDED, "yes")


def _given_up(kept: SqliteJournal, labels: Mapping[str, str]) -> None:
    """End what processes are left of a run that was killed, with which nobody goes on."""
    if labels and ENDED not in labels:
        notes = CallNotes(kept)
        notes.read()
        notes.strays_ended()
