"""rsync between this host and a remote one: run, followed, and its end told as a report or as an error to act upon."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exekutir.remote.control import AGAIN, ConnectionLostError
from exekutir.remote.host import RemoteHost
from exekutir.remote.host_keys import ANEW, HostKeyError
from exekutir.remote.travelling import PARTIAL
from kommandir import environment, process
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, KommandirError, TimeOutError, UnreachableError
from kommandir.events import EventStream
from kommandir.journal import now
from kommandir.process import Outcome

#: What is said before rsync runs on the remote host, when the workspace there is not the one that was sent.
STRANGER = "exekutir-sync:stranger"
#: Seconds between two notes on how far a long transfer is.
TELL_EVERY = 5.0

_VANISHED, _PARTLY, _UNWRITTEN = 24, 23, 11
#: Exit codes of a connection that broke: ssh's own, and what rsync says of a partner that went away.
_CUT = (255, 12, 10, 30, 35)
_NUMBER = r"([\d,.]+)"
_FILES = re.compile(rf"^Number of regular files transferred: {_NUMBER}", re.MULTILINE)
_BYTES = re.compile(rf"^Total transferred file size: {_NUMBER}", re.MULTILINE)
_DELETED = re.compile(rf"^Number of deleted files: {_NUMBER}", re.MULTILINE)
_SENT = re.compile(rf"^Total bytes sent: {_NUMBER}", re.MULTILINE)
_RECEIVED = re.compile(rf"^Total bytes received: {_NUMBER}", re.MULTILINE)
_GONE = re.compile(r'^file has vanished: "(.*)"', re.MULTILINE)
_DANGLING = re.compile(r'^symlink has no referent: "(.*)"$', re.MULTILINE)
#: What rsync adds to the lines that say what went wrong.
_CHATTER = re.compile(r"^(IO error encountered|rsync warning: some files vanished|rsync error: some files/attrs)")
_FAR = re.compile(r"(\d[\d,.]*)\s+(\d+)%\s+(\S+/s)")
_FULL = re.compile(r"^.*(?:No space left on device|Disk quota exceeded).*$", re.MULTILINE)

_LOGIN_REFUSED = re.compile(r"Permission denied \([a-z]")
_NO_RSYNC = re.compile(r"rsync: (command )?not found")


class StrangerError(KommandirError):
    """The workspace on the kommandir is not the one that was sent there."""


class NoSpaceError(KommandirError):
    """A disk is full; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a transfer did."""

    #: Regular files that travelled, and their size.
    files: int = 0
    bytes: int = 0
    #: Bytes on the wire, both ways.
    wire: int = 0
    deleted: int = 0
    seconds: float = 0.0
    #: Files that went away while they were on their way; no failure.
    vanished: tuple[str, ...] = ()
    #: Links that lead out of the workspace to nothing, and were left out.
    dangling: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One rsync between ``local`` and ``remote``, the contents of two folders."""

    host: RemoteHost
    local: Path
    remote: str
    #: To the remote host, or from it.
    there: bool
    #: For messages.
    doing: str
    rules: Sequence[str]
    #: Shell commands on the remote host around ``rsync "$@"``.
    before: str = ":"
    after: str = ":"
    #: The same when files can't be written there.
    unwritten: str = ":"
    options: tuple[str, ...] = ()
    #: When rsync deletes; by default nothing before all has arrived.
    delete: str = "delay"
    #: Whether files take their names only when all have arrived. It doubles the cost of many new files.
    together: bool = False
    #: Names the job's processes in their environment.
    uuid: str = ""
    deadline: Deadline
    cancellation: Cancellation
    log: Path | None = None
    #: Told how far a long transfer is, every few seconds, as the event ``transfer``.
    events: EventStream | None = None

    def argv(self, left_out: Sequence[str] = ()) -> list[str]:
        """The command. ``left_out`` are paths below the folder that is read, which do not travel."""
        filters = [f"--filter=- /{_literally(path)}" for path in left_out]
        filters += [f"--filter={rule}" for rule in self.rules]
        ours, theirs = f"{self.local}/", self.host.target(f"{self.remote.rstrip('/')}/")
        return [
            "rsync",
            "--archive",
            # Accounts differ between hosts, and neither devices nor sockets are of use on another one.
            *("--no-owner", "--no-group", "--no-devices", "--no-specials", "--chmod=ug-s"),
            # Links inside stay links; those that lead out become what they lead to. A receiver trusts no other.
            *("--copy-unsafe-links", *(() if self.there else ("--safe-links",))),
            # Whole nanoseconds of mtime: a file that was rewritten within a second with the same size is another one.
            "--modify-window=-1",
            # What is cut off is gone on with the next time.
            *(f"--delete-{self.delete}", *(("--delay-updates",) if self.together else ()), f"--partial-dir={PARTIAL}"),
            *("--stats", "--no-human-readable", *self.options, *filters),
            *(f"--rsh={self.host.remote_shell()}", f"--rsync-path={self._at_the_far_end()}"),
            *((ours, theirs) if self.there else (theirs, ours)),
        ]

    def _at_the_far_end(self) -> str:
        """rsync for the remote shell, with what comes before and, as it ended, after it; saves round trips."""
        after = f"if [ $code = 0 ]; then {self.after}; elif [ $code = {_UNWRITTEN} ]; then {self.unwritten}; fi"
        return (
            f'exekutir_sync() {{ umask 077; {self.before}; code=0; rsync "$@" || code=$?; {after} || code=1; '
            "return $code; }; exekutir_sync"
        )


def transferred(transfer: Transfer) -> tuple[SyncReport, Outcome]:
    """Run a transfer to its end.

    Raises KommandirError (full disk, no rsync, files that can't be read), UnreachableError, ConnectionLostError (may
    be tried again), HostKeyError, TimeOutError and StoppedError.
    """
    outcome = _ran(transfer, ())
    dangling = _dangling(outcome, transfer)
    if outcome.code == _PARTLY and dangling:
        # rsync counts them as errors, and then deletes nothing: once more without them.
        outcome = _ran(transfer, dangling)
    if outcome.code not in (0, _VANISHED):
        raise _failure(outcome, transfer)
    return _report(outcome, dangling), outcome


def _ran(transfer: Transfer, left_out: Sequence[str]) -> Outcome:
    argv = transfer.argv(left_out)
    if transfer.events:
        argv.insert(1, "--info=progress2")
    with _log(transfer) as log:
        if log:
            log.write(f"\n{now()} {transfer.doing}\n{shlex.join(argv)}\n".encode(errors="replace"))
        try:
            outcome = process.run(
                argv,
                environment={**environment.of_job(transfer.uuid), "LC_ALL": "C"},
                deadline=transfer.deadline,
                cancellation=transfer.cancellation,
                doing=transfer.doing,
                stdout=_Follower(transfer.doing, transfer.events) if transfer.events else None,
                stderr=log,
            )
        except FileNotFoundError as error:
            raise KommandirError("rsync is missing on this host", hint="install the package rsync") from error
        except TimeOutError as error:
            error.host, error.log = transfer.host.name, transfer.log
            raise
        if log:
            log.write(_without_progress(outcome.stdout).encode(errors="replace") + f"{outcome.end}\n".encode())
    return outcome


@contextlib.contextmanager
def _log(transfer: Transfer) -> Iterator[IO[bytes] | None]:
    """The log, opened to append; a transfer is not stopped for the lack of a log."""
    stream: IO[bytes] | None = None
    if transfer.log:
        with contextlib.suppress(OSError):
            transfer.log.parent.mkdir(parents=True, exist_ok=True)
            stream = transfer.log.open("ab", buffering=0)
    with contextlib.closing(stream) if stream else contextlib.nullcontext():
        yield stream


class _Follower(io.BytesIO):
    """Reads rsync's running count of bytes, and tells of it now and then."""

    def __init__(self, doing: str, events: EventStream) -> None:
        super().__init__()
        self._doing, self._events = doing, events
        self._told = time.monotonic()

    def write(self, data: object, /) -> int:
        text = bytes(data) if isinstance(data, bytes | bytearray) else b""
        if time.monotonic() - self._told > TELL_EVERY:
            found = _FAR.findall(text.decode(errors="replace"))
            if found:
                self._told = time.monotonic()
                size, percent, speed = found[-1]
                self._events.emit("transfer", doing=self._doing, bytes=_count(size), percent=int(percent), speed=speed)
        return len(text)


def _without_progress(text: str) -> str:
    return "\n".join(line.rpartition("\r")[2] for line in text.splitlines() if not _FAR.search(line)) + "\n"


def _report(outcome: Outcome, dangling: Sequence[str]) -> SyncReport:
    def told(pattern: re.Pattern[str]) -> int:
        found = pattern.search(outcome.stdout)
        return _count(found[1]) if found else 0

    return SyncReport(
        files=told(_FILES),
        bytes=told(_BYTES),
        wire=told(_SENT) + told(_RECEIVED),
        deleted=told(_DELETED),
        seconds=outcome.seconds,
        vanished=tuple(_GONE.findall(outcome.stderr)),
        dangling=tuple(dangling),
    )


def _count(text: str) -> int:
    return int(re.sub(r"\D", "", text) or 0)


def _dangling(outcome: Outcome, transfer: Transfer) -> list[str]:
    """Links to nothing, when they are all that went wrong: paths below the folder that was read."""
    lines = [line for line in outcome.stderr.splitlines() if line.strip() and not _CHATTER.match(line)]
    if not all(_DANGLING.match(line) or _GONE.match(line) for line in lines):
        return []
    top = str(transfer.local.absolute()) if transfer.there else transfer.remote.rstrip("/")
    found = _DANGLING.findall(outcome.stderr)
    return [path.removeprefix(f"{top}/") for path in found if path.startswith(f"{top}/")]


def _literally(path: str) -> str:
    """A path in which rsync's filter sees no pattern."""
    return re.sub(r"([\[\]*?\\])", r"\\\1", path) if re.search(r"[\[*?]", path) else path


def _failure(outcome: Outcome, transfer: Transfer) -> ExekutirError:
    said = outcome.stderr or outcome.stdout
    host, log = transfer.host.name, transfer.log
    if STRANGER in outcome.stderr:
        return StrangerError(
            f"the workspace {transfer.remote} is not the one that was sent there",
            host=host,
            log=log,
            hint="the host was made anew, or a transfer was cut off; what was brought back before is kept. Run the "
            "same context again, or `exekutir cleanup`",
        )
    full = _FULL.search(said)
    if full:
        return _no_space(full[0], transfer)
    broken = _of_the_connection(outcome, transfer)
    if broken:
        return broken
    hint = "make those files readable and writable, or leave them out with the variable `sync_excludes`"
    return KommandirError(
        f"{transfer.doing} failed: {outcome.end}",
        host=host,
        why=said,
        log=log,
        hint=hint if outcome.code == _PARTLY else None,
    )


def _no_space(line: str, transfer: Transfer) -> NoSpaceError:
    if transfer.there:
        where = f"{transfer.remote} on {transfer.host.name}"
        purge = "/opt/exekutir/RELEASE/bin/kommandir host purge --older-than 0"
        what = f"free space there (`{purge}` as root), or retire it (`stonith`)"
    else:
        where, what = f"{transfer.local} on this host", "free some space here"
    return NoSpaceError(
        f"{transfer.doing} failed: no space left for {where}",
        host=transfer.host.name if transfer.there else None,
        why=line,
        log=transfer.log,
        hint=f"{what}, then run the same command again",
    )


def _of_the_connection(outcome: Outcome, transfer: Transfer) -> ExekutirError | None:
    said, what = outcome.stderr, f"{transfer.doing} failed"
    error: ExekutirError
    if "Host key verification failed" in said or "HOST IDENTIFICATION HAS CHANGED" in said:
        error = HostKeyError(f"{what}: its key is not the one that is known")
        error.hint = f"find out whether another host answers there; {ANEW}"
    elif _LOGIN_REFUSED.search(said):
        error = UnreachableError(f"{what}: {transfer.host.user} can't log in with the key {transfer.host.key}")
        error.hint = "its account there is gone or has another key; run the same context again, which mends that"
    elif outcome.code == 127 or _NO_RSYNC.search(said):
        error = KommandirError(f"{what}: rsync is missing there", hint="install the package rsync on that host")
    elif outcome.code in _CUT:
        error = ConnectionLostError(f"{what}: the connection broke")
        error.hint = AGAIN
    else:
        return None
    error.host, error.why, error.log = transfer.host.name, said or None, transfer.log
    return error
