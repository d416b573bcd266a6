"""Child processes: each a session of its own, with a deadline; TERM, a grace, then KILL for the whole group.

What a child did is a value (``Outcome``); only a deadline or a signal at us is an exception.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import TimeOutError

#: Seconds between TERM and KILL.
GRACE = 2.0
#: Seconds for which output is still read after the child's end, when a daemon of its keeps the pipe open.
DRAIN = 0.2
#: Bytes of a stream that are kept in memory: the first and the last half of it.
KEPT = 1 << 20

Line = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a child process."""

    #: Exit code; minus the number of the signal that ended it, as ``subprocess`` has it.
    code: int
    #: Standard output, decoded; the middle of a very long one is cut out.
    stdout: str
    stderr: str
    #: Wall time.
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    @property
    def end(self) -> str:
        """How it ended, for people."""
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"


class _Stream:
    """One output of a child: kept within bounds, copied to a file, given out line by line."""

    def __init__(self, name: str, sink: IO[bytes] | None, on_line: Line | None) -> None:
        self.name, self._sink, self._on_line = name, sink, on_line
        self._head = bytearray()
        self._tail = bytearray()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        if self._sink:
            self._sink.write(data)
            self._sink.flush()
        room = KEPT // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        del self._tail[: -KEPT // 2]
        if self._on_line:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._on_line(self.name, line.decode(errors="replace").rstrip("\r"))

    def close(self) -> None:
        if self._on_line and self._rest:
            self._on_line(self.name, self._rest.decode(errors="replace"))
            self._rest = b""

    @property
    def text(self) -> str:
        return (self._head + self._tail).decode(errors="replace")


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    deadline: Deadline | None = None,
    cancellation: Cancellation | None = None,
    doing: str = "",
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    merged: bool = False,
    on_line: Line | None = None,
    standard_input: bytes | None = None,
) -> Outcome:
    """Run ``argv`` to its end in a session of its own and return what came of it.

    ``stdout`` and ``stderr`` are files that also get the streams; ``merged`` sends the second into the first;
    ``on_line(stream, line)`` is told each line. Raises TimeOutError when ``deadline`` passes and StoppedError
    when ``cancellation`` is requested, both after the whole process group is gone; OSError when it can't be started.
    """
    deadline = deadline or Deadline.never()
    started = time.monotonic()
    child = subprocess.Popen(
        argv,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.PIPE if standard_input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        start_new_session=True,
    )
    streams = {"stdout": _Stream("stdout", stdout, on_line), "stderr": _Stream("stderr", stderr, on_line)}
    with child, _ended_with_us(child):
        if child.stdin and standard_input is not None:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(standard_input)
            child.stdin.close()
        _pump(child, streams, deadline, cancellation, doing or argv[0])
    for stream in streams.values():
        stream.close()
    return Outcome(child.returncode, streams["stdout"].text, streams["stderr"].text, time.monotonic() - started)


def _pump(
    child: subprocess.Popen[bytes],
    streams: Mapping[str, _Stream],
    deadline: Deadline,
    cancellation: Cancellation | None,
    doing: str,
) -> None:
    ended = os.pidfd_open(child.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ, "ended")
            if child.stdout:
                selector.register(child.stdout, selectors.EVENT_READ, "stdout")
            if child.stderr:
                selector.register(child.stderr, selectors.EVENT_READ, "stderr")
            if cancellation:
                selector.register(cancellation.fileno(), selectors.EVENT_READ, "cancelled")
            _pump_until_ended(selector, streams, deadline, cancellation, doing)
    finally:
        os.close(ended)


def _pump_until_ended(
    selector: selectors.BaseSelector,
    streams: Mapping[str, _Stream],
    deadline: Deadline,
    cancellation: Cancellation | None,
    doing: str,
) -> None:
    drained: Deadline | None = None
    while drained is None or (not drained.expired and _open_pipes(selector)):
        if drained is None and deadline.expired:
            raise TimeOutError(f"{doing} was stopped: it took longer than {deadline.given:g} s")
        limit = (drained or deadline).remaining()
        for key, _ in selector.select(None if limit == float("inf") else limit):
            if key.data == "cancelled" and cancellation and drained is None:
                cancellation.check(doing)
            elif key.data == "ended":
                drained = Deadline.after(DRAIN)
                selector.unregister(key.fd)
            elif key.data in streams:
                data = os.read(key.fd, 1 << 16)
                if data:
                    streams[key.data].feed(data)
                else:
                    selector.unregister(key.fd)
        if drained is not None and cancellation:
            with contextlib.suppress(KeyError):
                selector.unregister(cancellation.fileno())


def _open_pipes(selector: selectors.BaseSelector) -> bool:
    return any(key.data in ("stdout", "stderr") for key in selector.get_map().values())


@contextlib.contextmanager
def _ended_with_us(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever ends the wait early ends the child's whole process group too."""
    try:
        yield
    except BaseException:
        end_group(child.pid)
        child.wait()
        raise


def end_group(group: int, grace: float = GRACE) -> None:
    """TERM for a process group, KILL for what is left after ``grace`` seconds; returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            return
        moment = Deadline.after(grace)
        while not moment.expired:
            if not _group_alive(group):
                return
            time.sleep(0.01)


def _group_alive(group: int) -> bool:
    """Whether a member of the group still runs; zombies, which only wait for their parent, do not count."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] not in "ZX":
                return True
    return False


def tagged(tag: str, value: str) -> Iterator[int]:
    """The ids of processes whose environment had ``tag`` = ``value`` at start; not ours, only what we may read."""
    wanted = f"{tag}={value}".encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = Path(entry.path, "environ").read_bytes()
            except OSError:
                continue
            if wanted in environment.split(b"\0"):
                yield int(entry.name)
