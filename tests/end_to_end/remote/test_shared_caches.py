"""The cache of a job on a remote kommandir is filled from the copy that all of its jobs share, and is on its peons."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calls import Calls
from tests.faults.conftest import job_with_peons
from tests.kommandirs import current, inside, job_of_commands

Make = Callable[..., Calls]
REPOSITORY, URL = "/srv/a-repository", "git://127.0.0.1/a-repository"
PACKAGE, PORT = b"a package or an image\n", 8765
_SERVE = (
    "git daemon --detach --pid-file=/run/git.pid --base-path=/srv --export-all --listen=127.0.0.1; cd /srv; "
    f"setsid python3 -m http.server --bind 127.0.0.1 {PORT} & echo $! >/run/http.pid"
)
_WAIT = f"until git ls-remote {URL}; do sleep 0.1; done; until echo >/dev/tcp/127.0.0.1/{PORT}; do sleep 0.1; done"
_RUN = """---
- name: What the peon got from the cache
  hosts: peons
  gather_facts: false
  vars_files: kommandir_vars.yml
  roles: [common]
  tasks:
    - name: It is there
      ansible.builtin.command: grep package /var/cache/exekutir/packages/a.deb /var/cache/exekutir/it/one
      changed_when: false
"""


@pytest.mark.timeout(600)
def test_a_job_gets_repositories_and_files_from_the_copies(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    def there(script: str) -> str:
        return inside(kommandir_state, current(kommandir_state), "bash", "-c", script)

    checksum = hashlib.sha256(PACKAGE).hexdigest()
    packages = [
        {"url": f"http://127.0.0.1:{PORT}/a.deb", "checksum": f"sha256:{checksum}", "cachepath": "packages/a.deb"}
    ]
    wanted = {"git_cache_args": [{"repo": URL, "cachepath": "it"}], "file_cache_args": packages}
    other = remote_calls("other", job_of_commands(tmp_path / "quick", setup="true", run="cat cache/packages/a.deb"))
    other("setup")
    git = f"git -C {REPOSITORY} -c user.name=t -c user.email=t@example.com"
    there(f"git init --quiet {REPOSITORY} && cd {REPOSITORY} && echo package >one && {git} add one")
    there(f"{git} commit --quiet -m one; printf %s {shlex.quote(PACKAGE.decode())} >/srv/a.deb")
    there(f"{{ {_SERVE}; {_WAIT}; }} >/dev/null 2>&1")
    calls = remote_calls("caches", job_with_peons(tmp_path / "job", _RUN))
    (tmp_path / "job" / "inventory" / "peons").write_text("[peons]\none\n")
    try:
        calls("setup", "-e", json.dumps(wanted))
    finally:
        there(f"kill $(cat /run/git.pid /run/http.pid); rm -r {REPOSITORY} /srv/a.deb")
    assert len(there("ls -d /var/cache/exekutir/git/*.git").split()) == 1
    # Its cache has the real URL, and what it has came from the copy.
    assert URL in there(f"cat /home/{calls.uuid}/cache/it/.git/config")
    shared = "/var/cache/exekutir/files"
    assert there(f"stat -c '%U %a' {shared} {shared}/{checksum}").splitlines() == ["root 755", "root 644"]
    calls("run")

    # With its server gone, another job can have it only from the copy.
    other("setup", "-e", json.dumps({"file_cache_args": packages}))
    other("run")
    assert not [event for event in other.events() if event["event"] == "warning"]
