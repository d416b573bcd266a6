"""The folder of a run, and that of all runs of a job: what is known of them, whenever they or their host were killed.

RUNS/.starting              a lock, held until a run that was started has told who it is
RUNS/ID/request.json        0600: what is to be run, until it runs
RUNS/ID/run.json            who runs it; from now on it is never run again
RUNS/ID/events.jsonl        appended by the run and by the plugins of its Ansible
RUNS/ID/crash.txt           what the run's process said on its own, its bugs above all
RUNS/ID/result.json         what came of it; written last
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kommandir import atomic
from kommandir.detached.request import demand_id
from kommandir.errors import KommandirError
from kommandir.events import FILE_NAME as EVENTS
from kommandir.providers import processes

#: Marks all processes of a run, by its id.
RUN_TAG = "EXEKUTIR_RUN"
#: Ended runs that are kept, to be asked about.
KEPT = 20
#: Bytes of a disk that are kept for the result: what fills it up must not hide how it ended.
RESERVED = 1 << 17
#: Lines of a crash that are told.
_TOLD = 12


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run."""

    path: Path

    @property
    def id(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def request(self) -> Path:
        """What is to be run; removed as soon as it runs, since it has the environment."""
        return self.path / "request.json"

    @property
    def events(self) -> Path:
        """Everything that happened."""
        return self.path / EVENTS

    @property
    def crash(self) -> Path:
        """What the process said on its own."""
        return self.path / "crash.txt"

    @property
    def record(self) -> dict[str, Any] | None:
        """Who runs it: pid, identity, context, started; None where it never began."""
        return _read(self.path / "run.json")

    @property
    def result(self) -> dict[str, Any] | None:
        """What came of it; None as long as there is nothing."""
        return _read(self.path / "result.json")

    def keep_record(self, record: dict[str, Any]) -> None:
        """From now on it counts as run. OSError where the disk can't take it."""
        atomic.write(self.path / "run.json", json.dumps(record), mode=0o600)

    def reserve(self) -> None:
        """Keep some of the disk for the result."""
        atomic.write(self.path / "reserve", b"\0" * RESERVED, mode=0o600, durable=False)

    def keep_result(self, result: dict[str, Any]) -> None:
        """Write what came of it; the last thing that a run does. OSError where the disk can't take it."""
        (self.path / "reserve").unlink(missing_ok=True)
        atomic.write(self.path / "result.json", json.dumps(result), mode=0o600)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        record = self.record
        return record is not None and processes.alive(int(record["pid"]), str(record["identity"]))

    @property
    def state(self) -> str:
        """``running``, ``ended`` (there is a result), ``died`` (there is none), ``unknown`` (it never began)."""
        alive = self.alive  # asked first: who ends in between has left a result
        if self.result is not None:
            return "ended"
        if alive:
            return "running"
        return "unknown" if self.record is None else "died"

    def died_of(self) -> str:
        """Why there is no result, as far as that can be known."""
        record = self.record or {}
        boot = str(record.get("identity", "")).partition("@")[2]
        if boot != processes.boot():
            return "the host was started again meanwhile"
        said: list[str] = []
        with contextlib.suppress(OSError):
            said = self.crash.read_text(errors="replace").strip().splitlines()
        killed = "its process was killed: by SIGKILL, for want of memory, or with the whole kommandir"
        return "\n".join([killed, *said[-_TOLD:]])

    def told(self) -> dict[str, Any]:
        """All of that for who asks; one JSON mapping."""
        record, state = self.record or {}, self.state
        told = {"id": self.id, "state": state, **{key: record.get(key) for key in ("context", "started", "pid")}}
        if state == "died":
            told["why"] = self.died_of()
        return {**told, "result": self.result}


@dataclass(frozen=True, slots=True)
class RunsFolder:
    """All runs of a job."""

    path: Path

    @classmethod
    def default(cls) -> RunsFolder:
        """Beside the state of the job's user, which ``EXEKUTIR_STATE`` names."""
        home = pwd.getpwuid(os.getuid()).pw_dir
        state = os.environ.get("EXEKUTIR_STATE") or str(Path(home, ".local", "state", "exekutir"))
        return cls(Path(state).absolute().parent / "run")

    def run(self, name: str) -> RunFolder:
        """A run, whether there is one of that name or not. Raises UsageError for what can't be a name."""
        return RunFolder(self.path / demand_id(name))

    def all(self) -> list[RunFolder]:
        """All runs there are, oldest first."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path) as entries:
            runs = [each for each in entries if not each.name.startswith(".") and each.is_dir(follow_symlinks=False)]
            return [self.run(each.name) for each in sorted(runs, key=lambda each: (each.stat().st_mtime, each.name))]
        return []

    @contextlib.contextmanager
    def starting(self) -> Iterator[int]:
        """Keep everybody else from starting or stopping a run; the lock's descriptor, which a child may inherit.

        The child that inherits it holds the lock too. Raises KommandirError where the folder can't be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path / ".starting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KommandirError(
                f"{error.filename or self.path} can't be written: {error.strerror}",
                hint="look for a full or read-only disk on the kommandir",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def prune(self) -> None:
        """Remove the oldest of those that ended; KEPT of them stay."""
        over = [run for run in self.all() if run.state != "running"]
        for run in over[:-KEPT]:
            shutil.rmtree(run.path, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) else None
