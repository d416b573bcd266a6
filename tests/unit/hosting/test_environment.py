"""What a job's processes on a kommandir find in their environment."""

from __future__ import annotations

from pathlib import Path

from kommandir.hosting import environment

OWN = environment.of_user("job-1", 10001, Path("/opt/exekutir/1-abc"))


def test_a_user_has_places_of_its_own() -> None:
    assert OWN["HOME"] == "/home/job-1"
    assert OWN["EXEKUTIR_JOB"] == OWN["USER"] == "job-1"
    assert OWN["EXEKUTIR_STATE"] == "/var/lib/exekutir/jobs/job-1/state"
    assert OWN["XDG_RUNTIME_DIR"] == "/run/user/10001"
    assert OWN["PATH"].startswith("/opt/exekutir/1-abc/bin:")
