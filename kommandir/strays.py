"""Processes of a step that outlive it: found by their mark, whatever session they fled to, and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from kommandir.deadline import Deadline
from kommandir.environment import JOB_TAG
from kommandir.process import GRACE, tagged

#: Names the step of which a process is a part.
STEP_TAG = "EXEKUTIR_STEP"


def new_mark() -> str:
    """A mark that no step has yet."""
    return os.urandom(8).hex()


def marks(uuid: str, mark: str = "") -> dict[str, str]:
    """The environment that marks the processes of a step of the job ``uuid`` ("" for none in particular).

    Without a ``mark`` it is that of a new step.
    """
    return {JOB_TAG: uuid or "standalone", STEP_TAG: mark or new_mark()}


def end(mark: str, grace: float = GRACE) -> int:
    """End every process that bears the step's ``mark``: TERM, ``grace`` seconds, KILL. How many there were comes back.

    Only those that bear a job's tag too: providers take it from the peons they start, which are to live on.
    """
    return end_tagged(STEP_TAG, mark, grace)


def end_tagged(tag: str, value: str, grace: float = GRACE) -> int:
    """The same for every process that bears ``tag`` = ``value``: a step's, or a whole job's by JOB_TAG."""
    before = len(list(alive(tag, value)))
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in alive(tag, value):
            _signalled(pid, number)
        moment = Deadline.after(grace)
        while not moment.expired and any(True for _ in alive(tag, value)):
            time.sleep(0.05)
    return before


def alive(tag: str, value: str) -> Iterator[int]:
    """The ids of running processes that bear ``tag`` = ``value`` and a job's tag; not ours, nor who started us."""
    ours = _ancestors()
    for pid in tagged(tag, value):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        of_a_job = any(entry.startswith(JOB_TAG.encode() + b"=") for entry in environment.split(b"\0"))
        if of_a_job and state not in "ZX" and pid not in ours:
            yield pid


def _ancestors() -> set[int]:
    """Ourselves and those who started us: a step may well run a command of ours."""
    found, pid = set(), os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return found


def _signalled(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or another user's by now: cleanup will name what is left
        return
