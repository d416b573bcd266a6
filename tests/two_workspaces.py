"""A workspace here, and the home of its job on a host that is reached over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exekutir.remote import travelling
from exekutir.remote.host import RemoteHost
from exekutir.remote.multiplexing import multiplexed
from exekutir.remote.sync import Sync
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from tests.remote_hosts import Server


class Two:
    """A workspace here, and the home of its job there."""

    def __init__(self, folder: Path, server: Server, host: RemoteHost) -> None:
        self.here, self.there = folder / "kommandir_workspace", folder / "home"
        self.here.mkdir(mode=0o700)
        self.there.mkdir(mode=0o700)
        self.server, self.host, self.log = server, host, folder / "sync.log"

    def sync(self, **changes: Any) -> Sync:
        told = Sync(
            host=self.host,
            local=self.here,
            remote=str(self.there),
            deadline=Deadline.after(120),
            cancellation=Cancellation(),
            log=self.log,
        )
        return replace(told, **changes)

    def lay(self, files: dict[str, str], *, there: bool = False) -> None:
        for name, text in files.items():
            path = (self.there if there else self.here) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def names(self, folder: Path) -> set[str]:
        found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
        return {str(path) for path in found} - {travelling.MARK, travelling.RESERVE}


@pytest.fixture
def two(tmp_path: Path, server: Server) -> Iterator[Two]:
    with multiplexed(server.host()) as host:  # a login takes a second on a busy machine
        yield Two(tmp_path, server, host)


WORKSPACE = {
    "job.xn": "- variable: {x: 1}\n",
    "roles/mine/tasks/main.yml": "---\n",
    "journal.jsonl": "{}\n",
    "private/extra_vars.yml": "password: hidden\n",
    "private/laid.json": "[]",
    "private/gone.yml": "name: gone\n",
    "ssh/kommandir_key": "our secret\n",
    "ssh/known_hosts": "",
    "results/events.jsonl": "ours\n",
    "inventory/host_vars/kept.yml": "a: 1\n",
}
