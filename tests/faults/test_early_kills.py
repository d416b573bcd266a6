"""SIGKILL while setup lays the workspace out: cleanup has little to do, does it, and calls it good."""

from __future__ import annotations

import time

import pytest

from tests.calls import Calls

#: What setup makes, in this order; it is killed as soon as it is there.
MADE = (
    ".exekutir-workspace",
    "journal.jsonl",
    "exekutir_vars.yml",
    "ssh",
    "kommandir_workspace",
    "kommandir_workspace/private",
    "kommandir_workspace/ssh/kommandir_key",
    "kommandir_workspace/job.xn",
    "inventory",
)


@pytest.mark.parametrize("made", MADE)
def test_killed_when_this_was_just_made(calls: Calls, made: str) -> None:
    calls.job = "ci"
    process = calls.started("setup")
    while not (calls.workspace / made).exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    process.kill()
    process.communicate()
    calls("cleanup")
    assert calls.left() == []
    # What was half made is no obstacle.
    if made == "kommandir_workspace/ssh/kommandir_key":
        calls("all")


def test_killed_before_the_first_line_of_the_journal(calls: Calls) -> None:
    calls.workspace.mkdir()
    (calls.workspace / ".exekutir-workspace").write_text("1\n")
    (calls.workspace / "journal.jsonl").touch()
    assert "nothing to clean up" in calls("cleanup").stderr
