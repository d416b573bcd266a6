"""SIGINT, SIGTERM and SIGKILL at any moment: the exit code tells, cleanup finds everything."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calls import Calls

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

SLOW_COMMAND = """
- command:
    contexts: [{context}]
    filepath: /bin/sh
    arguments: -c 'echo waiting; sleep 60'
"""


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    moment = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < moment, "it never came to that"
        time.sleep(0.02)


def step_started(calls: Calls, context: str) -> bool:
    try:
        return any(item["event"] == "step_started" and item["context"] == context for item in calls.events())
    except (OSError, ValueError):
        return False


@pytest.mark.parametrize("number", EXIT_CODES)
@pytest.mark.parametrize("context", ["setup", "run", "cleanup"])
def test_a_signal_in_a_context_ends_it_in_order(
    calls: Calls, tmp_path: Path, context: str, number: signal.Signals
) -> None:
    calls.job = tmp_path / "job"
    calls.job.mkdir()
    (calls.job / "job.xn").write_text("---" + SLOW_COMMAND.format(context=context))
    for before in ("setup", "run", "cleanup"):
        if before == context:
            break
        calls(before)
    process = calls.started(context)
    until(lambda: step_started(calls, context))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == EXIT_CODES[number], said
    assert number.name in said
    assert (calls.workspace / f"exekutir_{context}.exit").read_text() == f"{EXIT_CODES[number]}\n"
    assert calls.left() == []
    (calls.kommandir / "job.xn").write_text("[]\n")
    calls("cleanup")


def test_all_cleans_up_after_a_signal(calls: Calls, slow_job: Path) -> None:
    calls.job = slow_job
    process = calls.started("all")
    until(lambda: step_started(calls, "run"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert calls.left() == []
    assert (calls.workspace / "exekutir_cleanup.exit").read_text() == "0\n"


def test_killed_at_thirty_moments(calls: Calls, peons_job: Path) -> None:
    """Each time, whatever state the job is in, one cleanup leaves no peon, process, mount or lock, and says so."""
    seed = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
    print(f"KILL_SEED={seed}")
    moments = random.Random(seed)
    calls.job = peons_job
    lasted = {}
    for context in ("setup", "run"):
        started = time.monotonic()
        calls(context)
        lasted[context] = time.monotonic() - started
    calls("cleanup")
    for number in range(30):
        context = "setup" if number % 3 else "run"
        if context == "run":
            calls("setup")
        process = calls.started(context)
        time.sleep(moments.uniform(0, lasted[context]))
        process.kill()
        process.communicate()
        ended = calls("cleanup")
        assert calls.left() == [], f"round {number} in {context}, KILL_SEED={seed}"
        if calls.uuid:
            assert "nothing" in (ended.stdout + ended.stderr)
