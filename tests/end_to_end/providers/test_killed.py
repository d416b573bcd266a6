"""Whatever is killed, and whenever: what is left is listed, and destruction leaves nothing. What is not ours stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.providers.callers import FAR, Provider, left_of, users_of

_SEED = int(os.environ.get("EXEKUTIR_TEST_SEED", "20"))


@pytest.mark.parametrize("action", ["create", "uplink", "reboot", "destroy"])
def test_a_killed_action_leaves_nothing_that_destruction_does_not_find(
    namespace: Provider, job: str, action: str
) -> None:
    moments = random.Random(f"{_SEED}-{action}")
    for number in range(8):
        peon = f"k{number}-{job}"
        command = namespace.create_command(peon, job, *(["--uplink"] if action == "uplink" else []))
        if action in ("reboot", "destroy"):
            namespace.create(peon, job)
            command = namespace.command(action, peon, "--uuid", job)
        child = namespace.caller.start(command)
        time.sleep(moments.uniform(0, 0.3 if action == "uplink" else 0.07))
        child.send_signal(signal.SIGKILL)
        child.wait()
        listed = [entry for entry in namespace.told("list") if entry["name"] == peon]
        there = namespace.directory(peon).exists()
        assert [entry["uuid"] for entry in listed] == [job] * there
        namespace.destroy(peon, job)
        assert left_of(namespace, peon) == []
    assert users_of(namespace.caller.state) == []


def test_a_killed_creation_is_finished_by_the_next_one(namespace: Provider, job: str) -> None:
    moments = random.Random(_SEED)
    peon = f"next-{job}"
    for _ in range(4):
        child = namespace.caller.start(namespace.create_command(peon, job))
        time.sleep(moments.uniform(0, 0.06))
        child.send_signal(signal.SIGKILL)
        child.wait()
    told = namespace.create(peon, job)
    assert namespace.said(told, "echo well") == "well"


def test_a_killed_creation_of_a_container_is_found(podman: Provider, job: str) -> None:
    moments = random.Random(_SEED)
    for number in range(3):
        peon = f"k{number}-{job}"
        child = podman.caller.start(podman.create_command(peon, job))
        time.sleep(moments.uniform(0.1, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
        # podman itself goes on for a moment: destruction has to hold against that.
        podman.destroy(peon, job)
        time.sleep(0.5)
        podman.destroy(peon, job)
        assert left_of(podman, peon) == []
        assert not [entry for entry in podman.told("list") if entry["name"] == peon]


def test_another_jobs_peon_is_left_alone(provider: Provider, job: str) -> None:
    peon = f"mine-{job}"
    told = provider.create(peon, job)
    for words in (["destroy", peon, "--uuid", "other"], ["reboot", peon, "--uuid", "other"]):
        refused = provider.call(*words)
        assert refused.returncode == 2
        assert f"belongs to the job {job}" in refused.stderr
    taken = provider.caller.run(provider.create_command(peon, "other"))
    assert taken.returncode == 2
    assert provider.said(told, "echo there") == "there"


def test_a_directory_of_unknown_origin_is_left_alone(namespace: Provider, job: str) -> None:
    place = namespace.directory("stranger")
    namespace.caller.run(["mkdir", "-p", f"{place}/valuable"])
    refused = namespace.call("destroy", "stranger", "--uuid", job)
    assert refused.returncode == 2
    assert "left alone" in refused.stderr
    assert (place / "valuable").is_dir()
    assert namespace.states("stranger") == ["half"]
    shutil.rmtree(place)


def test_a_container_that_is_not_ours_is_left_alone(podman: Provider, job: str) -> None:
    podman.create(f"image-{job}", job)
    names = podman.caller.run(
        ["env", *_environment(podman), "podman", "images", "--format", "{{.Repository}}:{{.Tag}}"]
    )
    own = next(line for line in names.stdout.split() if "exekutir-peon" in line)
    stranger = f"stranger-{job}"
    made = podman.caller.run(
        [
            "env",
            *_environment(podman),
            "podman",
            "run",
            "-d",
            "--name",
            stranger,
            "--network",
            "none",
            own,
            "sleep",
            "300",
        ]
    )
    assert made.returncode == 0, made.stderr
    try:
        refused = podman.call("destroy", stranger, "--uuid", job)
        assert refused.returncode == 2
        assert "is not ours" in refused.stderr
        taken = podman.caller.run(podman.create_command(stranger, job))
        assert taken.returncode == 2
        assert stranger not in {entry["name"] for entry in podman.told("list")}
        state = podman.caller.run(
            ["env", *_environment(podman), "podman", "inspect", "--format", "{{.State.Running}}", stranger]
        )
        assert state.stdout.strip() == "true"
    finally:
        podman.caller.run(["env", *_environment(podman), "podman", "rm", "-f", "-t", "0", stranger])


def test_a_container_of_other_records_is_left_alone(podman: Provider, job: str) -> None:
    peon = f"elsewhere-{job}"
    told = podman.create(peon, job)
    podman.caller.extra["EXEKUTIR_STATE"] = str(podman.caller.home / f"state-{job}")
    try:
        assert podman.told("list") == []
        refused = podman.call("destroy", peon, "--uuid", job)
    finally:
        podman.caller.extra.clear()
    assert refused.returncode == 2
    assert "belongs to the records in" in refused.stderr
    assert podman.said(told, "echo there") == "there"


def _environment(provider: Provider) -> list[str]:
    """The settings with which the provider calls podman."""
    place = provider.caller.state / "podman"
    known = {"CONTAINERS_CONF": ".containers.conf", "CONTAINERS_STORAGE_CONF": ".storage.conf"}
    return [f"{name}={place / file}" for name, file in known.items() if (place / file).exists()]


def test_a_full_or_missing_place_is_named(namespace: Provider, job: str) -> None:
    namespace.caller.extra["EXEKUTIR_STATE"] = "/proc/nowhere"
    try:
        outcome = namespace.caller.run(namespace.create_command(f"x-{job}", job))
    finally:
        namespace.caller.extra.clear()
    assert outcome.returncode == 3
    assert "/proc/nowhere" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_caller_that_pipes_the_output_is_not_held(namespace: Provider, job: str) -> None:
    peon = f"pipe-{job}"
    lease = f"--uuid {job} --expires {FAR} --public-key {namespace.caller.key}.pub"
    words = " ".join(namespace.command("create", peon))
    outcome = namespace.caller.run(["sh", "-c", f"{words} {lease} 2>&1 | cat"])
    assert yaml.safe_load(outcome.stdout)["ansible_host"] == peon


def test_a_number_used_again_is_not_taken_for_the_peon(namespace: Provider, job: str) -> None:
    """The record names a process of ours that runs, but with another start: it is neither `running` nor killed."""
    peon = f"reused-{job}"
    namespace.create(peon, job)
    pid = namespace.init(peon)
    record = namespace.directory(peon) / "peon.json"
    innocent = subprocess.Popen(["sleep", "300"], **namespace.caller.identity())
    try:
        own = record.read_text()
        record.write_text(own.replace(f'"pid": {pid}', f'"pid": {innocent.pid}'))
        assert namespace.states(peon) == ["stopped"]
        # Then as it was, so that the peon itself is destroyed at the end.
        assert namespace.call("destroy", peon, "--uuid", "wrong").returncode == 2
        assert innocent.poll() is None
        record.write_text(own)
    finally:
        innocent.kill()
        innocent.wait()
    namespace.destroy(peon, job)
    assert not Path(f"/proc/{pid}/root/run/exekutir").exists()
