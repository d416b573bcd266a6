"""Disks that are full, and folders that can't be written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.calls import Calls

#: As root a mount namespace alone does; anybody else needs a user namespace around it.
OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    for context in ("setup", "run", "cleanup"):
        (folder / f"{context}.yml").write_text("- hosts: localhost\n  gather_facts: false\n  tasks: []\n")
    return folder


def on_small_disk(calls: Calls, size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace where the workspace is a tmpfs of ``size``."""
    calls.workspace.mkdir()
    mount = f"mount -t tmpfs -o size={size} none {calls.workspace}\n"
    return subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount + script],
        env=calls.surroundings(),
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_a_disk_that_is_full_from_the_start(calls: Calls, job: Path) -> None:
    calls.job = job
    setup = " ".join(calls.command("setup"))
    ended = on_small_disk(calls, "64k", setup)
    assert ended.returncode == 5, ended.stderr
    assert "space" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_disk_that_fills_in_the_middle_and_has_room_again(calls: Calls, job: Path) -> None:
    """The run fails, says why, and after room was made cleanup is good."""
    calls.job = job
    setup, run, cleanup = (" ".join(calls.command(context)) for context in ("setup", "run", "cleanup"))
    fill = f"dd if=/dev/zero of={calls.workspace}/filler bs=1k 2>/dev/null"
    script = f"""
        {setup} >/dev/null || exit 101
        {fill}
        {run}
        echo "run: $?"
        rm {calls.workspace}/filler
        {cleanup}
        echo "cleanup: $?"
    """
    ended = on_small_disk(calls, "6m", script)
    assert "run: 5" in ended.stdout, ended.stdout + ended.stderr
    assert "space" in ended.stderr
    assert "cleanup: 0" in ended.stdout, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_read_only_workspace_is_said(calls: Calls, job: Path) -> None:
    calls.workspace.mkdir()
    calls.job = job
    setup = " ".join(calls.command("setup"))
    script = f"mount --bind {calls.workspace} {calls.workspace} && mount -o remount,bind,ro {calls.workspace}\n{setup}"
    ended = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", script], env=calls.surroundings(), capture_output=True, text=True, timeout=280
    )
    assert ended.returncode == 2, ended.stderr
    assert "can't be written" in ended.stderr
    assert "Traceback" not in ended.stderr
