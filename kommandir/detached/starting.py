"""A run started: once, one at a time, in a session of its own, which has nothing of who started it."""

from __future__ import annotations

import contextlib
import locale
import os
import pwd
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kommandir import atomic, strays
from kommandir.detached.folder import RUN_TAG, RunFolder, RunsFolder
from kommandir.detached.request import RunRequest
from kommandir.environment import JOB_TAG
from kommandir.errors import KommandirError, LockError
from kommandir.events import FILE_VARIABLE, named_place

#: Seconds in which a run's process must have told who it is.
PATIENCE = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start(runs: RunsFolder, request: RunRequest) -> dict[str, Any]:
    """Start a run, unless it was started or stopped before; what is known of it, and this host's clock, come back.

    Raises LockError while another run of the job is alive, KommandirError where it can't be started; what a run that
    was killed left is ended first.
    """
    with runs.starting() as lock:
        run = runs.run(request.id)
        if run.state == "unknown":
            _demand_alone(runs)
            runs.prune()
            try:
                _started(run, request, lock)
            except OSError as error:
                raise _impossible(error.strerror or str(error)) from error
    return {**run.told(), "now": time.time()}


def _demand_alone(runs: RunsFolder) -> None:
    for other in runs.all():
        state = other.state
        if state == "running":
            record = other.record or {}
            since = f"{record.get('context')}, since {record.get('started')}"
            raise LockError(
                f"another run of this job is alive: {other.id} ({since})",
                hint="`exekutir run --attach` takes it up again, `exekutir cleanup` ends it",
            )
        if state == "died":
            strays.end_tagged(RUN_TAG, other.id)


def _started(run: RunFolder, request: RunRequest, lock: int) -> None:
    """The process is there and has told who it is, or KommandirError."""
    shutil.rmtree(run.path, ignore_errors=True)  # half-made by somebody who was killed
    run.path.mkdir(mode=0o700)
    run.reserve()
    atomic.write(run.request, request.dumped(), mode=0o600)
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        run.crash.touch(mode=0o600)
        with run.crash.open("ab") as crash:
            subprocess.Popen(
                [sys.executable, "-P", "-m", "kommandir.detached.runner", str(run.path), str(lock), str(theirs)],
                env=environment(request, run),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=crash,
                stderr=crash,
                pass_fds=(lock, theirs),
                start_new_session=True,
            )
        os.close(theirs)
        theirs = -1
        told = _told(ours)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    if told != b"begun\n":
        with contextlib.suppress(OSError):
            told += run.crash.read_bytes()[-2000:]
        raise _impossible(told.decode(errors="replace"))


def _told(handle: int) -> bytes:
    said, deadline = b"", time.monotonic() + PATIENCE
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        data = os.read(handle, 4096)
        if not data:
            break
        said += data
    return said


def _impossible(why: str) -> KommandirError:
    return KommandirError(
        "the run can't be started on the kommandir",
        why=why,
        hint="look for a full disk there, or a broken installation",
    )


def environment(request: RunRequest, run: RunFolder) -> dict[str, str]:
    """All that a run gets: what the request names, what every login has, our programs first, and our marks.

    From where the login came is passed on, as peons with a way out must not find the exekutir on it.
    """
    user = pwd.getpwuid(os.getuid())
    wanted = dict(request.environment)
    login = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell or "/bin/sh"}
    if came_from := os.environ.get("SSH_CONNECTION"):
        login["SSH_CONNECTION"] = came_from
    path = {"PATH": f"{Path(sys.executable).parent}:{_PATH}"}
    uuid = request.uuid or "standalone"
    marks = {JOB_TAG: uuid, RUN_TAG: run.id, FILE_VARIABLE: named_place(uuid, run.events)}
    return {**login, **path, **_spoken(wanted), **marks}


def _spoken(wanted: dict[str, str]) -> dict[str, str]:
    """The same with a language that this host has, in UTF-8: Ansible refuses any other."""
    names = [name for name in wanted if name == "LANG" or name.startswith("LC_")]
    chosen = next((wanted[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if wanted.get(name)), "")
    if _known("utf" in chosen.lower(), {wanted[name] for name in names}):
        return wanted
    others = {name: value for name, value in wanted.items() if name not in names}
    return {**others, "LANG": "C.UTF-8"}


def _known(utf8: bool, languages: set[str]) -> bool:
    before = locale.setlocale(locale.LC_ALL)
    try:
        for language in languages:
            locale.setlocale(locale.LC_ALL, language)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return utf8
