"""A kommandir that is another host, which jobs share: found or created, set up once, and used by a user of the job's.

All state of the job stays in the exekutir's workspace; what the kommandir has of it is a copy (operational overview).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exekutir.generations import Generation, Generations
from exekutir.job import ACCOUNT_REMOVED, Job
from exekutir.kommandirs import discovery, installation, provision, requests
from exekutir.remote import environment, peon_state, running, runs, verdicts
from exekutir.remote.control import ConnectionLostError, Control
from exekutir.remote.host import RemoteHost
from exekutir.remote.multiplexing import multiplexed
from exekutir.remote.sync import Sync
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.detached.request import RunRequest
from kommandir.errors import ExekutirError, ExitCode, KommandirError, UsageError
from kommandir.journal import PeonRecord
from kommandir.process import Outcome
from kommandir.xn import XnResult

#: Seconds in which what a job has there is brought back after a signal or a passed deadline.
RESCUE = 120.0
#: Seconds in which the peons of a job must be released, or its user removed.
RELEASE = 900.0
HOUR = 3600.0


@dataclass(slots=True)
class Remote:
    """A generation of the kommandir that answers and is set up."""

    generation: Generation
    #: Where root logs in.
    host: RemoteHost
    #: root's connection; replaced when it was lost.
    control: Control
    #: Closes what is open, at the end of the context.
    closing: contextlib.ExitStack
    #: What ``kommandir host add-user`` told; empty before.
    account: dict[str, Any] = field(default_factory=dict)
    #: The job's user there, all of whose commands share one connection.
    user: RemoteHost | None = None

    @property
    def lock(self) -> str:
        """The name of the generation's ``use`` lock."""
        return self.generation.name

    def workspace_sent(self, job: Job) -> None:
        """A user named after the job, whose home is the workspace: made, then equal to the exekutir's copy.

        A run of the job that a killed exekutir left is ended by ``cleanup``; ``--attach`` leaves all as it is; else
        UsageError is raised.
        """
        self._entered(job)
        if job.options.attach:
            return
        self._demand_idle(job)
        self._sync(job).push(laid=job.context == "setup")

    def _entered(self, job: Job) -> None:
        key = job.workspace.path / "ssh" / "exekutir_key"
        public = key.with_suffix(".pub").read_bytes()
        command = ["host", "add-user", job.uuid, *(() if _has_peons(job) else ("--no-rootfs",))]
        try:
            self.account = self._as_root(job, command, stdin=public, deadline=job.deadline)
        except UsageError:
            job.workspace.journal.append(ACCOUNT_REMOVED, kommandir=self.generation.name)  # it is another workspace's
            raise
        if self.account.get("reduced"):
            job.events.emit("warning", message=f"{self.host.name}: {self.account['reduced']}")
        self.user = self.closing.enter_context(multiplexed(self.host.as_user(str(self.account["user"]), key)))

    def _demand_idle(self, job: Job) -> None:
        if not runs.open_runs(job.workspace.journal):
            return
        common: Any = {"program": self._program, "folder": self._runs, "cancellation": job.cancellation}
        deadline = job.deadline.within(RELEASE)
        if job.context == "cleanup":
            running.stop(self._user, journal=job.workspace.journal, deadline=deadline, **common)
            return
        with Control.opened(self._user, deadline=deadline, cancellation=job.cancellation) as control:
            words = runs.words(self._program, self._runs, "status")
            told = control.run(words, deadline=deadline, cancellation=job.cancellation)
        if not told.good:
            raise self._failure(told, "`kommandir job status`")
        alive = [run for run in map(json.loads, told.stdout.splitlines()) if run.get("state") == "running"]
        if alive:
            raise UsageError(
                f"a run of this job is alive: {alive[0]['id']}, since {alive[0].get('started')}",
                host=self.host.name,
                hint=f"`exekutir {alive[0].get('context')} --attach` takes it up again, `exekutir cleanup` ends it",
            )

    def workspace_returned(self, job: Job) -> None:
        """The exekutir's copy equal to the user's home, verified; also after a signal, then within ``RESCUE``."""
        if self.user is None:
            self._entered(job)
        sync = self._sync(job, rescuing=job.cancellation.requested or job.deadline.expired)
        sync.pull()
        sync.verified()

    def caches_shared(self, job: Job) -> None:
        """Root's copies of repositories and files, brought up to date; the cache of the job is filled from them."""
        command = ["host", "fill-caches", "--timeout", str(float(job.setting("git_op_timeout")))]
        wanted = json.dumps({name: job.setting(name) for name in ("git_cache_args", "file_cache_args")}).encode()
        outcome = self._ran_as_root(job, command, stdin=wanted, deadline=job.deadline)
        told = self._told(outcome, command) if outcome.good else {"refused": {"all": outcome.stderr or outcome.end}}
        for source, why in told["refused"].items():
            job.events.emit("warning", message=f"{self.host.name} keeps no copy of {source} for its jobs: {why}")

    def run_xn(self, job: Job, *, file: Path | None = None, text: str | None = None, deadline: Deadline) -> XnResult:
        """Run an xn file of the workspace there, or the text of one, detached from the connection."""
        request = RunRequest(
            id=runs.new_id(job.context),
            context=job.context,
            workspace=self._home,
            file=f"{self._home}/{file}" if file else None,
            text=text,
            uuid=job.uuid,
            environment={**self.account["environment"], **environment.passed(requests.environment_pass(job))},
            environment_pass=requests.environment_pass(job),
            extra_vars=f"{self._home}/private/{requests.extra_vars(job).name}"
            if requests.extra_vars(job).exists()
            else None,
            limit=job.options.limit,
            verbosity=job.options.verbosity,
            check=job.options.check,
        )
        means: Any = {
            "journal": job.workspace.journal,
            "events": job.events,
            "deadline": deadline,
            "cancellation": job.cancellation,
            "reconnect_timeout": float(job.setting("reconnect_timeout")),
        }
        if job.options.attach:
            run = runs.resumable(job.workspace.journal, job.context, request.what)
            if run is None:
                raise UsageError(
                    f"there is no run of {job.context} to attach to", hint=f"run `exekutir {job.context}` without it"
                )
            with peon_state.followed(self._sync(job), job.events):
                return running.attach(self._user, run, **means)
        with peon_state.followed(self._sync(job), job.events):
            return running.run_remotely(self._user, request, program=self._program, folder=self._runs, **means)

    def peons_released(self, job: Job, keep_until: int | None) -> list[PeonRecord]:
        """Have the kommandir destroy or keep what its journal knows of; its events are told here."""
        command = ["release", self._home]
        if keep_until is not None:
            command += ["--keep-until", str(keep_until)]
        left: list[str] = []
        with Control.opened(self._user, deadline=Deadline.after(RELEASE), cancellation=job.cancellation) as control:
            outcome = control.run(
                self._words(command, self.account["environment"]),
                deadline=Deadline.after(RELEASE),
                cancellation=job.cancellation,
            )
        for line in outcome.stdout.splitlines():
            told = json.loads(line)
            left += told.get("left", [])
            if "event" in told:
                job.events.emit(told.pop("event"), **{key: value for key, value in told.items() if key not in _OURS})
        if outcome.code not in (ExitCode.GOOD, ExitCode.LEFT_BEHIND):
            raise KommandirError(
                "the peons could not be released",
                host=self.host.name,
                why=outcome.stderr,
                hint="run `exekutir cleanup` again; `exekutir status` names the peons",
            )
        known = job.workspace.peon_journal.peons()
        return [known.get(name) or PeonRecord(name, "leaked") for name in left]

    def workspace_removed(self, job: Job) -> None:
        """Remove the job's user, its home and whatever of it still runs there."""
        self._as_root(job, ["host", "remove-user", job.uuid], deadline=Deadline.after(RELEASE))

    @property
    def _program(self) -> str:
        return f"{installation.PLACE}/{self.generation.release}/bin/kommandir"

    @property
    def _runs(self) -> str:
        return str(Path(self.account["state"]).parent / "run")

    @property
    def _home(self) -> str:
        return str(self.account["home"])

    @property
    def _user(self) -> RemoteHost:
        assert self.user is not None, "the workspace is sent first"
        return self.user

    def _sync(self, job: Job, *, rescuing: bool = False) -> Sync:
        return Sync(
            host=self._user,
            local=job.workspace.kommandir,
            remote=self._home,
            excludes=tuple(map(str, job.setting("sync_excludes"))),
            uuid=job.uuid,
            deadline=Deadline.after(RESCUE) if rescuing else job.deadline,
            cancellation=Cancellation() if rescuing else job.cancellation,
            log=job.workspace.path / f"sync_{job.context}.log",
            events=job.events,
            reconnect_timeout=float(job.setting("reconnect_timeout")),
            ending=job.context == "cleanup",
        )

    def _words(self, arguments: Sequence[str], environment: dict[str, str]) -> list[str]:
        settings = [f"{name}={value}" for name, value in environment.items()]
        return ["env", *settings, self._program, *arguments]

    def _as_root(self, job: Job, arguments: Sequence[str], *, stdin: bytes = b"", deadline: Deadline) -> dict[str, Any]:
        """What a ``kommandir`` command that root runs prints; raises what it ended with."""
        return self._told(self._ran_as_root(job, arguments, stdin=stdin, deadline=deadline), arguments)

    def _ran_as_root(self, job: Job, arguments: Sequence[str], *, stdin: bytes = b"", deadline: Deadline) -> Outcome:
        """How a ``kommandir`` command that root runs ended; tried again where the connection was lost before."""
        words = self._words(arguments, {})
        try:
            outcome = self.control.run(words, stdin=stdin, deadline=deadline, cancellation=job.cancellation)
        except ConnectionLostError:
            self.control.close()
            self.control = Control.opened(self.host, deadline=deadline, cancellation=job.cancellation)
            self.closing.callback(self.control.close)
            outcome = self.control.run(words, stdin=stdin, deadline=deadline, cancellation=job.cancellation)
        return outcome

    def _told(self, outcome: Outcome, arguments: Sequence[str]) -> dict[str, Any]:
        """The mapping in the last line that a command printed; before it may be what root's shell says to everybody."""
        command = f"`kommandir {' '.join(arguments)}`"
        if not outcome.good:
            raise self._failure(outcome, command)
        try:
            told = json.loads(outcome.stdout.strip().rpartition("\n")[2])
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise KommandirError(
                f"{command} printed no answer there",
                host=self.host.name,
                why=outcome.stdout or outcome.stderr,
                hint="look at what root's shell says when it starts there, then run the same command again",
            )
        return told

    def _failure(self, outcome: Outcome, command: str) -> ExekutirError:
        said = outcome.stderr or outcome.stdout
        hint = "mend that and run the same command again; `exekutir cleanup -e stonith=true` retires that host"
        return verdicts.ERRORS.get(outcome.code, KommandirError)(
            f"{command} failed there: {outcome.end}",
            host=self.host.name,
            why=said,
            hint=None if "next: " in said else hint,
        )


#: What each event has of its own.
_OURS = ("time", "context")


@contextlib.contextmanager
def discovered(job: Job) -> Iterator[Remote]:
    """The kommandir, found or created, answering, set up, with the job registered; the setup lock must be held."""
    generations = Generations(discovery.folder(job))
    key = provision.key_made(discovery.folder(job))
    found = discovery.found(job, generations, key)
    with contextlib.ExitStack() as closing:
        closing.callback(found.control.close)
        release = installation.installed(job, found)
        generation = generations.ready(found.generation, found.told, release)
        generation = generations.enter(generation, job.uuid, time.time() + float(job.setting("kommandir_lease")) * HOUR)
        job.workspace.journal.append("kommandir_used", kommandir=generation.name, uuid=job.uuid, release=release)
        yield Remote(generation, found.host, found.control, closing)


def _has_peons(job: Job) -> bool:
    """Whether the inventory of the job has peons, or may have some that only Ansible knows."""
    from exekutir.variables import job_content, peons

    content = job_content.of_workspace(job.workspace.kommandir, None)
    return bool(content.inventory.dynamic or peons.peons(content))
