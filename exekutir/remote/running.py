"""``job.xn`` run on a remote kommandir, whatever happens to the connection.

The run is the kommandir's own (``kommandir.detached``); from here it is started once, its events are taken over as they
come, each exactly once, and it is ended in order when a signal or the deadline asks for that.
"""

from __future__ import annotations

import json
from dataclasses import replace

from exekutir.remote import runs
from exekutir.remote.control import Control
from exekutir.remote.host import RemoteHost
from exekutir.remote.pursuit import Pursuit
from exekutir.remote.runs import RemoteRun
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.detached.request import RunRequest
from kommandir.errors import KommandirError
from kommandir.events import EventStream
from kommandir.journal import Journal
from kommandir.xn import XnResult

#: Seconds for which the kommandir is asked again and again after a connection was lost, where nobody gave a limit.
RECONNECT_TIMEOUT = 300.0


def run_remotely(
    host: RemoteHost,
    request: RunRequest,
    *,
    program: str,
    folder: str,
    journal: Journal,
    events: EventStream,
    deadline: Deadline,
    cancellation: Cancellation,
    reconnect_timeout: float = RECONNECT_TIMEOUT,
) -> XnResult:
    """Run it to its end on ``host`` (the job's user) and say what came of it, as ``kommandir.xn.run`` does.

    ``program`` is the ``kommandir`` of the exekutir's own release there, ``folder`` that of the job's runs. The secrets
    of ``events`` go with the request.

    Its events go to ``events`` as they come. A signal or the deadline ends the run; the result then says so. In the
    context cleanup a run of the job that is still alive is ended first. Raises what ``kommandir.xn.run`` raises, and:

    - UsageError when another run of this job is alive there;
    - UnreachableError (HostKeyError when its key is not the known one) when it never answered;
    - KommandirError when the run died, or when the kommandir did not answer for ``reconnect_timeout`` seconds;
    - StoppedError when a signal came and the kommandir could not be told.
    """
    run = RemoteRun(
        id=request.id,
        context=request.context,
        what=request.what,
        host=host.name,
        program=program,
        runs=folder,
    )
    runs.begin(journal, run)
    return Pursuit(
        host,
        run,
        replace(request, secrets=tuple(sorted(events.redactor.secrets))),
        journal=journal,
        events=events,
        deadline=deadline,
        cancellation=cancellation,
        reconnect_timeout=reconnect_timeout,
    ).result()


def attach(
    host: RemoteHost,
    run: RemoteRun,
    *,
    journal: Journal,
    events: EventStream,
    deadline: Deadline,
    cancellation: Cancellation,
    reconnect_timeout: float = RECONNECT_TIMEOUT,
) -> XnResult:
    """Take up a run again (``runs.resumable``), whether it goes on or has ended, after its last event in ``events``.

    Returns and raises as ``run_remotely`` does; UsageError when the kommandir knows no such run.
    """
    return Pursuit(
        host,
        run,
        None,
        journal=journal,
        events=events,
        deadline=deadline,
        cancellation=cancellation,
        reconnect_timeout=reconnect_timeout,
        place=runs.heard(events.path, run.id),
    ).result()


def stop(
    host: RemoteHost,
    *,
    program: str,
    folder: str,
    journal: Journal,
    deadline: Deadline,
    cancellation: Cancellation,
    grace: float = 30.0,
) -> list[str]:
    """End every run of the job on ``host`` in order (TERM, ``grace`` seconds, KILL); the ids of those there were.

    For ``cleanup``, after which nobody attaches any more. Raises UnreachableError, KommandirError.
    """
    with Control.opened(host, deadline=deadline, cancellation=cancellation) as control:
        words = runs.words(program, folder, "stop", "--grace", f"{grace:g}")
        outcome = control.run(words, deadline=deadline, cancellation=cancellation)
    if not outcome.good:
        raise KommandirError(
            "the runs of this job can't be ended",
            host=host.name,
            why=outcome.stderr,
            hint="run `exekutir cleanup` again",
        )
    ended = [str(json.loads(line)["id"]) for line in outcome.stdout.splitlines() if line.startswith("{")]
    for run in runs.open_runs(journal):
        runs.end(journal, run, None)
    return ended
