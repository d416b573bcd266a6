"""SIGINT, SIGTERM and SIGKILL at any moment: the exit code tells, cleanup finds everything."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.calls import Calls
from tests.faults.conftest import QUICK_RUN, job_with_peons
from tests.patience import until

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

SLOW_COMMAND = """
- command:
    contexts: [{context}]
    filepath: /bin/sh
    arguments: -c 'echo waiting; sleep 60'
"""


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


@pytest.fixture(scope="module")
def lasted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """How long, in seconds, each context of the job takes here and now."""
    folder = tmp_path_factory.mktemp("lasted")
    calls = Calls(folder / "ws", folder / "state", job_with_peons(folder / "job", QUICK_RUN))
    seconds = {}
    for context in ("setup", "run", "cleanup"):
        started = time.monotonic()
        calls(context)
        seconds[context] = time.monotonic() - started
    assert calls.left() == []
    return seconds


@pytest.mark.parametrize("number", range(30))
def test_killed_at_a_random_moment(calls: Calls, peons_job: Path, lasted: dict[str, float], number: int) -> None:
    """Whatever state the job is in, one cleanup leaves no peon, process, mount or lock, and says so."""
    seed = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
    calls.job = peons_job
    context = "setup" if number % 3 else "run"
    if context == "run":
        calls("setup")
    process = calls.started(context)
    time.sleep(random.Random(seed).uniform(0, lasted[context]))
    process.kill()
    process.communicate()
    ended = calls("cleanup")
    assert calls.left() == [], f"KILL_SEED={seed}"
    if (calls.workspace / "exekutir_cleanup.exit").exists():
        assert "nothing is left" in ended.stdout, f"KILL_SEED={seed}"
