"""Whoever reads the output goes away in the middle: the job neither fails nor stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.calls import PATIENCE, Calls

JOB = """---
- command:
    contexts: [setup]
    filepath: /bin/sh
    arguments: -c 'seq 20000; exit 3'
"""


@pytest.fixture
def noisy(tmp_path: Path, calls: Calls) -> Calls:
    """A job without peons whose setup says much, and then fails."""
    job = tmp_path / "noisy"
    job.mkdir()
    (job / "job.xn").write_text(JOB)
    calls.job = job
    return calls


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_reader_that_goes_away_changes_nothing(noisy: Calls, form: str, both: bool) -> None:
    child = subprocess.Popen(
        noisy.command("all", "--format", form, "-v"),
        env=noisy.surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read() if child.stderr else ""
    if child.stderr:
        child.stderr.close()
    assert child.wait(PATIENCE) == 8, said
    assert "Traceback" not in said
    assert (noisy.workspace / "exekutir_setup.exit").read_text() == "8\n"
    assert (noisy.workspace / "exekutir_cleanup.exit").read_text() == "0\n"
    assert noisy.summary()["exit_code"] == 8
    junit = (noisy.results / "junit.xml").read_text()
    assert "exit code 3" in junit
    assert "\n20000\n" in junit
