"""Copies of the repositories that jobs ask for, filled once a kommandir by root, read by every job.

A job's own cache is then filled from the copy without asking the network: git is told to read a repository's URL as the
path of its copy (``url.PATH.insteadOf``), which the role ``caches_filled`` does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kommandir import process
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, KommandirError, UsageError
from kommandir.hosting import locking
from kommandir.hosting.places import Places

#: What root may fetch from: what anybody can read. Local paths and ssh would let jobs see what only root may see.
_SCHEMES = re.compile(r"(https?|git)://")
#: A URL whose name of a user may be a token, or has a password with it.
_PASSWORD = re.compile(r"https?://[^/]*@|[a-z]+://[^/@]*:[^/@]*@")
#: In a copy: it could not be brought up to date, so jobs are not to take it for the repository.
STALE = "exekutir-stale"


def folder(repository: str, places: Places | None = None) -> Path:
    """Where the copy of a repository lies, whether there is one or not."""
    name = hashlib.sha256(repository.encode()).hexdigest()[:24]
    return (places or Places()).mirrors / f"{name}.git"


def fill(wanted: Sequence[Mapping[str, Any]], places: Places, *, deadline: Deadline) -> dict[str, Any]:
    """Copy, or bring up to date, the ``repo`` of each entry of ``git_cache_args``.

    The answer: {ready: [repo, ...], refused: {repo: why}}. What can't be copied is no error: a job that has rights of
    its own fetches it itself. Raises UsageError when the entries are none, KommandirError when there is no git or no
    room, LockError.
    """
    repositories = list(dict.fromkeys(_repository(entry) for entry in wanted))
    places.mirrors.mkdir(parents=True, exist_ok=True)
    if not shutil.which("git"):
        raise KommandirError("git is not installed on the kommandir", hint="apt-get install git")
    ready, refused = [], {}
    for repository in repositories:
        try:
            _brought_up_to_date(repository, folder(repository, places), deadline)
            ready.append(repository)
        except ExekutirError as error:
            deadline.check("the copies of repositories")
            _mark_stale(folder(repository, places))
            refused[repository] = f"{error.what}: {error.why}" if error.why else error.what
    return {"ready": ready, "refused": refused}


def _repository(entry: object) -> str:
    repository = entry.get("repo") if isinstance(entry, Mapping) else None
    if not isinstance(repository, str) or not repository:
        raise UsageError("an entry of `git_cache_args` has no `repo`")
    return repository


def _demand_public(repository: str) -> None:
    if not _SCHEMES.match(repository):
        raise UsageError("only https, http and git URLs are copied for all jobs")
    if _PASSWORD.match(repository):
        raise UsageError("its URL has a password or a token, which other jobs must not see")


def _brought_up_to_date(repository: str, mirror: Path, deadline: Deadline) -> None:
    _demand_public(repository)
    with locking.held(mirror.with_suffix(".lock"), f"the copy of {repository}"):
        if not (mirror / "HEAD").exists():
            new = mirror.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            _git(["clone", "--quiet", "--mirror", "--", repository, str(new)], deadline)
            _allow(mirror, deadline)
            new.rename(mirror)
        else:
            # What nothing names any more stays: a job may be reading it.
            _git(["-C", str(mirror), "-c", "gc.auto=0", "fetch", "--quiet", "--prune", "origin"], deadline)
            (mirror / STALE).unlink(missing_ok=True)


def _mark_stale(mirror: Path) -> None:
    if mirror.is_dir():
        (mirror / STALE).touch()


def _allow(mirror: Path, deadline: Deadline) -> None:
    """Let everybody read it: git reads what is another user's only where the system says so."""
    safe = ["safe.directory", str(mirror), f"^{re.escape(str(mirror))}$"]
    with locking.held(mirror.parent / ".config.lock", "git's settings of this host"):
        _git(["config", "--system", "--replace-all", *safe], deadline)


def _git(words: Sequence[str], deadline: Deadline) -> None:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        # Without root's own credentials, wherever they may be.
        "HOME": "/nonexistent",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "git:http:https",
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        **{name: os.environ[name] for name in ("GIT_CONFIG_SYSTEM", "GIT_SSL_CAINFO") if name in os.environ},
    }
    os.umask(0o022)
    command = ["git", "-c", "credential.helper=", *words]
    outcome = process.run(command, environment=environment, deadline=deadline, doing=f"git {words[0]}")
    if not outcome.good:
        raise KommandirError(f"git failed with {outcome.end}", why=outcome.stderr)
