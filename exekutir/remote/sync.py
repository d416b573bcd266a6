"""The kommandir's workspace, to and fro: the exekutir's copy wins on the way there, the kommandir's on the way back.

Each call is one rsync over SSH; take the host from ``multiplexing.multiplexed``, and all of them share a connection. A
mark that is the last thing to be written there says that a workspace is the one which was sent, so nothing is ever
brought back from a home that is new, half filled or somebody else's.

Clocks do not matter: files are told apart by size and by the very mtime (nanoseconds) that travelled with them. Whoever
rewrites a file gives it a new mtime, be his clock a day behind; and before results are trusted, contents are compared.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import select
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from exekutir.remote import travelling
from exekutir.remote.control import ConnectionLostError
from exekutir.remote.host import RemoteHost
from exekutir.remote.rsync import STRANGER, NoSpaceError, StrangerError, SyncReport, Transfer, transferred
from kommandir import atomic
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError
from kommandir.events import EventStream

__all__ = ["StrangerError", "Sync", "SyncReport"]

T = TypeVar("T")

#: Seconds between two tries to reach a host again.
PAUSE = 2.0
#: An attempt that took as many seconds had reached the host before the connection broke.
REACHED = 60.0
#: Lines of a dry run for files that differ or are missing here, and for those that are only here.
_DIFFERENT = re.compile(r"^(?:>f|c[fdLDS])\S* (.*)$|^\*deleting +(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """A workspace in two places, and how it travels between them.

    Every call raises KommandirError (a disk is full and which, no rsync, files that can't be read), UnreachableError
    (HostKeyError; ConnectionLostError where the connection stays broken), TimeOutError or StoppedError, with the first
    lines of what rsync said. What is cut off or killed leaves old files, and is gone on with by the next call.
    """

    #: Logs in as the user of the job.
    host: RemoteHost
    #: The exekutir's copy of the kommandir's workspace.
    local: Path
    #: The kommandir's workspace there: the home of that user.
    remote: str
    #: The user's ``sync_excludes``: names at the top, or paths and patterns from there; they never travel.
    excludes: Sequence[str] = ()
    #: The job; processes are tagged with it.
    uuid: str = ""
    deadline: Deadline
    cancellation: Cancellation
    #: Gets every command and all that it said.
    log: Path | None = None
    #: Told how far a long transfer is, every few seconds, as the event ``transfer``.
    events: EventStream | None = None
    #: Seconds for which a connection that broke is made again; 0: not at all.
    reconnect_timeout: float = 0.0
    #: Whether the job is to end: what it has cached there is given up where the disk is full.
    ending: bool = False

    def push(self, *, laid: bool = False) -> SyncReport:
        """Make the workspace there what the copy here is; all else there is deleted, but for what only it has.

        What was done there and never brought back, as the exekutir was killed, is brought back first: results,
        journal, the records of the peons and, unless the job was ``laid`` anew since, their host variables.
        """
        if self._mark.unfetched:
            rules = travelling.state_back(self.excludes, host_vars=not laid, results=True)
            with contextlib.suppress(StrangerError):  # that home is gone or was never whole: the copy is all there is
                self._fetched(rules, f"bringing back what was left on {self.host.name}")
        mark = _Mark(secrets.token_hex(8), unfetched=False)
        self._keep(mark)
        transfer = replace(
            self._transfer(travelling.there(self.excludes), f"sending the workspace to {self.host.name}"),
            there=True,
            together=False,
            before=f"rm -f {self._mark_there}",
            after=f"chmod 700 {self._there()} && printf %s {mark.token} >{self._mark_there}.new "
            f"&& mv {self._mark_there}.new {self._mark_there} && {{ {self._reserved}; }}",
            # A file that is too large must not fill the disk of all jobs with the half of it that fitted.
            unwritten=f"find {self._there()} -name {travelling.PARTIAL} -prune -exec rm -rf {{}} +",
        )
        report = self._again(lambda: self._sent(transfer))
        self._keep(replace(mark, unfetched=True))
        return report

    def _sent(self, transfer: Transfer) -> SyncReport:
        """Send it; where the disk there is full, once more with all first deleted that is to be."""
        try:
            return transferred(transfer)[0]
        except NoSpaceError:
            given_up = f"rm -rf {self._there('cache')} {self._there('.cache')}" if self.ending else ":"
            before = f"{transfer.before}; {given_up}"
            return transferred(replace(transfer, before=before, delete="before"))[0]

    def pull(self) -> SyncReport:
        """Make the copy here what the workspace there is, but for secrets and what only the exekutir has.

        The state of the peons comes first and all at once, so that a cut never parts the journal from the records.
        Raises StrangerError when it is not what was sent there.
        """
        self.pull_state()
        doing = f"bringing the workspace back from {self.host.name}"
        transfer = replace(self._transfer(travelling.back(self.excludes), doing), together=False)
        return self._again(lambda: transferred(transfer)[0])

    def pull_state(self) -> SyncReport:
        """Bring back only what a cleanup on another kommandir needs: the journal, and the peons' records, host
        variables and keys. It is small: ask for it whenever a peon is begun or gone while ``job.xn`` runs."""
        rules = travelling.state_back(self.excludes)
        return self._fetched(rules, f"bringing the state of the peons back from {self.host.name}")

    def verified(self) -> tuple[str, ...]:
        """Compare by content what the job is judged by: results, journal, records, host variables and keys of peons.

        What differs is brought again; its paths come back. Raises KommandirError when it still differs after that.
        Once this was good, what was done there counts as brought back.
        """
        rules = travelling.state_back(self.excludes, results=True)
        found = self._differing(rules)
        if found:
            self._fetched(rules, f"bringing {len(found)} files back again from {self.host.name}", ("--checksum",))
            left = self._differing(rules)
            if left:
                raise KommandirError(
                    f"{len(left)} files here are not what they are there, though they were brought back twice",
                    host=self.host.name,
                    why="\n".join(left),
                    log=self.log,
                    hint="see what still writes them there, or whether a disk is broken; then run the same context "
                    "again",
                )
        self._keep(replace(self._mark, unfetched=False))
        return found

    def _fetched(self, rules: Sequence[str], doing: str, options: tuple[str, ...] = ()) -> SyncReport:
        transfer = self._transfer(rules, doing, options)
        return self._again(lambda: transferred(transfer)[0])

    def _differing(self, rules: Sequence[str]) -> tuple[str, ...]:
        options = ("--dry-run", "--checksum", "--out-format=%i %n")
        transfer = self._transfer(rules, f"comparing the results with those on {self.host.name}", options)
        outcome = self._again(lambda: transferred(transfer)[1])
        return tuple(changed or deleted for changed, deleted in _DIFFERENT.findall(outcome.stdout))

    def _transfer(self, rules: Sequence[str], doing: str, options: tuple[str, ...] = ()) -> Transfer:
        """One on the way back, from the workspace that was sent and no other."""
        token = shlex.quote(self._mark.token or "none was sent")
        return Transfer(
            host=self.host,
            local=self.local,
            remote=self.remote,
            there=False,
            doing=doing,
            rules=rules,
            before=f'[ "$(cat {self._mark_there} 2>/dev/null)" = {token} ] || {{ echo {STRANGER} >&2; exit 1; }}',
            options=options,
            together=True,
            uuid=self.uuid,
            deadline=self.deadline,
            cancellation=self.cancellation,
            log=self.log,
            events=self.events,
        )

    def _again(self, attempt: Callable[[], T]) -> T:
        """Try until it works, the connection stays broken for too long, or something else is wrong."""
        patience: Deadline | None = None
        while True:
            began = time.monotonic()
            try:
                return attempt()
            except ConnectionLostError:
                if patience is None or time.monotonic() - began > REACHED:
                    patience = self.deadline.within(self.reconnect_timeout)
                if patience.expired:
                    raise
            select.select([self.cancellation.fileno()], [], [], min(PAUSE, patience.remaining()))
            self.cancellation.check(f"waiting for {self.host.name} to answer again")

    def _there(self, path: str = "") -> str:
        """A path in the workspace there, for a shell."""
        return shlex.quote(f"{self.remote.rstrip('/')}/{path}")

    @property
    def _mark_there(self) -> str:
        return self._there(travelling.MARK)

    @property
    def _reserved(self) -> str:
        """Commands that make the reserve; that there is no room for it is no failure."""
        file = self._there(travelling.RESERVE)
        made = f"mkdir -p {self._there('.cache')} && head -c 1048576 /dev/zero >{file}"
        return f"[ -s {file} ] || {{ {made}; }} 2>/dev/null || rm -f {file}"

    @property
    def _mark(self) -> _Mark:
        try:
            told = json.loads((self.local / travelling.MARK).read_text())
            return _Mark(str(told["token"]), bool(told["unfetched"]))
        except (OSError, ValueError, KeyError, TypeError):
            return _Mark()

    def _keep(self, mark: _Mark) -> None:
        text = json.dumps({"token": mark.token, "unfetched": mark.unfetched})
        try:
            atomic.write(self.local / travelling.MARK, text, mode=0o600)
        except OSError as error:
            raise KommandirError(
                f"the workspace {self.local} can't be written: {error.strerror}",
                hint="free some space or make it writable, then run the same command again",
            ) from error


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was sent last."""

    #: What the mark on the kommandir says when it is that workspace.
    token: str = ""
    #: Whether something may have been done there that was not brought back.
    unfetched: bool = False
