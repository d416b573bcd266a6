"""The cache of a job on a remote kommandir is filled from the copy that all of its jobs share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from kommandir.providers import podman_engine
from tests.calls import Calls
from tests.kommandirs import containers

Make = Callable[..., Calls]
REPOSITORY, URL = "/srv/a-repository", "git://127.0.0.1/a-repository"
_SERVE = "git daemon --detach --pid-file=/run/git.pid --base-path=/srv --export-all --listen=127.0.0.1"
_WAIT = f"until git ls-remote {URL} >/dev/null 2>&1; do sleep 0.1; done"


def test_a_job_gets_its_repositories_from_the_copy(remote_calls: Make, kommandir_state: Path) -> None:
    calls = remote_calls("caches", "ci")
    calls("setup")
    engine, container = podman_engine.Engine(f"{kommandir_state}/podman"), containers(kommandir_state)[0]
    git = f"git -C {REPOSITORY} -c user.name=t -c user.email=t@example.com"
    commit = f"git init --quiet {REPOSITORY} && {git} commit --quiet --allow-empty -m one"
    engine.demand("exec", container, "sh", "-c", f"{commit} && {_SERVE} >/dev/null 2>&1; {_WAIT}")
    try:
        wanted = [{"repo": URL, "cachepath": "it"}]
        calls("setup", "-e", json.dumps({"git_cache_args": wanted}))
        copies = engine.demand("exec", container, "sh", "-c", "ls -d /var/cache/exekutir/git/*.git").split()
        assert len(copies) == 1
        # Its cache has the real URL, and what it has came from the copy.
        assert URL in engine.demand("exec", container, "cat", f"/home/{calls.uuid}/cache/it/.git/config")
        calls("cleanup")
    finally:
        engine.demand("exec", container, "sh", "-c", f"kill $(cat /run/git.pid); rm -r {REPOSITORY}")
