"""The steps with a remote kommandir one by one, by ``ansible-playbook``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calls import BIN, PATIENCE, Calls
from tests.kommandirs import containers, registered, users

Make = Callable[..., Calls]


@pytest.mark.timeout(1500)
def test_each_step_is_a_role_that_works_by_hand(remote_calls: Make, kommandir_state: Path) -> None:
    calls = remote_calls("ws", "ci")
    calls("setup")

    def play(name: str) -> str:
        ended = subprocess.run(
            [BIN / "ansible-playbook", "-i", "../inventory", f"playbooks/kommandir_{name}.yml"],
            cwd=calls.kommandir,
            env=calls.surroundings(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    assert "unreachable=0" in play("before")
    (container,) = containers(kommandir_state)
    assert calls.uuid in users(kommandir_state, container)
    (calls.results / "mine.txt").write_text("the kommandir's copy wins")
    play("after")
    assert not (calls.results / "mine.txt").exists()
    play("leaving")
    assert containers(kommandir_state) == [container], "it is neither old nor unwanted"
    assert calls.uuid not in users(kommandir_state, container)
    assert calls.uuid not in registered(kommandir_state)
