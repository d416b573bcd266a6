"""A job that lost a lock which hosts share: it ends by itself, says why, and can be cleaned up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.calls import Calls

LEASE = "8"
SLOW = """---
- command:
    contexts: [{context}]
    filepath: /bin/sh
    arguments: -c 'echo waiting; sleep 600'
"""


def step_started(calls: Calls, context: str) -> bool:
    try:
        return any(item["event"] == "step_started" and item["context"] == context for item in calls.events())
    except (OSError, ValueError):
        return False


@pytest.mark.parametrize("context", ["run", "cleanup"])
def test_a_job_that_stood_still_for_longer_than_its_lease_stops(calls: Calls, tmp_path: Path, context: str) -> None:
    calls.job = tmp_path / "job"
    calls.job.mkdir()
    (calls.job / "job.xn").write_text(SLOW.format(context=context))
    calls("setup", "-e", f"lock_lease={LEASE}")
    process = calls.started(context)
    moment = time.monotonic() + 120
    while not step_started(calls, context):
        assert time.monotonic() < moment, "it never came to that"
        time.sleep(0.05)
    assert list((calls.state / "locks").glob("*.use.lease.rw")), "its locks are no leases"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(float(LEASE) + 2)
    os.kill(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 6, said
    assert "was lost: " in said
    assert "run the same command again" in said
    assert (calls.workspace / f"exekutir_{context}.exit").read_text() == "6\n"
    (calls.kommandir / "job.xn").write_text("[]\n")
    calls("cleanup")
    assert calls.left() == []
