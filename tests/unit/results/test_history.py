from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exekutir.results import history
from exekutir.results.record import Context, Job
from kommandir import events
from tests.event_streams import Told, killed_and_resumed


def collected(told: Told, exit_code: int | None = None) -> Job:
    return history.collect(events.read(told.results / events.FILE_NAME), exit_code)


def only_failure(context: Context) -> Any:
    assert len(context.all_failures) == 1, context.all_failures
    return context.all_failures[0]


def test_a_good_job(good: Told) -> None:
    job = collected(good)
    assert list(job.contexts) == ["setup", "run", "cleanup"]
    assert [context.outcome for context in job.contexts.values()] == ["good"] * 3
    assert job.exit_code == 0
    assert job.hosts == ["one", "two"]
    assert job.contexts["setup"].peons["one"].counts == {"changed": 2}
    assert job.contexts["setup"].peons["one"].state == "up"
    assert [context.all_failures for context in job.contexts.values()] == [[], [], []]


def test_a_failed_test_is_told_once_with_its_output_and_log(broken: Told) -> None:
    job = collected(broken)
    failure = only_failure(job.contexts["run"])
    assert (failure.peon, failure.role, failure.task, failure.kind) == ("bad", "checks", "run the tests", "test")
    assert "assert 500 == 200" in failure.output
    assert "\x1b" not in failure.output
    assert (failure.step, failure.log) == ("playbook run.yml", "results/run-run.yml.log")
    assert job.exit_code == 1
    assert job.contexts["run"].failed_peons == ["bad"]


def test_a_repeated_context_replaces_the_earlier_one(broken: Told) -> None:
    broken.started("run")
    broken.finished("run")
    job = collected(broken)
    assert list(job.contexts) == ["setup", "run", "cleanup"]
    assert job.contexts["run"].outcome == "good"
    assert job.contexts["run"].all_failures == []
    assert job.exit_code == 0


def test_what_a_killed_call_did_belongs_to_the_one_that_goes_on_with_it(told: Told) -> None:
    killed_and_resumed(told)
    context = collected(told).contexts["run"]
    assert [(step.key, step.outcome) for step in context.steps.values()] == [("1", "ok"), ("2", "ok")]
    assert {outcome: number for outcome, number in context.peons["one"].counts.items() if number} == {"ok": 2}
    assert (context.outcome, context.all_failures) == ("good", [])


def test_steps_that_were_done_before_are_told_even_where_their_events_are_lost(told: Told) -> None:
    told.started("run")
    told.emit("run", "resumed", done=["1"], again=["2"], interrupted=None)
    told.finished("run")
    assert [(step.key, step.outcome) for step in collected(told).contexts["run"].steps.values()] == [("1", "ok")]


def test_a_step_that_was_cut_off_is_no_failed_test(told: Told) -> None:
    told.started("run")
    told.emit("run", "step_started", step="1", kind="command", name="sh", index=1, total=1)
    told.started("run")
    told.emit("run", "resumed", done=[], again=[], interrupted=["1"])
    ended = {"kind": "command", "name": "sh", "outcome": "interrupted", "exit_code": 5, "seconds": 0, "log": "x"}
    told.emit("run", "step_finished", step="1", **ended)
    told.finished("run", exit_code=5)
    failure = only_failure(collected(told).contexts["run"])
    assert (failure.kind, failure.message) == ("infrastructure", "it was under way when exekutir was killed")


@pytest.mark.parametrize(
    ("context", "data", "kind"),
    [
        ("run", {}, "test"),
        ("run", {"infrastructure": True}, "infrastructure"),
        ("run", {"outcome": "unreachable"}, "infrastructure"),
        ("setup", {}, "infrastructure"),
        ("cleanup", {}, "infrastructure"),
    ],
)
def test_a_failure_is_the_test_or_the_infrastructure(told: Told, context: str, data: dict[str, Any], kind: str) -> None:
    told.started(context)
    told.playbook(context)
    told.task(context, "t", {"one": {"outcome": "failed"} | data})
    told.finished(context, 1)
    assert only_failure(collected(told).contexts[context]).kind == kind


def test_ignored_and_rescued_tasks_are_no_failures(told: Told) -> None:
    told.started("run")
    told.task("run", "t", {"one": {"outcome": "ignored"}, "two": {"outcome": "rescued"}})
    told.finished("run")
    assert collected(told).contexts["run"].all_failures == []


def test_a_command_that_fails_in_run_is_a_test(told: Told) -> None:
    told.started("run")
    told.emit("run", "step_started", step="1", kind="command", name="check.sh", index=1, total=1)
    told.emit("run", "output", step="1", stream="stdout", line="\x1b[1mno such page\x1b[0m")
    command = {"kind": "command", "name": "check.sh", "outcome": "failed", "exit_code": 3}
    told.emit("run", "step_finished", step="1", seconds=1.5, log="results/check.log", **command)
    told.finished("run", 3)
    failure = only_failure(collected(told).contexts["run"])
    assert (failure.kind, failure.step, failure.message) == ("test", "command check.sh", "exit code 3")
    assert (failure.output, failure.log) == ("no such page", "results/check.log")


def test_a_playbook_that_fails_on_no_peon_is_infrastructure(told: Told) -> None:
    told.started("run")
    told.playbook("run")
    told.playbook_ended("run", exit_code=4)
    told.finished("run", 5)
    assert only_failure(collected(told).contexts["run"]).kind == "infrastructure"


def test_what_the_job_swallows_is_no_failure(told: Told) -> None:
    told.started("run")
    told.playbook("run")
    told.task("run", "t", {"one": {"outcome": "failed"}})
    ended = {"kind": "playbook", "name": "run.yml", "outcome": "swallowed", "exit_code": 2}
    told.emit("run", "step_finished", step="1", seconds=1.0, log="", **ended)
    told.finished("run")
    context = collected(told).contexts["run"]
    assert context.all_failures == []
    assert context.peons["one"].counts["ignored"] == 1
    assert context.peons["one"].outcome == "good"


def test_a_peon_that_was_not_created_is_told_once(told: Told) -> None:
    told.started("setup")
    told.playbook("setup")
    told.emit("setup", "peon", peon="one", state="failed", provider="namespace", message="exit code 3", seconds=1)
    told.emit("setup", "peon", peon="two", state="failed", provider="namespace", message="exit code 3", seconds=1)
    told.task("setup", "create it", {"one": {"outcome": "failed", "infrastructure": True}}, role="peon_created")
    told.finished("setup", 3)
    peons = collected(told).contexts["setup"].peons
    assert [failure.task for failure in peons["one"].failures] == ["create it"]
    assert [failure.message for failure in peons["two"].failures] == ["exit code 3"]


def test_a_context_without_an_inner_failure_has_its_reason(told: Told) -> None:
    told.started("setup")
    told.emit("setup", "context_finished", exit_code=6, reason="lock x was not had", seconds=3)
    assert only_failure(collected(told).contexts["setup"]).message == "lock x was not had"


def test_what_cleanup_left_behind_is_told_beside_other_failures(told: Told) -> None:
    told.started("cleanup")
    told.task("cleanup", "t", {"one": {"outcome": "failed"}})
    told.finished("cleanup", 9, "one is still there")
    messages = [failure.message for failure in collected(told).contexts["cleanup"].all_failures]
    assert "one is still there" in messages
    assert len(messages) == 2


def test_a_killed_context_is_unfinished(told: Told) -> None:
    told.started("run")
    told.playbook("run")
    job = collected(told)
    assert job.contexts["run"].outcome == "unfinished"
    assert job.exit_code is None
    assert collected(told, 130).exit_code == 130


def test_much_is_counted_but_not_kept(told: Told) -> None:
    def many() -> Any:
        yield {"event": "context_started", "context": "run", "time": "2026-01-01T00:00:00Z"}
        for number in range(20_000):
            name, host = f"task {number}", f"peon{number % 4}"
            bad = "failed" if number % 5 == 0 else "ok"
            yield {"event": "task_result", "context": "run", "host": host, "task": name, "outcome": bad, "role": "r"}

    peon = history.collect(many(), 1).contexts["run"].peons["peon0"]
    assert peon.total == 5000
    assert peon.counts == {"failed": 1000, "ok": 4000}
    assert len(peon.tasks) == 100
    assert len(peon.failures) == 50
    assert peon.more_failures == 950


NESTED: list[Any] = [[], {}, ["a", None], {"a": [1]}]
ANYTHING = st.one_of(
    st.text(st.characters(codec=None), max_size=20), st.floats(), st.integers(), st.sampled_from([None, True, *NESTED])
)
KEYS = "step kind name index total outcome exit_code seconds log play task role host message stdout stderr peon state"
KEYS += " provider phase detail line reason uuid job_name workspace version time path infrastructure done again"
KINDS = "context_started context_finished phase_started phase_finished step_started step_finished play_started"
KINDS += " task_started task_result output peon waiting warning resumed nonsense"
ANY_EVENT = st.dictionaries(st.sampled_from(KEYS.split()), ANYTHING, max_size=8).flatmap(
    lambda data: st.fixed_dictionaries(
        {"event": st.sampled_from(KINDS.split()), "context": st.sampled_from(["run", "setup", ""]) | ANYTHING}
    ).map(lambda told: data | told)
)


@given(st.lists(ANY_EVENT, max_size=12), st.none() | st.integers(0, 255))
def test_no_event_is_too_strange(stream: list[dict[str, Any]], exit_code: int | None) -> None:
    job = history.collect(stream, exit_code)
    assert all(isinstance(context.all_failures, list) for context in job.contexts.values())


def test_the_role_that_fails_a_peon_for_what_failed_before_is_not_told(told: Told) -> None:
    told.started("run")
    told.playbook("run")
    told.task("run", "the tests", {"one": {"outcome": "failed", "message": "why"}}, role="checks")
    told.task("run", "says so", {"one": {"outcome": "failed", "message": "why"}}, role="failed_peon_result")
    told.playbook_ended("run", exit_code=2)
    told.finished("run", 1)
    assert only_failure(collected(told).contexts["run"]).role == "checks"


def test_the_kommandir_is_no_peon(told: Told) -> None:
    told.started("run")
    told.task("run", "t", {"kommandir": {}, "one": {}})
    told.finished("run")
    assert collected(told).contexts["run"].peon_names == ["one"]
