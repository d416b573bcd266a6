"""A peon cannot reach the kommandir, the exekutir or anything else of this host, and cannot eat it up."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.providers.callers import Provider, addresses, left_of, members, running

#: What a peon tries, with the addresses and names that it is told: every list it prints must be empty.
_ATTEMPT = r"""
import json, os, socket, sys
told = json.load(sys.stdin)
reached = []
for family, address, port in told["servers"]:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(2)
            client.connect(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4])
            reached.append([address, port])
    except OSError:
        pass
for name in told["abstract"]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect("\0" + name)
            reached.append(name)
    except OSError:
        pass
reached += [path for path in told["files"] if os.path.exists(path) or os.path.exists("/proc/1/root" + path)]
for path in told["protected"]:
    try:
        with open(path, "r+b"):
            reached.append(path)
    except OSError:
        pass
for pid in told["processes"]:
    try:
        os.kill(pid, 0)
        reached.append(pid)
    except OSError:
        pass
print(json.dumps(reached))
"""


@pytest.fixture
def abstract() -> Iterator[str]:
    """An abstract unix socket of this host."""
    name = f"exekutir-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"\0{name}")
        server.listen()
        yield name


def _reached(provider: Provider, told: dict[str, object], attempt: dict[str, object]) -> object:
    script = (
        f"python3 - <<'SCRIPT'\nimport io, sys\nsys.stdin = io.StringIO({json.dumps(attempt)!r})\n{_ATTEMPT}\nSCRIPT"
    )
    return json.loads(provider.said(told, script))


def test_nothing_of_the_host_is_reached(
    provider: Provider, job: str, servers: list[list[object]], abstract: str
) -> None:
    peon = f"inside-{job}"
    told = provider.create(peon, job)
    assert addresses()
    attempt: dict[str, object] = {
        "servers": [*servers, [int(socket.AF_INET), "127.0.0.1", 22]],
        "abstract": [abstract],
        "files": [str(provider.caller.key), str(provider.directory(peon)), "/run/old/etc"],
        "protected": ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"],
        "processes": [os.getpid(), os.getppid()] if os.getpid() > 1000 else [os.getppid()],
    }
    assert _reached(provider, told, attempt) == []
    interfaces = provider.said(told, "ls /sys/class/net 2>/dev/null || cut -d: -f1 /proc/net/dev").split()
    assert "eth0" not in interfaces


def test_an_uplink_does_not_lead_back_to_the_host(
    provider: Provider, job: str, servers: list[list[object]], abstract: str
) -> None:
    peon = f"uplink-{job}"
    open_to_all = Path("/dev/net/tun").exists() and Path("/dev/net/tun").stat().st_mode & 0o006 == 0o006
    if provider.caller.uid and not open_to_all:
        refused = provider.caller.run(provider.create_command(peon, job, "--uplink"))
        assert refused.returncode == 3
        assert "/dev/net/tun" in refused.stderr
        return
    told = provider.create(peon, job, "--uplink")
    assert "default" in provider.said(told, "ip route")
    assert (
        _reached(
            provider, told, {"servers": servers, "abstract": [abstract], "files": [], "protected": [], "processes": []}
        )
        == []
    )
    for change in (
        "route flush table main",
        "link set lo down",
        "address add 10.0.0.9/24 dev lo",
        "route add default dev lo",
    ):
        assert "not permitted" in provider.ssh(told, f"ip {change}").stderr
    assert provider.ssh(told, "unshare -n true").returncode == (0 if provider.name == "namespace" else 1)
    again = provider.told("reboot", peon, "--uuid", job)
    assert "default" in provider.said(again, "ip route")
    record = json.loads((provider.directory(peon) / "peon.json").read_text())
    connected = {pid for pid, _ in record["uplink_processes"]}
    assert len(running(connected)) == 1
    provider.destroy(peon, job)
    assert running(connected) == set()
    assert left_of(provider, peon) == []


def test_a_peons_root_is_nobody_here(provider: Provider, job: str) -> None:
    peon = f"root-{job}"
    told = provider.create(peon, job)
    first = provider.said(told, "awk '$1 == 0 {print $2}' /proc/self/uid_map")
    if provider.name == "namespace" or provider.caller.uid == 0:
        assert int(first) not in (0, provider.caller.uid)
    else:
        assert int(first) == provider.caller.uid


def test_the_first_process_keeps_nothing_of_the_caller(namespace: Provider, job: str) -> None:
    namespace.caller.extra["EXEKUTIR_JOB"] = job
    namespace.caller.extra["SECRET_OF_THE_CALLER"] = "x"
    read, write = os.pipe()
    try:
        peon = f"clean-{job}"
        outcome = namespace.caller.run(namespace.create_command(peon, job), pass_fds=(read, write))
        assert outcome.returncode == 0, outcome.stderr
        told = namespace.create(peon, job)
        environment = namespace.said(told, "tr '\\0' '\\n' </proc/1/environ")
        assert "EXEKUTIR" not in environment
        assert "SECRET" not in environment
        assert namespace.said(told, "ls /proc/1/fd").split() == ["0", "1", "2", "3"]
        assert namespace.said(told, "readlink /proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2").split() == ["/dev/null"] * 3
        assert namespace.said(told, "keyctl show 2>/dev/null | wc -l; readlink /proc/1/cwd").split()[-1] == "/"
        for pid in members(namespace.init(peon)):
            with contextlib.suppress(ProcessLookupError):  # the end of the last connection
                assert os.getsid(pid) != os.getsid(0)
    finally:
        namespace.caller.extra.clear()
        os.close(read)
        os.close(write)


def test_a_peon_cannot_change_the_shared_root_filesystem(namespace: Provider, job: str) -> None:
    first, second = (namespace.create(f"{name}-{job}", job) for name in ("first", "second"))
    namespace.said(first, "rm -rf /usr/share/doc /etc/motd; echo bad > /etc/os-release; touch /mark")
    assert "Debian" in namespace.said(second, "cat /etc/os-release") or "Ubuntu" in namespace.said(
        second, "cat /etc/os-release"
    )
    assert namespace.ssh(second, "test -e /mark").returncode == 1


def test_links_on_a_peons_disk_do_not_lead_out(namespace: Provider, job: str) -> None:
    peon = f"links-{job}"
    told = namespace.create(peon, job)
    victim = namespace.caller.home / f"victim-{job}"
    namespace.caller.run(["sh", "-c", f"echo safe > {victim}"])
    namespace.said(told, f"ln -sfn {victim} /etc/hostname; ln -s / /root/host; ln -sfn {victim.parent} /srv/link")
    namespace.told("reboot", peon, "--uuid", job)
    namespace.destroy(peon, job)
    assert victim.read_text() == "safe\n"

    told = namespace.create(peon, job)
    namespace.said(told, "unshare -m sh -c 'umount -l /sys && rmdir /sys && ln -s /etc /sys'")
    refused = namespace.call("reboot", peon, "--uuid", job)
    assert refused.returncode == 3
    assert "/sys on the peon's disk is no directory" in refused.stderr


def test_memory_is_limited(provider: Provider, job: str) -> None:
    told = provider.create(f"memory-{job}", job, "--memory", "256")
    assert told["limits"]["memory"] == ("cgroup" if provider.caller.uid == 0 else "each process")
    eat = "python3 -c 'b = bytearray(600 << 20); print(len(b))'"
    assert provider.ssh(told, eat).returncode != 0
    assert provider.said(told, "python3 -c 'b = bytearray(64 << 20); print(len(b))'") == str(64 << 20)


def test_processes_are_limited(provider: Provider, job: str) -> None:
    told = provider.create(f"processes-{job}", job, "--processes", "40")
    assert told["limits"]["processes"] == ("cgroup" if provider.caller.uid == 0 else "each user")
    spawn = """python3 -c '
import subprocess
n = 0
try:
    while n < 100:
        subprocess.Popen(["sleep", "100"])
        n += 1
except OSError:
    pass
print(n)'
pkill sleep"""
    assert 10 < int(provider.said(told, spawn)) < 40
    assert provider.said(told, "echo well") == "well"


def test_without_limits_it_says_so(namespace: Provider, job: str) -> None:
    told = namespace.create(f"free-{job}", job, "--memory", "0", "--processes", "0")
    assert told["limits"] == {"memory": "none", "processes": "none"}


def test_a_caller_without_user_namespaces_is_told_which_setting(namespace: Provider, job: str) -> None:
    """In a user namespace of the test's own, whose setting can be changed without changing this host."""
    inner = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    words = namespace.command("describe")
    outcome = namespace.caller.run(["unshare", "--user", "--map-root-user", "sh", "-c", inner, "sh", *words])
    assert outcome.returncode == 0, outcome.stderr
    assert "available: false" in outcome.stdout
    assert "user.max_user_namespaces is 0" in outcome.stdout
    assert "podman or existing" in outcome.stdout


def test_files_are_private(namespace: Provider, job: str) -> None:
    peon = f"private-{job}"
    namespace.create(peon, job)
    directory = namespace.directory(peon)
    assert directory.stat().st_mode & 0o077 == 0
    assert Path(directory / "host_key").stat().st_mode & 0o077 == 0
