from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from exekutir import results
from exekutir.results import history, junit
from exekutir.results.record import Job, JUnitFile, PeonTest
from tests.event_streams import Told
from tests.unit.results.test_history import ANY_EVENT

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))


def checked(text: str) -> Any:
    """The document, when it is one that CI servers take."""
    root = etree.fromstring(text.encode())
    SCHEMA.assertValid(root)
    for suite in (root, *root.iter("testsuite")):
        assert int(suite.get("tests", "")) == len(list(suite.iter("testcase")))
        assert int(suite.get("failures", "")) == len(list(suite.iter("failure")))
        assert int(suite.get("errors", "")) == len(list(suite.iter("error")))
    return root


def written(told: Told, exit_code: int) -> Any:
    results.write(told.path, exit_code=exit_code)
    return checked((told.results / "junit.xml").read_text())


def names(root: Any, xpath: str = "//testcase") -> set[str]:
    return {f"{case.get('classname')}/{case.get('name')}" for case in root.xpath(xpath)}


def test_a_good_job_has_only_good_cases(good: Told) -> None:
    root = written(good, 0)
    assert (root.get("name"), root.get("failures"), root.get("errors")) == ("quickstart", "0", "0")
    assert {
        "quickstart/setup",
        "quickstart/run",
        "quickstart/cleanup",
        "quickstart.setup.one/the host is up",
        "quickstart.run.two/checks (The peons)",
        "one.test_page/test_answers",
    } <= names(root)


def test_a_failed_test_is_a_failure_with_its_tail(broken: Told) -> None:
    root = written(broken, 1)
    expected = {"broken.run.bad/checks (The peons)", "bad.test_page/test_says_hello"}
    assert names(root, "//testcase[failure]") == expected
    assert root.xpath("//error") == []
    text = root.xpath("//testcase[@classname='broken.run.bad']/failure")[0]
    assert text.get("message") == "run the tests: non-zero return code"
    assert "assert 500 == 200" in text.text
    assert "results/run-run.yml.log" in text.text
    assert "broken/run" not in names(root), "the context failed only because of its peon"


def test_names_are_the_same_from_run_to_run(good: Told) -> None:
    first = names(written(good, 0))
    assert names(written(good, 0)) == first


def test_infrastructure_is_an_error(told: Told) -> None:
    told.started("setup")
    told.playbook("setup")
    told.emit("setup", "peon", peon="one", state="failed", provider="podman", message="no image", seconds=1)
    told.playbook_ended("setup", exit_code=2)
    told.finished("setup", 3)
    root = written(told, 3)
    assert root.xpath("//failure") == []
    assert "quickstart.setup.one/the host is up" in names(root, "//testcase[error]")


@pytest.mark.parametrize("exit_code", [2, 5, 6, 7, 130, 143])
def test_a_context_that_fails_by_itself_is_an_error(told: Told, exit_code: int) -> None:
    told.started("run")
    told.finished("run", exit_code, "why")
    root = written(told, exit_code)
    assert names(root, "//testcase[error]") == {"quickstart/run"}


def test_what_did_not_end_is_an_error(told: Told) -> None:
    told.started("run")
    results.write(told.path, exit_code=None)
    assert names(checked((told.results / "junit.xml").read_text()), "//testcase[error]") == {"quickstart/run"}


def test_same_names_are_told_apart() -> None:
    cases = [PeonTest("s", "c", "t", 0.1, "passed"), PeonTest("s", "c", "t", 0.1, "skipped")]
    cases += [PeonTest("s", "c", "t [2]", 0.1, "error", "m")]
    root = checked(
        "".join(junit.document(Job(tests=[JUnitFile("one", "a.xml", cases), JUnitFile("one", "b.xml", cases)])))
    )
    assert len(names(root)) == 6


def test_many_same_names_take_no_time_worth_mentioning() -> None:
    cases = [PeonTest("s", "c", "t", 0.0, "passed")] * 20_000
    assert len(names(checked("".join(junit.document(Job(tests=[JUnitFile("one", "a.xml", cases)])))))) == 20_000


@given(st.lists(ANY_EVENT, max_size=10))
def test_any_events_make_a_valid_file(stream: list[dict[str, Any]]) -> None:
    checked("".join(junit.document(history.collect(stream, 1))))


@given(*[st.text(st.characters(codec=None), max_size=40)] * 4)
def test_any_text_makes_a_valid_file(name: str, message: str, output: str, role: str) -> None:
    stream = [
        {"event": "context_started", "context": "run", "job_name": name, "time": name},
        {"event": "task_result", "context": "run", "host": name, "role": role, "task": name, "outcome": "failed"}
        | {"message": message, "stdout": output, "stderr": message},
    ]
    checked("".join(junit.document(history.collect(stream, 1))))
