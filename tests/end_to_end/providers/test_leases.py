"""Hosts that are adopted, and the reaper: what is expired and ours goes, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kommandir import reaper
from kommandir.errors import ExitCode
from tests.end_to_end.providers.callers import FAR, Caller, Provider

PAST = 1_000_000_000


@pytest.fixture
def existing(own_caller: Caller, job: str) -> Iterator[Provider]:
    """The provider of hosts that are there already, as whoever runs the tests calls it."""
    found = Provider("existing", own_caller)
    yield found
    for entry in found.told("list"):
        found.destroy(entry["name"], entry["uuid"])


class Server:
    """An SSH server on a port of its own on this host."""

    def __init__(self, folder: Path) -> None:
        key = folder / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        self.key = " ".join(Path(f"{key}.pub").read_text().split()[:2])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        options = [f"Port={self.port}", "ListenAddress=127.0.0.1", f"HostKey={key}", "PidFile=none", "UsePAM=no"]
        words = [word for option in options for word in ("-o", option)]
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("sshd does not listen")

    def options(self) -> list[str]:
        return ["--address", "127.0.0.1", "--port", str(self.port), "--host-key", self.key]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A host that exists already."""
    found = Server(tmp_path)
    yield found
    found.process.terminate()
    found.process.wait()


def test_an_existing_host_is_adopted_and_survives(existing: Provider, server: Server, job: str) -> None:
    told = existing.create("old", job, *server.options(), "--user", "somebody")
    assert (told["ansible_host"], told["ansible_port"]) == ("127.0.0.1", server.port)
    assert (told["ansible_user"], told["ssh_host_key"]) == ("somebody", server.key)
    assert existing.create("old", job, *server.options(), "--user", "somebody") == told
    assert [entry["state"] for entry in existing.told("list")] == ["running"]
    # Nobody may log in with this key, but the host key was accepted, or the answer would be another one.
    assert "Permission denied" in existing.ssh(told, "true").stderr

    outcome = existing.call("destroy", "old", "--uuid", job)
    assert outcome.returncode == 0
    assert "left alone" in outcome.stderr
    assert server.process.poll() is None
    assert existing.told("list") == []
    assert existing.call("destroy", "old", "--uuid", job).returncode == 0
    refused = existing.call("reboot", "old", "--uuid", job)
    assert refused.returncode == 4


def test_another_host_key_is_refused(existing: Provider, server: Server, job: str) -> None:
    wrong = server.key[:-4] + "AAAA"
    options = [*server.options()[:-1], wrong]
    outcome = existing.caller.run(existing.create_command("old", job, *options))
    assert outcome.returncode == 3
    assert "another host key" in outcome.stderr
    assert existing.told("list") == []


def test_a_host_key_comes_from_known_hosts_or_the_caller_never_from_the_network(
    existing: Provider, server: Server, job: str, tmp_path: Path
) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("other ssh-ed25519 AAAA\n")
    options = ["--address", "127.0.0.1", "--port", str(server.port), "--known-hosts", str(known_hosts)]
    outcome = existing.caller.run(existing.create_command("old", job, *options))
    assert outcome.returncode == 2
    assert "--host-key" in outcome.stderr
    known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.key}\n")
    assert existing.create("old", job, *options)["ssh_host_key"] == server.key


def test_two_jobs_do_not_adopt_one_host_unless_both_share(existing: Provider, server: Server, job: str) -> None:
    existing.create("first", job, *server.options())
    refused = existing.caller.run(existing.create_command("second", "other", *server.options()))
    assert refused.returncode == 3
    assert f"adopted by the job {job} as first" in refused.stderr
    refused = existing.caller.run(existing.create_command("second", "other", *server.options(), "--shared"))
    assert refused.returncode == 3
    existing.create("first", job, *server.options(), "--shared")
    existing.create("second", "other", *server.options(), "--shared")
    existing.destroy("second", "other")
    assert existing.told("renew", "first", "--uuid", job, "--expires", str(PAST)) is None
    existing.create("third", "later", *server.options())


def test_a_host_that_does_not_answer_is_said_so(existing: Provider, server: Server, job: str) -> None:
    server.process.terminate()
    server.process.wait()
    outcome = existing.caller.run(existing.create_command("old", job, *server.options()))
    assert outcome.returncode == 3
    assert "shows no host key" in outcome.stderr


def test_only_what_is_expired_and_ours_is_reaped(
    own_caller: Caller, job: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEKUTIR_STATE", str(own_caller.state))
    namespace, podman, existing = (Provider(name, own_caller) for name in ("namespace", "podman", "existing"))
    for provider, more in ((namespace, []), (podman, []), (existing, server.options())):
        provider.create(f"old-{job}", job, *more, expires=PAST)
    for provider in (namespace, podman):
        provider.create(f"new-{job}", job, expires=FAR)
    renewed = f"renewed-{job}"
    namespace.create(renewed, job, expires=PAST)
    assert namespace.call("renew", renewed, "--uuid", job, "--expires", str(FAR)).returncode == 0
    stranger = namespace.directory(f"stranger-{job}")
    stranger.mkdir()

    report = reaper.reap(time.time(), dry_run=True)
    expected = {("namespace", f"old-{job}"), ("podman", f"old-{job}"), ("existing", f"old-{job}")}
    assert {(host.provider, host.name) for host in report.destroyed} == expected
    assert namespace.told("list")
    assert any("would be destroyed" in line for line in report.lines())

    report = reaper.reap(time.time(), dry_run=False)
    assert {(host.provider, host.name) for host in report.destroyed} == expected
    assert report.exit_code == ExitCode.GOOD
    assert report.unclear == [f"namespace stranger-{job}"]
    assert {f"namespace new-{job}", f"namespace {renewed}", f"podman new-{job}"} <= set(report.kept)
    assert stranger.is_dir()
    stranger.rmdir()
    left = {
        (provider.name, entry["name"]) for provider in (namespace, podman, existing) for entry in provider.told("list")
    }
    assert left == {("namespace", f"new-{job}"), ("namespace", renewed), ("podman", f"new-{job}")}
    assert reaper.reap(time.time(), dry_run=False).destroyed == []
    assert reaper.reap(FAR + 1, dry_run=False).exit_code == ExitCode.GOOD
    assert not [entry for provider in (namespace, podman) for entry in provider.told("list")]
    assert server.process.poll() is None


def test_what_cannot_be_destroyed_is_reported_and_does_not_stop_the_others(
    own_caller: Caller, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEKUTIR_STATE", str(own_caller.state))
    folder = tmp_path / "providers"
    folder.mkdir()
    stubborn = folder / "stubborn"
    stubborn.write_text(
        '#!/bin/sh\n[ "$1" = list ] || { echo "it does not want to" >&2; exit 3; }\n'
        f'echo \'- {{"name": "s", "uuid": "u", "expires": {PAST}, "created": 1, "state": "running"}}\'\n'
    )
    broken = folder / "broken"
    broken.write_text("#!/bin/sh\necho '{'\n")
    for file in (stubborn, broken):
        file.chmod(0o755)
    namespace = Provider("namespace", own_caller)
    namespace.create(f"old-{job}", job, expires=PAST)
    report = reaper.reap(time.time(), dry_run=False, workspace=tmp_path)
    assert report.exit_code == ExitCode.LEFT_BEHIND
    assert [(host.name, "it does not want to" in why) for host, why in report.failed] == [("s", True)]
    assert "broken" in report.unasked
    assert [host.name for host in report.destroyed] == [f"old-{job}"]
    assert any(line.startswith("NOT destroyed: stubborn s") for line in report.lines())
    assert report.as_dict()["exit_code"] == 9
