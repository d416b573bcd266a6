"""SIGKILL in the middle of a ``job.xn``: the next call of the same context goes on, no finished step is run twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kommandir import process

BIN = Path(sys.executable).parent
DYING = Path(__file__).with_name("dying.py")
CHECKOUT = DYING.parent.parent.parent


class Workspace:
    """A kommandir's workspace whose steps write into a log what they are."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        (path / "results").mkdir()
        (path / "job.xn").write_text(text)

    def run(self, *, dying: int = 0, context: str = "run", code: int | None = 0) -> str:
        """``kommandir run``, which may die after so many entries; what it said on standard error."""
        start = [sys.executable, DYING, str(dying)] if dying else [BIN / "kommandir"]
        ended = subprocess.run(
            [*start, "run", context, self.path],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )
        self.code = ended.returncode
        assert "Traceback" not in ended.stderr, ended.stderr
        assert code is None or ended.returncode == code, ended.stderr
        return ended.stderr

    def lines(self) -> list[str]:
        log = self.path / "log"
        return log.read_text().splitlines() if log.exists() else []

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in (self.path / "results" / "events.jsonl").read_text().splitlines()]
        return [item for item in found if item["event"] in kinds]


def shell(text: str, more: str = "") -> str:
    return f"{{filepath: /bin/sh, arguments: \"-c '{text}'\"{more}}}"


def command(text: str, more: str = "") -> str:
    return f"- command: {shell(text, more)}\n"


LIST = (
    "- variable: {name: THE_TOKEN, value: told-once}\n"
    + command("echo a >> log")
    + command("echo b >> log", ", idempotent: yes")
    + command("echo c $THE_TOKEN >> log")
)
#: Entries that a whole run of it makes at most: the recipe, facts and notes.
ENTRIES_OF_LIST = 18


@pytest.mark.parametrize("entry", range(1, ENTRIES_OF_LIST + 1))
def test_a_list_goes_on_from_wherever_it_was_killed(tmp_path: Path, entry: int) -> None:
    workspace = Workspace(tmp_path, LIST)
    workspace.run(dying=entry, code=None)
    if workspace.code == 0:
        return
    before = workspace.lines()
    said = workspace.run(code=None)
    after = Counter(line.split()[0] for line in workspace.lines())
    assert after["a"] <= 1
    assert after["c"] <= 1
    if workspace.code == 0:
        assert set(after) == {"a", "b", "c"}
        assert workspace.lines()[: len(before)] == before
        assert workspace.lines()[-1] == "c told-once"
    else:
        assert workspace.code == 5
        assert "was under way when run was killed" in said
        # What is told is told once; the call after it begins anew.
        (tmp_path / "log").unlink(missing_ok=True)
        workspace.run()
        assert workspace.lines() == ["a", "b", "c told-once"]


FAILING = command("echo a >> log") + command("echo b >> log; exit 7", ", idempotent: yes") + command("echo c >> log")


@pytest.mark.parametrize("entry", range(5, 10))
def test_what_had_failed_is_still_what_failed(tmp_path: Path, entry: int) -> None:
    workspace = Workspace(tmp_path, FAILING)
    workspace.run(dying=entry, code=-signal.SIGKILL)
    before, told = workspace.lines(), workspace.events("step_finished")
    assert "exit code 7" in workspace.run(code=1)
    assert Counter(workspace.lines())["a"] == 1
    assert "c" not in workspace.lines()
    if any(item["outcome"] == "failed" for item in told):
        assert workspace.lines() == before


def test_no_entry_was_left_out(tmp_path: Path) -> None:
    Workspace(tmp_path, LIST).run(dying=ENTRIES_OF_LIST + 1)


MAPPING = f"""
recipe:
  group: job
  name: main
  steps:
    token: {{target: variable.set, arguments: [{{variable: {{name: THE_TOKEN, value: told-once}}}}]}}
    many:
      target: command.run
      foreach: command
      arguments:
        - command: {shell("echo m1 >> log")}
        - command: {shell("echo m2 >> log")}
        - command: {shell("echo m3 >> log")}
    child: {{target: job.child, type: recipe}}
    rescue: {{target: command.run, arguments: [{{command: {shell("echo rescue >> log", ", idempotent: true")}}}]}}
    end: {{target: command.run, arguments: [{{command: {shell("echo end $THE_TOKEN >> log", ", idempotent: true")}}}]}}
  transitions:
    - {{in: token, out: [many, child]}}
    - {{in: [many, child], out: end}}
    - {{in: {{error: many}}, out: rescue}}
    - {{in: rescue, out: end}}
recipes:
  - group: job
    name: child
    steps:
      again: {{target: command.run, arguments: [{{command: {shell("echo again >> log", ", idempotent: true")}}}]}}
"""
#: Calls may come back one by one or together, so it is not always the same.
ENTRIES_OF_MAPPING = 30


@pytest.mark.parametrize("entry", range(1, ENTRIES_OF_MAPPING + 1))
def test_recipes_go_on_and_what_was_cut_off_is_an_error_that_they_handle(tmp_path: Path, entry: int) -> None:
    workspace = Workspace(tmp_path, MAPPING)
    workspace.run(dying=entry, code=None)
    if workspace.code == 0:
        return
    workspace.run()
    lines = Counter(workspace.lines())
    assert all(lines[name] <= 1 for name in ("m1", "m2", "m3"))
    assert lines["again"] >= 1
    assert workspace.lines()[-1] == "end told-once"
    cut_off = [item for item in workspace.events("step_finished") if item["exit_code"] == 5]
    assert {item["outcome"] for item in cut_off} <= {"swallowed"}
    if cut_off:
        assert lines["rescue"] >= 1
    else:
        assert lines["rescue"] == 0
        assert all(lines[name] == 1 for name in ("m1", "m2", "m3"))


#: What fails the whole: `first` is killed while it is under way, and handled; then `job.fail` tells it after all.
ONCE = shell("test -e go || { touch go; kill -9 $PPID; sleep 60; }")
TOLD = f"""
recipe:
  group: job
  name: main
  steps:
    first: {{target: command.run, arguments: [{{command: {ONCE}}}]}}
    look: {{target: command.run, arguments: [{{command: {shell("exit 7")}}}]}}
    fail: {{target: job.fail}}
    end: {{target: job.nothing}}
  transitions:
    - {{in: first, out: end}}
    - {{in: {{error: first}}, out: look}}
    - {{in: {{error: look}}, out: fail}}
    - {{in: look, out: fail}}
    - {{in: fail, out: end}}
"""


def test_job_fail_tells_what_was_cut_off(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, TOLD)
    workspace.run(code=-signal.SIGKILL)
    said = workspace.run(code=5)
    assert "failed: first" in said
    assert "was under way when run was killed" in said
    assert workspace.events("resumed")[0]["interrupted"] == ["first"]
    outcomes = [(item["step"], item["outcome"]) for item in workspace.events("step_finished")]
    assert outcomes == [("first", "swallowed"), ("look", "swallowed"), ("first", "interrupted")]


#: The second step kills who runs it, once, and leaves a process behind.
KILLS = LIST + command(
    "test -e go || { touch go; sleep 600 & echo $! > pid; kill -9 $PPID; wait; }", ", idempotent: yes"
)


@pytest.fixture(autouse=True)
def nothing_runs_on(tmp_path: Path) -> Iterator[None]:
    """What a killed step has left, and a test does not care for, is ended."""
    yield
    for pid in process.tagged("WORKSPACE", str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


def killed(path: Path, text: str = KILLS, context: str = "run") -> Workspace:
    workspace = Workspace(path, text)
    workspace.run(context=context, code=-signal.SIGKILL)
    return workspace


def lives(pid: int) -> bool:
    """Whether it runs; one that has ended may still be listed until its parent asks."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_cut_off_step_left_is_ended_before_it_is_run_again(tmp_path: Path) -> None:
    workspace = killed(tmp_path)
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)
    workspace.run()
    assert not lives(pid)
    assert workspace.lines() == ["a", "b", "c told-once"]
    (resumed,) = workspace.events("resumed")
    assert resumed["done"] == ["01-variable", "02-command", "03-command", "04-command"]
    assert (resumed["again"], resumed["interrupted"]) == (["05-command"], [])


DEAF = "echo b >> log; test -e waits && exit; trap : TERM; touch waits; while :; do sleep 1; done"
DEAF_MAPPING = f"""
recipe:
  group: job
  name: main
  steps:
    a: {{target: command.run, arguments: [{{command: {shell("echo a >> log")}}}]}}
    b: {{target: command.run, arguments: [{{command: {shell(DEAF)}}}]}}
  transitions:
    - {{in: a, out: b}}
"""


@pytest.mark.parametrize("text", [command("echo a >> log") + command(DEAF), DEAF_MAPPING])
def test_what_was_being_stopped_when_it_was_killed_is_not_gone_on_with(tmp_path: Path, text: str) -> None:
    workspace = Workspace(tmp_path, text)
    process_of_run = subprocess.Popen([BIN / "kommandir", "run", "run", tmp_path], stderr=subprocess.DEVNULL)
    while not (tmp_path / "waits").exists():
        time.sleep(0.02)
    process_of_run.terminate()
    time.sleep(0.5)
    process_of_run.kill()
    process_of_run.wait()
    workspace.run()
    assert workspace.lines() == ["a", "b", "a", "b"]
    assert workspace.events("resumed") == []


def test_another_context_begins_its_own_and_gives_the_killed_one_up(tmp_path: Path) -> None:
    workspace = killed(tmp_path, context="setup")
    pid = int((tmp_path / "pid").read_text())
    workspace.run(context="cleanup")
    assert not lives(pid)
    assert workspace.lines() == ["a", "b", "c told-once"] * 2
    workspace.run(context="setup")
    assert workspace.lines() == ["a", "b", "c told-once"] * 3
    assert workspace.events("resumed") == []


def test_a_job_that_has_changed_begins_anew_and_says_so(tmp_path: Path) -> None:
    workspace = killed(tmp_path)
    (tmp_path / "job.xn").write_text(KILLS + "# another one\n")
    said = workspace.run()
    assert "begins anew, since job.xn changed meanwhile" in said
    assert workspace.lines() == ["a", "b", "c told-once"] * 2


def test_a_context_that_has_ended_begins_anew(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, LIST)
    for _ in range(2):
        workspace.run()
    assert workspace.lines() == ["a", "b", "c told-once"] * 2
    assert workspace.events("resumed", "warning") == []


def test_the_journal_is_for_its_owner_and_secrets_stay_redacted(tmp_path: Path) -> None:
    workspace = killed(tmp_path, KILLS + command("echo $THE_TOKEN"))
    journal = tmp_path / "private" / "job.sqlite"
    assert (journal.stat().st_mode & 0o777, journal.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    workspace.run()
    written = "".join(path.read_text() for path in (tmp_path / "results").rglob("*") if path.is_file())
    assert "[redacted]" in written
    assert "told-once" not in written


def test_one_process_at_a_time_runs_the_job_of_a_workspace(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, command(f"{BIN}/kommandir run cleanup $WORKSPACE; echo $? >> log"))
    workspace.run()
    assert workspace.lines() == ["6"]


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b""])
def test_a_journal_that_can_not_be_read_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    workspace = killed(tmp_path)
    for path in (tmp_path / "private").glob("job.sqlite-*"):
        path.unlink()
    (tmp_path / "private" / "job.sqlite").write_bytes(content)
    said = workspace.run()
    assert ("can't be read" in said) is bool(content)
    assert workspace.lines() == ["a", "b", "c told-once"] * 2


def test_a_journal_with_an_entry_that_does_not_fit_says_how_to_go_on(tmp_path: Path) -> None:
    workspace = killed(tmp_path)
    with sqlite3.connect(tmp_path / "private" / "job.sqlite") as database:
        database.execute("UPDATE batches SET facts = replace(facts, 'plan_made', 'plan_forgotten')")
    database.close()
    assert "call it once more: it then begins anew" in workspace.run(code=5)
    workspace.run()
