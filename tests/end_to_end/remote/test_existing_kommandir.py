"""A host that is there already as a kommandir, reached over a wire of its own, which can be cut."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kommandir import yamlfile
from kommandir.providers import podman_engine, ssh
from tests.calls import BIN, PATIENCE, Calls
from tests.faults.conftest import SLOW_RUN, job_with_peons
from tests.kommandirs import lay_wire, prefix, until

Make = Callable[..., Calls]


@dataclass
class Wired:
    """A container that serves as somebody's host: an address, a port, a key."""

    state: Path
    name: str
    address: str
    host_key: str
    key: Path
    wire: str

    def inside(self, *words: str) -> str:
        return podman_engine.Engine(f"{self.state}/podman").demand("exec", self.name, *words)

    def cut(self) -> None:
        subprocess.run(["ip", "link", "set", self.wire, "down"], check=True)

    def mended(self) -> None:
        subprocess.run(["ip", "link", "set", self.wire, "up"], check=True)


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    state, name = tmp_path / "hosts", f"{prefix(tmp_path)}-existing"
    key = tmp_path / "root_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    environment = {**os.environ, "EXEKUTIR_STATE": str(state)}
    program = [str(BIN / "kommandir"), "provider", "call", "podman"]
    creation = [*program, "create", name, "--uuid", "lab", "--expires", "4000000000", "--kommandir"]
    told = subprocess.run(
        [*creation, "--public-key", f"{key}.pub"], env=environment, check=True, capture_output=True, text=True
    )
    wire = f"x{os.getpid() % 100000}"
    try:
        yield _connected(state, name, key, wire, str(yamlfile.parse(told.stdout, "told").value["ssh_host_key"]))
    finally:
        subprocess.run([*program, "destroy", name, "--uuid", "lab"], env=environment, check=True)
        subprocess.run(["ip", "link", "delete", wire], check=False, capture_output=True)


def _connected(state: Path, name: str, key: Path, wire: str, host_key: str) -> Wired:
    """Lay a wire into the container, and have an SSH server listen at its other end."""
    net = f"10.213.{os.getpid() % 250}"
    lay_wire(state, name, wire, net)
    made = Wired(state, name, f"{net}.2", host_key, key, wire)
    made.inside("/usr/sbin/sshd", "-f", f"{ssh.FOLDER}/sshd_config", "-o", "Port=22")
    return made


def on_existing(calls: Calls, wired: Wired, **more: object) -> None:
    variables = {
        "kommandir_groups": ["existing"],
        "kommandir_name_prefix": prefix(calls.state),
        "kommandir_address": wired.address,
        "kommandir_host_key": wired.host_key,
        **more,
    }
    calls.environment = {
        "EXEKUTIR_EXTRA_VARS": json.dumps(variables),
        "ANSIBLE_PRIVATE_KEY_FILE": str(wired.key),
    }


@pytest.mark.timeout(900)
def test_a_job_on_an_existing_host_outlives_a_cut_of_its_wire(remote_calls: Make, tmp_path: Path, wired: Wired) -> None:
    job = job_with_peons(tmp_path / "job", SLOW_RUN)
    # Of peons of both kinds, one through the podman of the kommandir.
    (job / "inventory" / "peons").write_text("[peons]\none\ntwo peon_groups='[\"podman\"]'\n")
    calls = remote_calls("ws", job, tmp_path / "state")
    on_existing(calls, wired)
    calls("setup")
    assert "provider: podman" in (calls.kommandir / "inventory" / "host_vars" / "two.yml").read_text()
    run = calls.started("run")
    until(calls, "task_started", task="Time passes")
    wired.cut()
    time.sleep(5)
    wired.mended()
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    told = [(event["task"], event["host"]) for event in calls.events() if event["event"] == "task_result"]
    assert told.count(("Time passes", "one")) == 1
    calls("cleanup", "-e", "stonith=true")
    assert calls.uuid not in wired.inside("ls", "/home").split()
    assert wired.inside("true") == ""
    assert calls.left() == []


def test_a_changed_host_key_is_refused_and_said_why(remote_calls: Make, tmp_path: Path, wired: Wired) -> None:
    calls = remote_calls("ws", "ci", tmp_path / "state")
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    wrong = " ".join(Path(f"{other}.pub").read_text().split()[:2])
    on_existing(calls, wired, kommandir_host_key=wrong)
    said = calls("setup", code=None)
    assert said.returncode in (3, 4)
    assert "key" in said.stderr
    assert wired.inside("ls", "/opt").split() == []


def test_a_login_that_is_refused_is_given_up_soon_and_names_the_key(
    remote_calls: Make, tmp_path: Path, wired: Wired
) -> None:
    calls = remote_calls("ws", "ci", tmp_path / "state")
    unknown = tmp_path / "unknown"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(unknown)], check=True)
    on_existing(calls, wired)
    calls.environment["ANSIBLE_PRIVATE_KEY_FILE"] = str(unknown)
    said = calls("setup", code=4)
    assert "can't log in with the key" in said.stderr
    assert "key.pub into that user's authorized_keys" in said.stderr
    [warning] = [event["message"] for event in calls.events() if event["event"] == "warning"]
    assert "tried again for a while" in str(warning)
