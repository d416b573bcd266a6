"""A workspace on its way when the kommandir dies; disks that are full on either side; a host key that changes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from exekutir.generations import FILE_NAME as FILE_OF_GENERATIONS
from kommandir.journal import FILE_NAME, Journal
from kommandir.providers import ssh
from tests.calls import PATIENCE, Calls
from tests.faults.conftest import AWAY, job_with_peons, slow_run
from tests.kommandirs import (
    containers,
    current,
    generations,
    inside,
    job_of_commands,
    killed,
    on_podman,
    process_of,
    registered,
    until,
    users,
    wait_for,
)

Make = Callable[..., Calls]
MEBIBYTE = 1 << 20


def slowly(folder: Path) -> dict[str, str]:
    """The environment of calls whose workspaces travel with 3 MB a second, so that there is a middle."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "rsync"
    program.write_text('#!/bin/sh\nexec /usr/bin/rsync --bwlimit=3000 "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.fixture
def idle(remote_calls: Make, tmp_path: Path) -> Calls:
    """A job without peons that is set up and does nothing."""
    calls = remote_calls("ws", job_of_commands(tmp_path / "job", setup="true"))
    calls("setup")
    return calls


@pytest.mark.timeout(900)
def test_a_kommandir_that_dies_while_the_workspace_travels(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    state = kommandir_state
    job = job_of_commands(
        tmp_path / "job", setup="true", run="test -e big && head -c 9000000 big >results/big", cleanup="true"
    )
    (job / "big").write_bytes(os.urandom(9 * MEBIBYTE))
    calls = remote_calls("ws", job)
    quick, slow = dict(calls.environment), slowly(tmp_path)
    slow |= on_podman(state, reconnect_timeout=1)

    calls.environment |= slow
    setup = calls.started("setup")
    until(calls, "phase_started", phase="kommandir's workspace")
    wait_for(lambda: half_there(state, calls.uuid), "it never was on its way there")
    killed(state, current(state))
    _, said = setup.communicate(timeout=PATIENCE)
    assert setup.returncode == 4, said
    assert f"sending the workspace to {current(state)} failed: the connection broke" in said
    assert "run the same command again" in said
    calls.environment = quick
    calls("setup")

    calls.environment |= slow
    run = calls.started("run")
    wait_for(lambda: bool(list(calls.results.glob(".big.*"))), "it never was on its way back")
    killed(state, current(state))
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4, said
    assert f"bringing the workspace back from {current(state)} failed: the connection broke" in said
    assert not (calls.results / "big").exists()
    calls.environment = quick
    calls("run")
    assert (calls.results / "big").read_bytes() == (job / "big").read_bytes()[:9_000_000]
    calls("cleanup")
    assert calls.uuid not in users(state, current(state))
    assert calls.uuid not in registered(state)


def half_there(state: Path, uuid: str) -> bool:
    return ".big." in inside(state, current(state), "sh", "-c", f"ls -A /home/{uuid} 2>&1; true")


@pytest.mark.timeout(900)
def test_a_disk_of_the_kommandir_that_is_full(remote_calls: Make, tmp_path: Path, kommandir_state: Path) -> None:
    state = kommandir_state
    job = job_with_peons(tmp_path / "job", slow_run(0))
    calls = remote_calls("ws", job)
    calls("setup")
    home = f"/home/{calls.uuid}"
    entered = ["nsenter", "-t", process_of(state, current(state)), *("-U", "-m", "-p", "-S", "0", "-G", "0")]
    # A disk of their own for all homes, on which little is free.
    script = """
        mount -t tmpfs -o size=4m,mode=755 none /mnt && cp -a /home/. /mnt && rm -r /home/*
        mount --bind /mnt /home && umount -l /mnt
    """
    subprocess.run([*entered, "sh", "-ec", script], check=True)
    try:
        (calls.kommandir / "big").write_bytes(os.urandom(5 * MEBIBYTE))
        said = calls("run", code=5).stderr
        assert f"no space left for {home} on {current(state)}" in said
        assert "next: free space there" in said
        # Nothing of it stays there, so without it there is room.
        (calls.kommandir / "big").unlink()
        calls("run")
        filler = f"mkdir -p {home}/.local && head -c 9000000 /dev/zero >{home}/.local/filler; true"
        inside(state, current(state), "sh", "-c", filler)
        # Releasing peons has to be written down, which a reserve leaves room for.
        calls("cleanup")
        peons = Journal(calls.kommandir / FILE_NAME).peons().values()
        assert {peon.state for peon in peons} == {"destroyed"}
        assert calls.uuid not in registered(state)
        assert users(state, current(state)) == set()
    finally:
        subprocess.run([*entered, "umount", "-l", "/home"], check=True)


@pytest.mark.timeout(900)
def test_a_disk_of_the_exekutir_that_is_full_when_results_come(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    job = job_of_commands(tmp_path / "job", setup="true", run="head -c 3000000 /dev/urandom >results/big")
    calls = remote_calls("ws", job)
    calls("setup")
    run = shlex.join(calls.command("run"))
    script = f"""
        cp -a {calls.workspace} {calls.workspace}.saved
        mount -t tmpfs -o size=12m none {calls.workspace}
        cp -a {calls.workspace}.saved/. {calls.workspace}
        head -c 10000000 /dev/zero >{calls.workspace}/filler
        {run}; echo "full: $?"
        rm {calls.workspace}/filler
        {run}; echo "room: $?"
        ls -l {calls.workspace}/results/big
    """
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=calls.surroundings(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = ended.stdout + ended.stderr
    assert "full: 5" in ended.stdout, said
    assert f"no space left for {calls.kommandir} on this host" in ended.stderr
    assert "free some space here" in ended.stderr
    assert "room: 0" in ended.stdout, said
    assert "3000000" in ended.stdout, said
    assert "Traceback" not in said
    calls("cleanup")
    assert calls.uuid not in users(kommandir_state, current(kommandir_state))


def test_a_host_key_that_changed_between_contexts_is_refused(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    state = kommandir_state
    calls = remote_calls("ws", job_of_commands(tmp_path / "job", setup="true", run="touch results/ran"))
    calls("setup")
    own = current(state)
    key = state / "podman" / own / "files" / ssh.HOST_KEY
    kept = key.read_bytes()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    try:
        key.write_bytes((tmp_path / "other").read_bytes())
        for provider in ((), ("-e", AWAY)):
            said = calls("run", *provider, code=4).stderr
            assert f"{own}: the connection is refused: the host's key has changed" in said
            assert "next: find out which" in said
            assert not (calls.results / "ran").exists()
            assert current(state) == own
    finally:
        key.write_bytes(kept)
    calls("run")
    calls("cleanup")
    assert calls.uuid not in users(state, current(state))


def test_a_cleanup_whose_own_steps_fail_releases_all_the_same(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    calls = remote_calls("ws", job_of_commands(tmp_path / "job", setup="true", cleanup="false"))
    calls("setup")
    assert calls.uuid in users(kommandir_state, current(kommandir_state))
    calls("cleanup", code=8)
    assert calls.uuid not in users(kommandir_state, current(kommandir_state))
    assert calls.uuid not in registered(kommandir_state)


def test_a_cleanup_that_could_not_remove_its_user_is_not_good_before_that_is_gone(
    idle: Calls, kommandir_state: Path
) -> None:
    state, calls = kommandir_state, idle
    broken = "cd /usr/sbin && mv userdel userdel.away && printf '#!/bin/sh\\nexit 1\\n' >userdel && chmod 755 userdel"
    inside(state, current(state), "sh", "-c", broken)
    try:
        for _ in range(2):
            ended = calls("cleanup", code=5)
            assert "userdel failed" in ended.stdout
            assert "nothing is left" not in ended.stdout
            assert calls.uuid in registered(state)
    finally:
        inside(state, current(state), "mv", "/usr/sbin/userdel.away", "/usr/sbin/userdel")
    assert "nothing is left" in calls("cleanup").stdout
    assert calls.uuid not in users(state, current(state))
    assert calls.uuid not in registered(state)


def test_a_signal_ends_a_destruction_and_the_next_cleanup_destroys(
    idle: Calls, tmp_path: Path, kommandir_state: Path
) -> None:
    state, calls = kommandir_state, idle
    own = current(state)
    begun = tmp_path / "begun"
    slow = json.dumps({"cloud_destruction_command": {"command": f"touch {begun}; sleep 1000"}, "stonith": True})
    cleanup = calls.started("cleanup", "-e", slow)
    wait_for(begun.exists, "the destruction never began")
    cleanup.send_signal(signal.SIGTERM)
    assert cleanup.wait(PATIENCE) == 143
    assert [one["state"] for one in generations(state) if one["name"] == own] == ["destroying"]
    assert own in containers(state)
    calls("cleanup")
    assert own not in containers(state)
    assert [one["state"] for one in generations(state) if one["name"] == own] == ["destroyed"]


@pytest.mark.timeout(900)
def test_peons_on_a_kommandir_that_takes_no_job_go_with_it(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    state = kommandir_state
    calls = remote_calls("ws", job_with_peons(tmp_path / "job", slow_run(0.1), "[peons]\none\n"))
    calls("setup")
    own, folder = current(state), f"/var/lib/exekutir/jobs/{calls.uuid}"
    inside(state, own, "sh", "-c", f"mv {folder} {folder}.away && touch {folder}")
    said = calls("cleanup", code=9).stdout
    assert "is not what it was made" in said
    calls("cleanup", "-e", "stonith=true", code=9)
    assert own not in containers(state)
    assert {peon.state for peon in Journal(calls.kommandir / FILE_NAME).peons().values()} == {"up"}
    assert "nothing is left" in calls("cleanup").stdout
    assert {peon.state for peon in Journal(calls.kommandir / FILE_NAME).peons().values()} == {"destroyed"}
    assert calls.uuid not in registered(state)


def test_a_job_whose_uuid_another_workspace_uses_is_refused_and_touches_nothing(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    job = job_of_commands(tmp_path / "job", run="sleep 12")
    first, second = remote_calls("first", job), remote_calls("second", job)
    first("setup", "-e", "uuid=nightly")
    run = first.started("run")
    until(first, "step_started")
    said = second("setup", "-e", "uuid=nightly", code=2).stderr
    assert "another workspace uses the uuid nightly" in said
    assert run.wait(PATIENCE) == 0
    assert "nothing is left" in second("cleanup").stdout
    assert "nightly" in users(kommandir_state, current(kommandir_state))
    first("run")
    first("cleanup")
    assert "nightly" not in users(kommandir_state, current(kommandir_state))


def test_a_kommandir_that_can_not_be_destroyed_keeps_no_other_one_alive(
    idle: Calls, remote_calls: Make, tmp_path: Path, kommandir_state: Path
) -> None:
    """Nor does it fail the cleanup of a job that never used it."""
    state, calls = kommandir_state, idle
    [file] = (state / "locks").glob(f"*/{FILE_OF_GENERATIONS}")
    told = json.loads(file.read_text())
    stuck, other = (
        {**told["generations"][-1], "number": number, "name": f"old-g{number}", "state": "destroying", "jobs": {}}
        for number in (901, 902)
    )
    told["generations"] = [stuck, other, *told["generations"]]
    file.write_text(json.dumps(told))
    fails = {"cloud_destruction_command": {"command": "echo no cloud today >&2; test {{ peon_name }} != old-g901"}}
    calls("cleanup", "-e", json.dumps(fails))
    states = {one["name"]: one["state"] for one in generations(state)}
    assert states["old-g901"] == "destroying"
    assert states.get("old-g902", "forgotten") in ("destroyed", "forgotten"), "only the last few are remembered"
    [warning] = [event["message"] for event in calls.events() if event["event"] == "warning"]
    assert "old-g901" in warning
    assert "no cloud today" in warning
    last = remote_calls("last", job_of_commands(tmp_path / "other", setup="true"))
    last("setup")
    last("cleanup")
    assert {one["state"] for one in generations(state) if one["name"].startswith("old")} <= {"destroyed"}
