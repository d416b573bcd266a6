"""The process of a run: ``python -m kommandir.detached.runner FOLDER LOCK ANSWER``, descriptors the last two."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.detached.folder import RunFolder
from kommandir.detached.request import RunRequest
from kommandir.errors import ExekutirError, StoppedError, exit_code_of
from kommandir.events import Event, EventStream
from kommandir.journal import now
from kommandir.providers import processes
from kommandir.redaction import Redactor


def main(path: str, lock: int, answer: int) -> None:
    """Run what the folder's request says and leave a result, whatever happens."""
    faulthandler.enable()
    run = RunFolder(Path(path))
    cancellation = Cancellation()
    with cancellation.handling_signals():
        request = _begun(run, lock, answer)
        redactor = Redactor(request.secrets)
        try:
            result = _performed(run, request, redactor, cancellation)
        except Exception as error:  # noqa: BLE001  a bug of ours: who follows is told, and the file has it all
            text = redactor.text("".join(traceback.format_exception(error)))
            print(text, file=sys.stderr, flush=True)
            result = {"crash": text.strip().splitlines()[-1]}
        run.keep_result({**result, "ended": now()})
        if "crash" not in result:
            from kommandir import xn

            xn.closed(Path(request.workspace))


def _begun(run: RunFolder, lock: int, answer: int) -> RunRequest:
    """From now on it counts as run; who started it is told so and may go."""
    os.set_inheritable(lock, False)
    os.set_inheritable(answer, False)
    request = RunRequest.parsed(run.request.read_text())
    pid = os.getpid()
    run.keep_record(
        {"pid": pid, "identity": processes.identity(pid), "context": request.context, "uuid": request.uuid,
         "file": request.file, "started": now()}
    )  # fmt: skip
    run.request.unlink()
    with contextlib.suppress(BrokenPipeError):  # who started it was killed; the run goes on
        os.write(answer, b"begun\n")
    os.close(answer)
    os.close(lock)
    return request


def _performed(run: RunFolder, request: RunRequest, redactor: Redactor, cancellation: Cancellation) -> dict[str, Any]:
    warnings: list[str] = []
    stream = EventStream(run.events, redactor, request.context)
    stream.subscribe(lambda event: _lost(event, warnings))
    try:
        result = _result(request, stream, cancellation)
    except ExekutirError as error:
        result = {"error": _told(error, redactor)}
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        result = {"error": {"what": redactor.text(what), "exit_code": 5, "hint": "look for a full or read-only disk"}}
    return {**result, "warnings": warnings}


def _result(request: RunRequest, stream: EventStream, cancellation: Cancellation) -> dict[str, Any]:
    from kommandir import xn

    os.chdir(request.workspace)
    result = xn.run(
        xn.XnRequest(
            context=request.context,
            workspace=Path(request.workspace),
            file=Path(request.file) if request.file is not None else None,
            text=request.text,
            optional=request.optional,
            uuid=request.uuid,
            environment_pass=request.environment_pass,
            extra_vars=Path(request.extra_vars) if request.extra_vars is not None else None,
            limit=request.limit,
            verbosity=request.verbosity,
            deadline=Deadline.after(request.seconds),
            cancellation=cancellation,
            events=stream,
            check=request.check,
            durable=request.file is not None,
        )
    )
    failures = [dataclasses.asdict(failure) for failure in result.failures]
    return {"exit_code": result.exit_code, "outcome": int(result.outcome), "failures": failures}


def _lost(event: Event, warnings: list[str]) -> None:
    """Keep the one event that the stream can't store: that it stores none any more."""
    message = str(event.get("message"))
    if event.get("event") == "warning" and message.startswith("events are no longer stored"):
        warnings.append(message)


def _told(error: ExekutirError, redactor: Redactor) -> dict[str, Any]:
    texts = {name: getattr(error, name) for name in ("what", "host", "why", "log", "hint")}
    told: dict[str, Any] = {name: redactor.text(str(value)) for name, value in texts.items() if value is not None}
    signal_number = error.signal_number if isinstance(error, StoppedError) else None
    return {**told, "exit_code": exit_code_of(error), "signal": signal_number}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
