"""Recipes of a job run for real: what comes of errors, handled or not, of limits and of signals."""

from __future__ import annotations

import signal
import threading

import pytest

from kommandir import events, process
from kommandir.cancellation import Cancellation
from kommandir.environment import JOB_TAG
from kommandir.errors import ExitCode
from tests.unit.xn_recipes.conftest import Runs


def recipe(steps: str, transitions: str = "", more: str = "") -> str:
    """A recipe of steps and transitions, a line each; ``NAME! TEXT`` is a step that runs a shell command."""
    lines = [f"    {_step(line.strip())}" for line in steps.strip().splitlines()]
    head = ["recipe:", "  group: g", "  name: n", *([f"  {more}"] if more else []), "  steps:", *lines]
    ways = [f"    - {{{line.strip()}}}" for line in transitions.strip().splitlines()]
    return "\n".join([*head, *(["  transitions:", *ways] if ways else [])]) + "\n"


def _step(line: str) -> str:
    name, shell, text = line.partition("! ")
    if not shell:
        return line
    arguments = "-c '{}'".format(text.replace('"', '\\"'))
    return f'{name}: {{target: command.run, arguments: [{{command: {{filepath: /bin/sh, arguments: "{arguments}"}}}}]}}'


def test_the_first_failure_gives_the_exit_code_and_nothing_follows_it(runs: Runs) -> None:
    result = runs(recipe("a! exit 0\nb! exit 7\nc! exit 0", "in: a, out: b\nin: b, out: c"))
    assert (result.exit_code, result.outcome) == (7, ExitCode.TESTS_FAILED)
    assert runs.ended() == [("a", "ok"), ("b", "failed")]
    assert runs(recipe("a! exit 7"), context="setup").outcome == ExitCode.JOB_FAILED


def test_an_error_that_a_transition_handles_does_not_count(runs: Runs) -> None:
    text = recipe(
        "a! exit 7\nb! echo $ADEPT_CONTEXT\nc! exit 0", "in: {error: a}, out: b\nin: b, out: c\nin: a, out: c"
    )
    result = runs(text)
    assert (result.exit_code, result.failures) == (0, ())
    assert runs.ended() == [("a", "swallowed"), ("b", "ok"), ("c", "ok")]


def test_job_fail_makes_a_handled_error_count_with_its_own_code(runs: Runs) -> None:
    text = recipe("a! echo why; exit 7\nb! exit 0\nc: {target: job.fail}", "in: {error: a}, out: b\nin: b, out: c")
    result = runs(text)
    assert result.exit_code == 7
    assert [failure.step for failure in result.failures] == ["stdin-a"]
    assert "why" in result.failures[0].message
    assert runs.ended() == [("a", "swallowed"), ("b", "ok"), ("a", "failed")]


def test_job_fail_tells_what_failed_first_not_what_failed_while_that_was_looked_into(runs: Runs) -> None:
    text = recipe(
        "a! exit 7\nkeep! exit 0\nlogs! exit 9\nc: {target: job.fail}",
        "in: {error: a}, out: keep\nin: keep, out: logs\nin: {error: logs}, out: c\nin: logs, out: c",
    )
    result = runs(text)
    assert (result.exit_code, [failure.step for failure in result.failures]) == (7, ["stdin-a"])
    assert runs.ended() == [("a", "swallowed"), ("keep", "ok"), ("logs", "swallowed"), ("a", "failed")]


def test_job_fail_does_not_tell_what_was_mended_before(runs: Runs) -> None:
    text = recipe(
        "create! exit 3\nagain! exit 0\ntest! exit 7\nlogs! exit 0\nf: {target: job.fail}\nend: {target: job.nothing}",
        "in: create, out: test\nin: {error: create}, out: again\nin: again, out: test\nin: {error: test}, out: logs\n"
        "in: logs, out: f\nin: f, out: end\nin: test, out: end",
    )
    result = runs(text)
    assert (result.exit_code, [failure.step for failure in result.failures]) == (7, ["stdin-test"])


def test_job_fail_by_itself_says_its_message(runs: Runs) -> None:
    result = runs(recipe("a: {target: job.fail, arguments: [{failure: {message: 'no $ADEPT_CONTEXT today'}}]}"))
    assert (result.exit_code, result.failures[0].message) == (1, "no run today")


def test_an_error_in_a_recipe_that_a_step_calls_can_be_handled_by_the_caller(runs: Runs) -> None:
    text = recipe(
        "first: {target: g.try, type: recipe}\nagain: {target: g.try, type: recipe}\nend: {target: job.nothing}",
        "in: first, out: end\nin: {error: first}, out: again\nin: again, out: end",
    )
    text += (
        "recipes:\n- group: g\n  name: try\n  steps:\n    t: {target: command.run, arguments: "
        "[{command: {filepath: /bin/sh, arguments: \"-c 'test -e there || { touch there; exit 3; }'\"}}]}\n"
    )
    assert runs(text).exit_code == 0
    assert runs.ended() == [("t", "swallowed"), ("t-2", "ok")]
    (runs.workspace / "there").unlink()
    assert runs(text.replace("touch there; ", "")).exit_code == 3
    assert runs.ended() == [("t", "swallowed"), ("t-2", "failed")]


def test_attempts_count_once(runs: Runs) -> None:
    text = recipe("a! test -e there || { touch there; exit 3; }").replace("target:", "attempts: 2, backoff: 0, target:")
    assert runs(text).exit_code == 0
    assert runs.ended() == [("a", "swallowed"), ("a-2", "ok")]


def test_variables_hold_for_later_steps(runs: Runs) -> None:
    text = recipe(
        "v: {target: variable.set, arguments: [{variable: {name: V, value: x}}]}\na! echo $V", "in: v, out: a"
    )
    assert runs(text).exit_code == 0
    assert runs.lines() == ["x"]


def test_foreach_runs_a_call_for_each_element_and_fails_with_the_first(runs: Runs) -> None:
    text = recipe(
        "many: {target: command.run, foreach: command, arguments: [{command: {filepath: /bin/true}}, "
        "{command: {filepath: /bin/false}}, {command: {filepath: /bin/true}}]}"
    )
    assert runs(text).exit_code == 1
    assert sorted(outcome for _, outcome in runs.ended()) == ["failed", "ok", "ok"]
    assert {step for step, _ in runs.ended()} == {"many", "many-2", "many-3"}


def test_branches_run_side_by_side(runs: Runs) -> None:
    # Each of both waits for what the other makes.
    text = recipe(
        "a: {target: job.nothing}\n"
        "b! touch b; while ! test -e c; do sleep 0.02; done\n"
        "c! touch c; while ! test -e b; do sleep 0.02; done\n"
        "d: {target: job.nothing}",
        "in: a, out: [b, c]\nin: [b, c], out: d",
    )
    assert runs(text, timeout=60).exit_code == 0


def test_the_deadline_of_a_step_ends_it_and_can_be_handled(runs: Runs) -> None:
    text = recipe("a! exec sleep 600").replace("target:", "deadline: 0.3, target:")
    result = runs(text)
    assert (result.outcome, result.exit_code) == (ExitCode.TIMED_OUT, 7)
    assert list(process.tagged(JOB_TAG, "standalone")) == []


def test_the_deadline_of_the_run_ends_all_of_it(runs: Runs) -> None:
    text = recipe("a! exec sleep 600\nb! exit 0\nc! exit 0", "in: a, out: c\nin: {error: a}, out: b\nin: b, out: c")
    result = runs(text, timeout=0.5)
    assert (result.outcome, result.exit_code) == (ExitCode.TIMED_OUT, 7)
    assert runs.ended() == [("a", "interrupted")]


@pytest.mark.parametrize(("number", "outcome"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_plans_and_none_handles_it(runs: Runs, number: int, outcome: int) -> None:
    cancellation = Cancellation()

    def stop(item: events.Event) -> None:
        if item["event"] == "output":
            cancellation.request(number)

    text = recipe(
        "s: {target: job.nothing}\na! echo here; exec sleep 600\nb! exec sleep 600\nh! exit 0\nc! exit 0",
        "in: s, out: [a, b]\nin: [a, b], out: c\nin: {error: a}, out: h\nin: h, out: c",
    )
    result = runs(text, cancellation=cancellation, on_event=stop)
    assert (int(result.outcome), result.exit_code) == (outcome, outcome)
    assert {outcome for _, outcome in runs.ended()} == {"interrupted"}
    assert [item["outcome"] for item in runs.told if item.get("step") == "stdin-h"] == []


def test_a_plan_that_only_waits_for_a_time_is_ended_by_a_signal(runs: Runs) -> None:
    cancellation = Cancellation()
    text = recipe("a! exit 0\nb! exit 0", "in: a, out: b, time: {years: 2999}")
    timer = threading.Timer(0.5, cancellation.request, [signal.SIGTERM])
    timer.start()
    result = runs(text, cancellation=cancellation)
    timer.join()
    assert result.outcome == ExitCode.TERMINATED
    assert runs(text, timeout=0.5).outcome == ExitCode.TIMED_OUT


def test_a_plan_that_waits_for_what_never_comes_is_a_mistake_of_the_job(runs: Runs) -> None:
    result = runs(recipe("a! exit 0\nb! exit 0", "in: a, out: b, when: elmt.type == 'never'"))
    assert result.outcome == ExitCode.USAGE
    assert "elmt.type == 'never'" in result.failures[0].message
    assert "standard input:8" in result.failures[0].message


def test_a_missing_input_is_a_mistake_of_the_job(runs: Runs) -> None:
    result = runs(recipe("a: {target: command.run}"))
    assert result.outcome == ExitCode.USAGE
    assert "command" in result.failures[0].message


def test_other_branches_end_when_one_fails_but_nothing_new_starts(runs: Runs) -> None:
    text = recipe(
        "s: {target: job.nothing}\n"
        "a! exit 4\n"
        "b! while ! test -e go; do sleep 0.02; done; echo b\n"
        "c! echo c\n"
        "d: {target: job.nothing}",
        "in: s, out: [a, b]\nin: b, out: c\nin: [a, c], out: d",
    )

    def go(item: events.Event) -> None:
        if item["event"] == "step_finished" and item["step"] == "stdin-a":
            (runs.workspace / "go").touch()

    assert runs(text, on_event=go, timeout=60).exit_code == 4
    assert runs.lines() == ["b"]


def test_check_only_says_what_would_be_done(runs: Runs) -> None:
    assert runs(recipe("a! touch made"), check=True).exit_code == 0
    assert runs.lines() == ["1/1 command.run: sh (standard input:5)"]
    assert not (runs.workspace / "made").exists()


def test_secrets_are_redacted_in_what_steps_say(runs: Runs) -> None:
    text = recipe(
        "v: {target: variable.set, arguments: [{variable: {name: MY_PASSWORD, value: s3cr3t-thing}}]}\n"
        "a! echo $MY_PASSWORD; exit 3",
        "in: v, out: a",
    )
    result = runs(text)
    assert "s3cr3t-thing" not in f"{result} {runs.told}"
    assert all("s3cr3t-thing" not in path.read_text() for path in (runs.workspace / "results").rglob("*.log"))
