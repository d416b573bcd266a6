"""Roles tested with molecule, on peons of ours: a way that people who know molecule take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def test_a_role_is_tested_with_molecule_on_a_peon_of_ours(checkout: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    places = {"MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "molecule"), "EXEKUTIR_STATE": str(state), "NO_COLOR": "1"}
    done = subprocess.run(
        [BIN / "molecule", "test", "--scenario-name", "peon_common"],
        cwd=checkout / "tests",
        env=os.environ | places | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("create", "converge", "idempotence", "side_effect", "verify", "destroy"):
        assert f"{step}: Executed: Successful" in done.stdout + done.stderr
    assert list(state.glob("namespace/*")) == []
