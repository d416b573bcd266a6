"""Hosts that are there already: adopted with their owner's key, never destroyed."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Hand


@dataclass
class Host:
    """An SSH server of this machine, on a port of its own."""

    port: int
    #: The private key that may log in.
    key: Path
    #: The public host key.
    host_key: str
    server: subprocess.Popen[bytes]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    for name in ("host", "owner"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    (tmp_path / "authorized").write_text((tmp_path / "owner.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    options = [f"HostKey={tmp_path}/host", f"AuthorizedKeysFile={tmp_path}/authorized", "StrictModes=no", "UsePAM=no"]
    options += [f"Port={port}", "ListenAddress=127.0.0.1", "PidFile=none", "PermitRootLogin=prohibit-password"]
    arguments = [argument for option in options for argument in ("-o", option)]
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *arguments], stderr=subprocess.DEVNULL)
    _wait_for(port)
    try:
        yield Host(port, tmp_path / "owner", (tmp_path / "host.pub").read_text().strip(), server)
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.mark.parametrize("how", ["existing", "nothing to run"])
def test_a_host_is_adopted_used_and_left_alone(lay: Any, job: Path, host: Host, how: str) -> None:
    (job / "inventory/peons").write_text("[peons]\nmine\n")
    (job / "inventory/host_vars").mkdir()
    told: dict[str, Any] = {
        "ansible_host": "127.0.0.1",
        "ansible_port": host.port,
        "ansible_user": getpass.getuser(),
        "ansible_ssh_private_key_file": str(host.key),
        "ssh_host_key": host.host_key,
        "peon_groups": ["existing"],
    }
    if how != "existing":
        told |= {"peon_groups": [], "cloud_provisioning_command": None}
    (job / "inventory/host_vars/mine.yml").write_text(yaml.safe_dump(told))
    hand: Hand = lay(job, uuid="adopter")
    hand.play("setup.yml", "-e", "adept_context=setup")
    hand.play("run.yml", "-e", "adept_context=run")
    hand.play("cleanup.yml", "-e", "adept_context=cleanup")
    assert "did well" in hand.result("mine")
    assert host.server.poll() is None
    sessions = subprocess.run(["pgrep", "--parent", str(host.server.pid)], check=False, capture_output=True, text=True)
    assert sessions.stdout == "", "a connection to the host is still open"
    assert set(hand.states().values()) <= {"destroyed", "up"}
