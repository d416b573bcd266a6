from __future__ import annotations

import re
from pathlib import Path

import pytest

from exekutir import results
from exekutir.results.wording import MEANINGS, clock, duration, meaning, names
from kommandir.errors import ExitCode
from tests.event_streams import Told, setup_told


def lines(told: Told, exit_code: int | None) -> str:
    return "\n".join(results.write(told.path, exit_code=exit_code).lines())


def test_a_good_job_is_two_lines(good: Told) -> None:
    first, second = lines(good, 0).splitlines()
    assert first == "quickstart: setup, run and cleanup good (2 peons, 6 tests, 9.5 s)"
    assert second == f"results: {good.path}/results (open index.html there)"


def test_failures_come_with_their_tail_and_path(broken: Told) -> None:
    text = lines(broken, 1)
    assert 'bad, run, role checks, task "run the tests"' in text
    assert "    | E       assert 500 == 200" in text
    assert f"    all of it: {broken.path}/results/run-run.yml.log" in text
    assert "tests of bad: 1 of 3 tests failed (results/bad/junit.xml)" in text
    assert "broken: run FAILED: the tests said no (exit code 1)" in text
    assert "\x1b" not in text
    assert text.splitlines()[-1].startswith("results: ")


def test_a_good_cleanup_says_what_was_before_it(broken: Told) -> None:
    first, second, third = lines(broken, 0).splitlines()
    assert first.startswith("broken: cleanup good")
    assert second == "  run before it: the tests said no (exit code 1)"
    assert third.startswith("results: ")


def test_only_the_contexts_of_the_command_are_told(broken: Told) -> None:
    verdict = results.write(broken.path, exit_code=9, contexts=["cleanup"])
    assert verdict.failures == ()
    assert verdict.contexts == ("cleanup",)


def test_failed_tests_that_a_job_passes_over_are_mentioned(good: Told) -> None:
    text = "<testsuite><testcase name='a'><failure/></testcase></testsuite>"
    (good.results / "one" / "more.xml").write_text(text)
    assert "but 1 test of the peons' own files failed" in lines(good, 0)


def test_the_same_failure_of_many_peons_is_told_once(told: Told) -> None:
    peons = [f"peon{number}" for number in range(32)]
    setup_told(told, peons)
    told.started("run")
    told.playbook("run")
    told.task("run", "t", {peon: {"outcome": "failed", "message": "no space left"} for peon in peons})
    told.playbook_ended("run", exit_code=2)
    told.finished("run", 1)
    text = lines(told, 1)
    assert text.count("no space left") == 1
    assert "peon0, peon1, peon2, peon3, peon4, peon5 and 26 more, run" in text


def test_a_hundred_failures_stay_readable(told: Told) -> None:
    told.started("run")
    for number in range(100):
        told.task("run", f"task {number}", {f"peon{number}": {"outcome": "failed", "stdout": "x\n" * 200}})
    told.finished("run", 1)
    text = lines(told, 1)
    assert len(text.splitlines()) < 200
    assert "and 60 more, see index.html" in text


def test_without_a_workspace_there_is_a_verdict_too(tmp_path: Path) -> None:
    verdict = results.write(tmp_path / "none", exit_code=2)
    assert "the job: FAILED: a mistake in the command line" in verdict.lines()[0]
    assert not (tmp_path / "none").exists()


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert "step" in meaning(77)
    assert "end" in meaning(None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3600, "1 h 00 min"),
        (7385, "2 h 03 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
    assert re.fullmatch(r"(\d+:)?\d{1,2}:\d\d", clock(seconds))


def test_names() -> None:
    assert [names([]), names(["a"]), names(["a", "b"]), names(["a", "b", "c"], 2)] == [
        "",
        "a",
        "a and b",
        "a, b and 1 more",
    ]


def test_a_very_long_line_is_cut(told: Told) -> None:
    told.started("run")
    told.task("run", "t", {"one": {"outcome": "failed", "message": "m" * 3000, "stdout": "o" * 3000}})
    told.finished("run", 1)
    assert max(len(line) for line in lines(told, 1).splitlines()) < 450
