"""An exekutir and a kommandir in two networks, joined by a wire that drops every packet for a while.

To be run in a network namespace of its own: ``python -m tests.faults.dropped_packets FOLDER``. Prints what happened as
one JSON mapping.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kommandir.errors import KommandirError
from tests.detached_runs import Runs, items
from tests.end_to_end.remote.pursued import Exekutir
from tests.patience import until
from tests.remote_hosts import Server

HERE, THERE = "10.9.9.1", "10.9.9.2"
LINES = 120
#: Something is told for twelve seconds.
SLOW = items(f"for i in $(seq {LINES}); do echo $i; sleep 0.1; done")


class Wire:
    """A pair of interfaces, the other one in the other network."""

    def __init__(self) -> None:
        self.other = subprocess.Popen(["unshare", "-n", "sleep", "600"])
        until(lambda: _network(self.other.pid) != _network(os.getpid()))
        for command in (
            "ip link set lo up",
            f"ip link add wire0 type veth peer name wire1 netns {self.other.pid}",
            f"ip addr add {HERE}/24 dev wire0",
            "ip link set wire0 up",
        ):
            subprocess.run(command.split(), check=True)
        for command in ("ip link set lo up", f"ip addr add {THERE}/24 dev wire1", "ip link set wire1 up"):
            self.there(command)

    def there(self, command: str) -> None:
        subprocess.run([*self.entered(), *command.split()], check=True)

    def entered(self) -> list[str]:
        return ["nsenter", "-n", "-t", str(self.other.pid)]

    def drop(self, drops: bool) -> None:
        """Whatever is sent from here gets nowhere, and nobody is told."""
        self.there(f"ip link set wire1 {'down' if drops else 'up'}")


def _network(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115  it is no path


def short(exekutir: Exekutir, wire: Wire) -> dict[str, Any]:
    """The wire drops everything for five seconds."""
    pursued = exekutir.in_thread(SLOW)
    until(lambda: bool(exekutir.lines()))
    wire.drop(True)
    time.sleep(5)
    wire.drop(False)
    result = pursued.result()
    return {"outcome": int(result.outcome), "lines": exekutir.lines()}


def for_good(exekutir: Exekutir, wire: Wire) -> dict[str, Any]:
    """The wire drops everything until the kommandir is given up; later the run is taken up again."""
    pursued = exekutir.in_thread(SLOW, reconnect_timeout=3)
    until(lambda: bool(exekutir.lines()))
    wire.drop(True)
    began = time.monotonic()
    error = ""
    try:
        pursued.result()
    except KommandirError as given_up:
        error = str(given_up)
    seconds = time.monotonic() - began
    waited = [event["for"] for event in exekutir.kinds("waiting")]
    wire.drop(False)
    result = exekutir.attach()
    return {
        "outcome": int(result.outcome), "lines": exekutir.lines(), "error": error, "waited": waited, "seconds": seconds
    }  # fmt: skip


def main(folder: Path) -> dict[str, Any]:
    wire = Wire()
    told: dict[str, Any] = {}
    server = None
    try:
        (folder / "host").mkdir()
        server = Server(folder / "host", address=THERE, entered=wire.entered())
        for scene in (short, for_good):
            place = folder / scene.__name__
            (place / "workspace" / "results").mkdir(parents=True)
            runs = Runs(place / "run", place / "workspace", f"t{os.urandom(5).hex()}")
            told[scene.__name__] = scene(Exekutir(place, server, server.port, runs), wire)
    finally:
        if server is not None:
            server.stop()
        wire.other.kill()
        wire.other.wait()
    return told


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
