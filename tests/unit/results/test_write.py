from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from exekutir import results
from tests.event_streams import Told

FILES = ("junit.xml", "summary.json", "index.html")


def listed(told: Told) -> set[str]:
    return {path.name for path in told.results.iterdir()}


def test_writes_three_files_and_nothing_else(good: Told) -> None:
    before = listed(good)
    verdict = results.write(good.path, exit_code=0)
    assert listed(good) - before == set(FILES)
    assert verdict.problems == ()


def test_torn_and_foreign_lines_are_passed_over(broken: Told) -> None:
    events = broken.results / "events.jsonl"
    text = events.read_bytes()
    events.write_bytes(b"\xff\xfe junk\n[1, 2]\n{}\n" + text + b'{"event": "task_result", "context": "ru')
    assert [failure.peon for failure in results.write(broken.path, exit_code=1).failures] == ["bad"]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_half_the_events_make_half_the_results(broken: Told, share: float) -> None:
    events = broken.results / "events.jsonl"
    text = events.read_bytes()
    events.write_bytes(text[: int(len(text) * share)])
    results.write(broken.path, exit_code=None)
    etree.parse(broken.results / "junit.xml")
    json.loads((broken.results / "summary.json").read_text())


def test_without_events_there_are_results(told: Told) -> None:
    assert results.write(told.path, exit_code=5).problems == ()
    assert all((told.results / name).is_file() for name in FILES)


@pytest.mark.parametrize("name", [*FILES, "events.jsonl"])
def test_what_is_in_the_way_is_a_problem_not_an_error(good: Told, name: str) -> None:
    (good.results / name).unlink(missing_ok=True)
    (good.results / name).mkdir()
    verdict = results.write(good.path, exit_code=0)
    assert [name in problem for problem in verdict.problems] == [True]
    assert f"warning: {verdict.problems[0]}" in verdict.lines()
    others = [other for other in FILES if other != name]
    assert all((good.results / other).is_file() for other in others)
    assert not any(name.endswith(".new") for name in listed(good))


def test_secrets_that_were_redacted_are_nowhere(told: Told) -> None:
    told.started("run")
    told.task("run", "t", {"one": {"outcome": "failed", "message": "hunter2secret", "stdout": "x hunter2secret y"}})
    told.finished("run", 1, "hunter2secret")
    results.write(told.path, exit_code=1)
    for name in (*FILES, "events.jsonl"):
        assert "hunter2secret" not in (told.results / name).read_text()


LOADED = """
import os, sys
from pathlib import Path
from exekutir import display, results
from tests.event_streams import Told
with open(os.devnull, "w") as nowhere:
    with display.opened("auto", verbosity=0, stdout=nowhere, stderr=nowhere, environ={}) as screen:
        told = Told(Path(sys.argv[1]), screen)
        told.started("run")
        told.task("run", "t", {"kommandir": {}})
        told.finished("run")
    results.write(told.path, exit_code=0).lines()
heavy = {"rich", "lxml", "jinja2", "ansible", "ansible_runner", "xml", "asyncio", "http"}
print(*sorted(heavy & set(sys.modules)))
"""


def test_a_job_without_peons_loads_nothing_heavy(tmp_path: Path, checkout: Path) -> None:
    command = [sys.executable, "-c", LOADED, str(tmp_path)]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def failed_command(told: Told, log: str) -> str:
    told.started("run")
    told.emit("run", "step_started", step="1", kind="command", name="check", index=1, total=1)
    told.emit("run", "output", step="1", stream="stdout", line="of the events")
    ended = {"kind": "command", "name": "check", "outcome": "failed", "exit_code": 3, "log": log}
    told.emit("run", "step_finished", step="1", seconds=1, **ended)
    told.finished("run", 1)
    (failure,) = results.write(told.path, exit_code=1).failures
    return failure.output


def test_a_failed_step_has_the_tail_of_its_log(told: Told) -> None:
    (told.results / "run.log").write_text("".join(f"line {number}\n" for number in range(100_000)))
    lines = failed_command(told, "results/run.log").splitlines()
    assert (len(lines), lines[-1]) == (30, "line 99999")


@pytest.mark.parametrize("log", ["", "results/none.log", "/etc/passwd", "results/../../../etc/passwd", "results/link"])
def test_without_a_log_it_has_what_the_events_tell(told: Told, log: str) -> None:
    (told.results / "link").symlink_to("/etc/passwd")
    assert failed_command(told, log) == "of the events"
