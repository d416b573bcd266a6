"""The life of a peon: created, found again, reached, rebooted, renewed, destroyed, as root and as an ordinary user."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.end_to_end.providers.callers import FAR, Provider, left_of, members, running
from tests.patience import until


def test_a_life_from_creation_to_nothing(provider: Provider, job: str) -> None:
    peon = f"web-{job}"
    told = provider.create(peon, job, "--host-name", "web")
    assert told["provider"] == provider.name
    assert told["host_uuid"] == job
    assert told["expires"] == FAR
    assert provider.said(told, "hostname; id -u; touch /root/kept; cat /proc/1/comm").split()[:2] == ["web", "0"]

    again = provider.create(peon, job, "--host-name", "web")
    assert again == told
    assert provider.said(again, "ls /root") == "kept"

    rebooted = provider.told("reboot", peon, "--uuid", job)
    assert rebooted["boots"] == told["boots"] + 1
    assert {**rebooted, "boots": 1} == {**told, "boots": 1}
    assert provider.said(rebooted, "hostname; ls /root").split() == ["web", "kept"]

    assert provider.call("renew", peon, "--uuid", job, "--expires", "3000000000").returncode == 0
    listed = [entry for entry in provider.told("list") if entry["name"] == peon]
    assert [(entry["uuid"], entry["expires"], entry["state"]) for entry in listed] == [(job, 3000000000, "running")]

    provider.destroy(peon, job)
    assert left_of(provider, peon) == []
    provider.destroy(peon, job)
    assert not [entry for entry in provider.told("list") if entry["name"] == peon]


def test_a_reboot_is_a_new_boot(namespace: Provider, job: str) -> None:
    peon = f"web-{job}"
    told = namespace.create(peon, job)
    boot = "cat /proc/sys/kernel/random/boot_id"
    first = namespace.said(told, boot)
    namespace.said(told, "setsid sleep 1000 >/dev/null 2>&1 & ")
    namespace.told("reboot", peon, "--uuid", job)
    assert namespace.said(told, boot) != first
    assert "sleep 1000" not in namespace.said(told, "ps ax")


def test_creations_at_once_make_one_host(provider: Provider, job: str) -> None:
    peon = f"one-{job}"
    children = [provider.caller.start(provider.create_command(peon, job)) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    listed = [entry for entry in provider.told("list") if entry["name"] == peon]
    assert [entry["state"] for entry in listed] == ["running"]
    assert provider.create(peon, job)["boots"] == 1


def test_a_wrong_host_key_is_refused(provider: Provider, job: str) -> None:
    peon = f"key-{job}"
    told = provider.create(peon, job)
    known_hosts = provider.directory(peon) / "known_hosts"
    known_hosts.write_text(f"{peon} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDvSwhp2WmZ9pwbvkUsYqqGDwgzHV0xRz2m4Ww4oQ6mR\n")
    outcome = provider.ssh(told, "true")
    assert outcome.returncode == 255
    assert "verification failed" in outcome.stderr


def test_another_key_does_not_log_in(namespace: Provider, job: str, tmp_path: Path) -> None:
    peon = f"key-{job}"
    told = namespace.create(peon, job)
    stranger = namespace.caller.home / f"stranger-{job}"
    namespace.caller.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)])
    own = namespace.caller.key.read_bytes()
    backup = namespace.caller.key.with_suffix(".own")
    backup.write_bytes(own)
    try:
        namespace.caller.key.write_bytes(stranger.read_bytes())
        assert namespace.ssh(told, "true").returncode == 255
    finally:
        namespace.caller.key.write_bytes(own)
        backup.unlink()


def test_a_stopped_peon_starts_again_as_it_was(namespace: Provider, job: str) -> None:
    peon = f"stop-{job}"
    told = namespace.create(peon, job)
    namespace.said(told, "echo data > /root/kept; sync")
    pid = namespace.init(peon)
    namespace.caller.run(["kill", "-9", str(pid)])
    # An ordinary user owns the peon's user namespace but none of its processes; `unshare`-like entry does it for him.
    if namespace.caller.uid:
        namespace.caller.run(["nsenter", "-t", str(pid), "-U", "kill", "-9", str(pid)])
    until(lambda: namespace.states(peon) != ["running"], 20)
    assert namespace.states(peon) == ["stopped"]
    assert namespace.ssh(told, "true").returncode == 255
    again = namespace.create(peon, job)
    assert again["ssh_host_key"] == told["ssh_host_key"]
    assert namespace.said(again, "cat /root/kept") == "data"


def test_all_processes_of_a_peon_end_with_it(namespace: Provider, job: str) -> None:
    peon = f"many-{job}"
    told = namespace.create(peon, job)
    namespace.said(told, "for i in 1 2 3; do setsid -f sleep 1000 >/dev/null 2>&1; done")
    before = members(namespace.init(peon))
    assert len(before) >= 4
    namespace.destroy(peon, job)
    assert running(before) == set()


def test_files_go_both_ways(provider: Provider, job: str) -> None:
    peon = f"files-{job}"
    told = provider.create(peon, job)
    source = provider.caller.home / f"{job}-source"
    provider.caller.run(["sh", "-c", f"echo content > {source}"])
    rsh = f"ssh -F none -i {provider.caller.key} {told['ansible_ssh_common_args']}"
    place = f"root@{told['ansible_host']}:/root/copy"
    for pair in ((str(source), place), (place, f"{source}-back")):
        outcome = provider.caller.run(["rsync", "-a", "-e", rsh, *pair])
        assert outcome.returncode == 0, outcome.stderr
    assert Path(f"{source}-back").read_text() == "content\n"


def test_describe_says_that_it_works(provider: Provider) -> None:
    told = provider.told("describe")
    assert told["available"] is True
    assert told["why"] is None
    assert {"uuid", "expires", "public-key", "memory", "processes"} <= told["options"].keys()


@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (["create", "x", "--uuid", "u"], "--expires, --public-key must be given"),
        (["create", "../x", "--uuid", "u", "--expires", "1", "--public-key", "k"], "letters"),
        (["create", "x", "--uuid", "u", "--expires", "soon", "--public-key", "k"], "is a number"),
        (["create", "x", "--uuid", "u", "--expires", "4e9", "--public-key", "/nowhere"], "/nowhere"),
        (["destroy", "x"], "--uuid must be given"),
        (["destroy", "x", "--memory", "5"], "--memory is unknown here"),
        (["explode"], "the actions are"),
    ],
)
def test_mistakes_are_named(provider: Provider, words: list[str], saying: str) -> None:
    outcome = provider.call(*words)
    assert outcome.returncode == 2
    assert saying in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert yaml.safe_load(outcome.stdout) is None
    assert not [entry for entry in provider.told("list") if entry["name"] == "x"]
