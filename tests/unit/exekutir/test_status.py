"""What ``exekutir status`` says of kommandirs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from exekutir import status, workspace
from exekutir.generations import DAY, Generations


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    opened = workspace.opened(tmp_path / "workspace", create=True)
    opened.exekutir_vars.write_text(f"---\nuuid: mine\njob_name: ci\nlock_dir: {tmp_path}/locks\n")
    return opened


def said(place: workspace.Workspace) -> str:
    return "\n".join(status._lines(status.gathered(place)))


def test_generations_with_their_jobs_and_why_they_end(tmp_path: Path, place: workspace.Workspace) -> None:
    moment = time.time()
    known = Generations(tmp_path / "locks" / "ci-kommandir", clock=lambda: moment)
    old = known.ready(known.begin("podman"), {"ansible_password": "hidden"}, "1.0-abc")
    known.enter(old, "mine", moment + DAY)
    known.enter(old, "theirs", moment + DAY)
    known.retire(old, "it is older than 3 days")
    known.begin("podman")
    gone = Generations(tmp_path / "locks" / "gone")
    gone.destroyed(gone.destroying(gone.retire(gone.begin("qemu"), "stonith")))
    assert [line for line in said(place).splitlines() if "kommandir" in line] == [
        "kommandirs:",
        "  ci-kommandir-g1      retired    0.0 h old, podman, 1.0-abc, used by mine, theirs, it is older than 3 days",
        "  ci-kommandir-g2      creating   0.0 h old, podman, used by nobody",
    ]
    told: list[dict[str, Any]] = json.loads(json.dumps(status.gathered(place)))["kommandirs"]
    assert [(item["kommandir"], item["state"]) for item in told] == [
        ("ci-kommandir-g1", "retired"),
        ("ci-kommandir-g2", "creating"),
        ("gone-g1", "destroyed"),
    ]
    assert set(told[0]["jobs"]) == {"mine", "theirs"}
    assert "hidden" not in json.dumps(told)


def test_what_can_not_be_read_is_said(tmp_path: Path, place: workspace.Workspace) -> None:
    broken = Generations(tmp_path / "locks" / "kommandir")
    broken.begin("podman")
    broken.path.write_text("{")
    assert "the generations of kommandir can't be read" in said(place)


def test_on_this_host_alone_nothing_is_said_of_them(place: workspace.Workspace) -> None:
    assert "kommandir" not in said(place)


def test_the_folder_of_locks_is_that_of_the_last_call(tmp_path: Path, place: workspace.Workspace) -> None:
    place.extra_vars.write_text(f"---\nlock_dir: {tmp_path}/shared\n")
    Generations(tmp_path / "shared" / "lab-kommandir").begin("existing")

    assert "lab-kommandir-g1" in said(place)
