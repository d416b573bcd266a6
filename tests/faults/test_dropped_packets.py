"""A network that drops the packets of the control connection, for five seconds and for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.dropped_packets import LINES

#: As root a network namespace alone does; anybody else needs a user namespace around it, and his rights there.
OWN_NETWORK = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-U", "-c", "--keep-caps", "-n"]


def test_dropped_packets_cost_a_run_nothing(tmp_path: Path, checkout: Path) -> None:
    command = [*OWN_NETWORK, sys.executable, "-m", "tests.faults.dropped_packets", str(tmp_path)]
    ended = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    expected = [str(number) for number in range(1, LINES + 1)]
    assert (told["short"]["outcome"], told["short"]["lines"]) == (0, expected)
    good = told["for_good"]
    assert (good["outcome"], good["lines"]) == (0, expected)
    assert "does not answer since" in good["error"]
    assert any("no heartbeat" in line or "nothing came" in line for line in good["waited"])
