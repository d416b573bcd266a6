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


def test_of_the_caller_only_its_terminal_and_what_is_named_passes() -> None:
    caller = {"TERM": "xterm", "COLUMNS": "99", "SECRET": "x", "TOKEN": "y", "EMPTY": "", "HOME": "/root", "TZ": "UTC"}
    found = environment.with_caller(OWN, caller, ["TOKEN", "EMPTY", "HOME", "MISSING"])
    assert found == {**OWN, "TERM": "xterm", "COLUMNS": "99", "TZ": "UTC", "TOKEN": "y"}


def test_a_language_passes_where_the_kommandir_has_it() -> None:
    caller = {"LANG": "en_US.UTF-8", "LC_TIME": "de_DE.UTF-8", "LC_ALL": ""}
    assert environment.with_caller(OWN, caller, locales=["C", "en_US.utf8"]) == {**OWN, "LANG": "en_US.UTF-8"}
    assert environment.with_caller(OWN, caller) == OWN
