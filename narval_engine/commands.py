"""The action ``command.run``: a program, run in a process group of its own that ends with the step."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import IO, Any

from narval_engine.actions import Registry
from narval_engine.current import CURRENT, RunningStep
from narval_engine.elements import Element, ErrorElement
from narval_engine.prototypes import Input, Output

#: Of each stream so much is kept, from its end.
_TAIL = 64 * 1024
#: Between being asked to end and being made to.
_GRACE = 2.0


def register(registry: Registry) -> None:
    """Makes ``command.run`` known. It takes an element ``command`` and makes an element ``output``.

    ``command``: ``argv`` (a list) or ``line`` (split as a shell does, but no shell runs), ``directory``,
    ``environment`` (a mapping that replaces the variables it names), ``input`` (text for its standard input).
    ``output``: ``exit_code``, ``stdout`` and ``stderr`` (their last 64 KiB). An exit code other than 0 is an error
    "command failed" with the same attributes; a program that cannot be started is "command not started".
    """
    registry.register(
        "command.run",
        run,
        [Input("command", ("elmt.type == 'command'",))],
        [Output("output", ("elmt.type == 'output'",))],
    )


def run(inputs: dict[str, Any]) -> dict[str, Element]:
    """The action."""
    command = inputs["command"]
    try:
        argv = _argv(command)
        process = subprocess.Popen(
            argv,
            cwd=getattr(command, "directory", None) or None,
            env={**os.environ, **{str(key): str(value) for key, value in getattr(command, "environment", {}).items()}},
            stdin=subprocess.PIPE if getattr(command, "input", None) is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError, AttributeError) as error:
        return {"error": ErrorElement(f"the command cannot be started: {error}", "command not started")}
    stdout, stderr = _followed(process, getattr(command, "input", None))
    seen = {"exit_code": process.returncode, "stdout": stdout, "stderr": stderr}
    if process.returncode == 0:
        return {"output": Element("output", **seen)}
    last = (stderr.strip() or stdout.strip()).splitlines()[-1:]
    message = f"{shlex.join(argv)[:200]} {_ended(process.returncode)}{': ' + last[0] if last else ''}"
    return {"error": ErrorElement(message, "command failed", **seen)}


def _argv(command: Element) -> Sequence[str]:
    argv = command.__dict__.get("argv")
    if argv is None:
        argv = shlex.split(str(command.line))
    if not isinstance(argv, list | tuple) or not argv:
        raise ValueError("its argv is a list of texts, not empty")
    return [str(each) for each in argv]


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _followed(process: subprocess.Popen[bytes], text: str | None) -> tuple[str, str]:
    """What the process wrote, once it has ended. With the step, its whole process group ends."""
    step = CURRENT.get(None)
    if step is not None:
        step.on_cancel(lambda: _end(process))
    tails: dict[str, str] = {}

    def keep(name: str, stream: IO[bytes] | None) -> None:
        tails[name] = _tail(stream)

    readers = [
        threading.Thread(target=keep, args=(name, stream), daemon=True)
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
    ]
    for reader in readers:
        reader.start()
    if process.stdin is not None:
        _feed(process.stdin, text or "")
    _wait(process, step)
    for reader in readers:
        reader.join()
    return tails["stdout"], tails["stderr"]


def _tail(stream: IO[bytes] | None) -> str:
    kept = b""
    while stream is not None and (part := stream.read1(1 << 16)):  # type: ignore[attr-defined] # Popen's are buffered
        kept = (kept + part)[-_TAIL:]
    if stream is not None:
        stream.close()
    return kept.decode(errors="replace")


def _feed(stream: IO[bytes], text: str) -> None:
    try:
        with stream:
            stream.write(text.encode())
    except BrokenPipeError:
        # It ended without reading all of it, which is its right.
        return


def _wait(process: subprocess.Popen[bytes], step: RunningStep | None) -> None:
    process.wait()
    if step is not None and step.cancelled is None:
        return
    # Whoever it left behind in its group goes with it.
    _kill(process, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """TERM to the group, and KILL if that is not enough."""
    _kill(process, signal.SIGTERM)
    timer = threading.Timer(_GRACE, lambda: _kill(process, signal.SIGKILL) if process.poll() is None else None)
    timer.daemon = True
    timer.start()


def _kill(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    try:
        os.killpg(process.pid, how)
    except (ProcessLookupError, PermissionError):
        return
