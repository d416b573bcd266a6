"""A job in one of its contexts: what was asked for, its variables, and the means by which its steps work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exekutir import secrets
from exekutir.locks import Holder, LockFolder, lock_folder
from exekutir.options import Options
from exekutir.workspace import Workspace
from kommandir import atomic, yamlfile
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, KommandirError
from kommandir.events import FILE_NAME as EVENTS
from kommandir.events import EventStream, Subscriber
from kommandir.redaction import Redactor

#: Variables that the journal keeps of a context: what cleanup needs to find the kommandir where it can't read any.
REMEMBERED = (
    *("uuid", "job_path", "job_name", "lock_dir", "lock_lease", "kommandir_groups", "kommandir_name_prefix"),
    *("kommandir_address", "kommandir_port", "kommandir_user", "kommandir_host_key"),
)
#: In the journal: the user of the job is gone from the kommandir that it used, or that kommandir is gone with it.
ACCOUNT_REMOVED = "account_removed"


@dataclass(slots=True, kw_only=True)
class Job:
    """One job on its way to the end state of ``context``."""

    context: str
    options: Options
    workspace: Workspace
    #: The completed variables of the exekutir, ``-e`` included.
    variables: dict[str, Any]
    #: Every ``-e`` so far.
    extra: dict[str, Any]
    deadline: Deadline
    cancellation: Cancellation
    events: EventStream
    #: How often who waits is told again, and when it was last told.
    _told: dict[str, float] = field(default_factory=dict)

    @property
    def uuid(self) -> str:
        """What makes this job's names unique: valid as the name of a user and of a host."""
        return str(self.variables["uuid"])

    @property
    def name(self) -> str:
        """What people call the job."""
        return str(self.variables["job_name"])

    @property
    def path(self) -> Path:
        """The folder of the job."""
        return Path(str(self.variables["job_path"]))

    def setting(self, name: str) -> Any:
        """The value of a known variable: the exekutir's, else the job's own, else the default."""
        from exekutir.variables import schema

        if schema.is_set(self.variables, name):
            return self.variables[name]
        return schema.value(self._of_the_job(), name)

    def _of_the_job(self) -> dict[str, Any]:
        try:
            return _kept(self.workspace.kommandir_vars)
        except ExekutirError:  # cleanup goes on without; the other contexts have validated it before
            return {}

    @property
    def locks(self) -> LockFolder:
        """The locks of the kommandirs, with this job as who asks for them."""
        given = self.variables.get("lock_timeout")
        deadline = self.deadline.within(float(given) if given is not None else None)
        lease = self.variables.get("lock_lease")
        return LockFolder(
            lock_folder(self.variables),
            self.uuid,
            self.context,
            deadline,
            self.cancellation,
            self.wait,
            None if lease is None else float(lease),
        )

    def wait(self, what: str, holders: list[Holder]) -> None:
        """Tell, every now and then, what is waited for and who has it."""
        moment = time.monotonic()
        if moment - self._told.get(what, float("-inf")) > 15:
            self._told[what] = moment
            for_whom = ", ".join(map(str, holders)) or "somebody who left no note"
            since = holders[0].since if holders else None
            self.events.emit("waiting", **{"for": f"lock {what}"}, holder=for_whom, since=since)

    @contextlib.contextmanager
    def phase(self, name: str, *, always: bool = False) -> Iterator[None]:
        """Tell when a part of the transition starts, ends, and how; a signal or a passed deadline stops it before.

        ``always`` is for what has to be done though the deadline has passed.
        """
        self.cancellation.check(name)
        if not always:
            self.deadline.check(name)
        started = time.monotonic()
        self.events.emit("phase_started", phase=name)
        outcome, detail = "failed", ""
        try:
            yield
            outcome = "ok"
        except ExekutirError as error:
            detail = error.what
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            self.events.emit("phase_finished", phase=name, seconds=seconds, outcome=outcome, detail=detail)


def load(
    context: str, options: Options, workspace: Workspace, cancellation: Cancellation, subscriber: Subscriber
) -> Job:
    """A job from its workspace and what was asked for; the completed variables are kept there.

    Raises MistakesError for whatever is wrong with them. In ``cleanup`` broken or missing variables are replaced by
    what the journal remembers, with a warning, since cleanup has to go on.
    """
    from exekutir.variables import parse_extra

    extra = {**_kept(workspace.extra_vars), **parse_extra(options.extra)}
    warnings: list[str] = []
    try:
        variables = _completed(options, workspace, extra)
    except (ExekutirError, OSError) as error:
        if context != "cleanup":
            raise
        variables = _remembered(workspace, error)
        warnings.append(f"the variables can't be read; cleanup goes on with those of the journal: {error}")
    redactor = Redactor(_secrets(variables, extra, workspace))
    events = EventStream(
        workspace.results / EVENTS if workspace.results.is_dir() or context == "setup" else None, redactor, context
    )
    events.subscribe(subscriber)
    job = Job(
        context=context,
        options=options,
        workspace=workspace,
        variables=variables,
        extra=extra,
        deadline=Deadline.after(options.timeout),
        cancellation=cancellation,
        events=events,
    )
    for warning in warnings:
        events.emit("warning", message=warning)
    return job


def _completed(options: Options, workspace: Workspace, extra: Mapping[str, Any]) -> dict[str, Any]:
    from exekutir.variables import completed

    path = workspace.exekutir_vars
    user = yamlfile.mapping(path) if path.exists() else yamlfile.Document({}, str(path))
    named = Path(options.job) if options.job else None
    return completed(user, extra, job=named, workspace=workspace.path)


def keep_variables(job: Job) -> None:
    """Write the completed variables and every ``-e`` to the workspace, readable by their owner alone."""
    try:
        user = yamlfile.mapping(job.workspace.exekutir_vars).value if job.workspace.exekutir_vars.exists() else {}
        own = {name: value for name, value in job.variables.items() if name not in job.extra or name in user}
        for name in ("uuid", "job_path", "job_name"):
            own[name] = job.variables[name]
        if own != user:
            atomic.write(job.workspace.exekutir_vars, _rewritten(job.workspace.exekutir_vars, user, own), mode=0o600)
        if job.extra:
            atomic.write(job.workspace.extra_vars, "---\n" + yamlfile.dump(job.extra), mode=0o600)
    except OSError as error:
        raise KommandirError(
            f"the variables can't be kept in {job.workspace.path}: {error.strerror}",
            hint="free some space or make the workspace writable, then run the same command again",
        ) from error


def _rewritten(path: Path, user: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The user's text with what is new at its end, comments and all; written anew only where a value changed."""
    new = {name: value for name, value in own.items() if name not in user}
    if user and all(own.get(name) == value for name, value in user.items()):
        return path.read_text().rstrip("\n") + "\n\n# Completed by exekutir.\n" + yamlfile.dump(new)
    return "---\n" + yamlfile.dump(dict(own))


def _kept(path: Path) -> dict[str, Any]:
    return dict(yamlfile.mapping(path).value) if path.exists() else {}


def _remembered(workspace: Workspace, error: Exception) -> dict[str, Any]:
    for entry in reversed(list(workspace.journal.entries())):
        if entry.action == "context_started":
            return {name: entry.data[name] for name in REMEMBERED if entry.data.get(name) is not None}
    raise error


def _secrets(variables: Mapping[str, Any], extra: Mapping[str, Any], workspace: Workspace) -> Iterator[str]:
    """All secrets that the job's own folder, its workspace and its variables hold."""
    yield from secrets.of_variables(variables, extra)
    yield from secrets.of_folder(workspace.kommandir)
    if variables.get("job_path"):
        yield from secrets.of_folder(Path(str(variables["job_path"])))
