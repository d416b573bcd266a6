"""A kommandir whose disk is full: a run is refused, or tells how it ended all the same."""

from __future__ import annotations

import json
import os
import shlex
import subprocess

from tests.detached_runs import Runs, items

#: As root a mount namespace alone does; anybody else needs a user namespace around it.
OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]


def on_small_disk(runs: Runs, size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace where the folder of runs is a tmpfs of ``size``."""
    runs.path.mkdir()
    mount = f"mount -t tmpfs -o size={size} none {runs.path}\n"
    command = [*OWN_MOUNTS, "sh", "-c", mount + script]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def test_a_run_is_refused_where_there_is_no_room(runs: Runs) -> None:
    start = f"printf %s {shlex.quote(runs.request('first', items('true')))} | {shlex.join(runs.command('start'))}"
    ended = on_small_disk(runs, "16k", start)
    assert ended.returncode == 5, ended.stderr
    assert "can't be started on the kommandir" in ended.stderr
    assert "No space left" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_disk_that_fills_up_meanwhile_does_not_hide_the_result(runs: Runs) -> None:
    fills = (
        f"echo before; dd if=/dev/zero of={runs.path}/filler bs=1k 2>/dev/null; for i in $(seq 99); do echo $i; done"
    )
    request = shlex.quote(runs.request("full", items(f"{fills}; exit 3")))
    start = f"printf %s {request} | {shlex.join(runs.command('start'))}"
    follow = shlex.join(runs.command("follow", "full"))
    ended = on_small_disk(runs, "400k", f"{start} && {follow}")
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert "before" in runs.outputs(lines)
    result = lines[-1]["result"]
    assert (result["exit_code"], result["outcome"]) == (3, 1)
    assert "events are no longer stored" in result["warnings"][0]
    assert "No space left" in result["warnings"][0]
