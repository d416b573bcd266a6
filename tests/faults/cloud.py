"""A cloud that is nobody's kommandir: hosts are what it was told to create and not yet to destroy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: What a job's commands run on its kommandir; the peon is reached without a network.
_PROGRAM = """import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open("{url}/" + "/".join(sys.argv[1:]), b"", 60)
if sys.argv[1] == "create":
    print("ansible_connection: local\\nhost_name: of a cloud")
"""
_GROUP = """---
cloud_provisioning_command:
  command: python3 {{ (inventory_dir | dirname ~ '/cloud.py') | quote }} create {{ peon_name | quote }}
cloud_destruction_command:
  command: python3 {{ (inventory_dir | dirname ~ '/cloud.py') | quote }} destroy {{ peon_name | quote }}
"""


class _Handler(BaseHTTPRequestHandler):
    hosts: set[str]

    def do_POST(self) -> None:
        _, action, name = self.path.split("/")
        (self.hosts.add if action == "create" else self.hosts.discard)(name)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Nothing on standard error."""


@contextmanager
def opened() -> Iterator[tuple[int, set[str]]]:
    """A cloud on all addresses of this host: its port, and the hosts that it has."""
    hosts: set[str] = set()
    handler = type("Handler", (_Handler,), {"hosts": hosts})
    with ThreadingHTTPServer(("", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], hosts
        server.shutdown()


def job(folder: Path, url: str) -> Path:
    """Write a job with one peon of the cloud."""
    (folder / "inventory" / "group_vars").mkdir(parents=True)
    (folder / "inventory" / "group_vars" / "cloud.yml").write_text(_GROUP)
    (folder / "inventory" / "peons").write_text("[peons]\nthree peon_groups='[\"cloud\"]'\n")
    (folder / "cloud.py").write_text(_PROGRAM.format(url=url))
    return folder
