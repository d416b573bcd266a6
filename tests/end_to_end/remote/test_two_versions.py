"""Two exekutirs of different versions on one kommandir: each job has its own, also in the middle of the other's."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from kommandir.journal import Journal
from tests.calls import BIN, PATIENCE, Calls
from tests.kommandirs import current, generations, inside, job_of_commands, registered, until, users

Make = Callable[..., Calls]


def exekutir_of(checkout: Path, folder: Path) -> Path:
    """The program of another checkout, with the packages that ours runs with."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "another.pth").write_text(f"{checkout}\n{sysconfig.get_path('purelib')}\n")
    for script in BIN.iterdir():
        if script.is_file() and script.read_bytes().startswith(f"#!{sys.executable}\n".encode()):
            (folder / "bin" / script.name).write_text(
                script.read_text().replace(sys.executable, f"{folder}/bin/python", 1)
            )
            (folder / "bin" / script.name).chmod(0o755)
    return folder / "bin" / "exekutir"


def releases(calls: Calls) -> list[str]:
    """The releases that a job's contexts used on the kommandir, in their order."""
    entries = Journal(calls.workspace / "journal.jsonl").entries()
    return [str(entry.data["release"]) for entry in entries if entry.action == "kommandir_used"]


@pytest.mark.timeout(900)
def test_a_newer_exekutir_sets_up_beside_an_older_one_in_the_middle_of_its_job(
    remote_calls: Make, tmp_path: Path, kommandir_state: Path, another: Path
) -> None:
    state = kommandir_state
    waits = "until test -e go; do sleep 0.1; done"
    older = remote_calls("older", job_of_commands(tmp_path / "waiting", setup="true", run=waits, cleanup="true"))
    newer = remote_calls("newer", job_of_commands(tmp_path / "quick", setup="true", run="true", cleanup="true"))
    newer.program = exekutir_of(another, tmp_path / "newer_exekutir")

    older("setup")
    run = older.started("run")
    until(older, "step_started", context="run")
    newer("setup")
    newer("run")
    [release] = set(releases(older))
    [beside] = set(releases(newer))
    assert release != beside
    assert {release, beside} <= set(inside(state, current(state), "ls", "/opt/exekutir").split())
    assert run.poll() is None
    inside(state, current(state), "touch", f"/home/{older.uuid}/go")
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said

    # And an exekutir that is replaced between two contexts of a job goes on with it.
    older.program = newer.program
    older("cleanup")
    assert releases(older)[-1] == beside
    newer("cleanup")
    assert len([one for one in generations(state) if one["state"] == "ready"]) == 1
    assert not registered(state) & {older.uuid, newer.uuid}
    assert not users(state, current(state)) & {older.uuid, newer.uuid}
