"""Parts of a cleanup: what goes wrong in one stops none of the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exekutir import steps
from exekutir.job import Job
from kommandir.errors import ExitCode, ProvisioningError
from kommandir.events import Event

BUG = ValueError("No closing quotation in hunter2")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/ws/kommandir_cleanup.exit")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ProvisioningError("it can't be destroyed", host="one"), ExitCode.PROVISIONING_FAILED, "one: it can't be"),
        (FULL, ExitCode.KOMMANDIR_FAILED, "/ws/kommandir_cleanup.exit: No space left on device"),
        (BUG, ExitCode.KOMMANDIR_FAILED, "a bug in exekutir: ValueError: No closing quotation"),
    ],
    ids=["told", "full", "bug"],
)
def test_what_goes_wrong_is_a_warning_with_its_exit_code(
    tmp_path: Path, job_of: Callable[..., Job], error: Exception, code: ExitCode, says: str
) -> None:
    told: list[Event] = []
    job = job_of("hunter2")
    job.events.subscribe(told.append)

    def part(_: Job) -> int:
        raise error

    assert steps.tolerated(job, part) == code
    [warning] = told
    assert says in str(warning["message"])
    kept = tmp_path / "crash_cleanup.txt"
    assert kept.exists() == (error is BUG)
    assert not kept.exists() or ("Traceback" in kept.read_text() and "hunter2" not in kept.read_text())
