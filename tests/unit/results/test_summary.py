from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exekutir import results
from exekutir.results import history, summary
from tests.event_streams import Told
from tests.unit.results.test_history import ANY_EVENT


def written(told: Told, exit_code: int) -> Any:
    results.write(told.path, exit_code=exit_code)
    return json.loads((told.results / "summary.json").read_text())


def test_a_good_job(good: Told) -> None:
    data = written(good, 0)
    assert (data["schema"], data["exit_code"], data["meaning"]) == (1, 0, "all good")
    assert data["job"] == {"name": "quickstart", "uuid": "quickstart-3f9a", "workspace": str(good.path)}
    setup = data["contexts"][0]
    assert (setup["context"], setup["outcome"], setup["seconds"]) == ("setup", "good", 4.2)
    assert setup["steps"][1] == {
        "kind": "playbook",
        "name": "setup.yml",
        "outcome": "ok",
        "exit_code": 0,
        "seconds": 3.1,
        "log": "results/setup-setup.yml.log",
    }
    assert setup["peons"][0]["tasks"] == {"changed": 2}
    assert [(file["peon"], file["tests"], file["passed"]) for file in data["tests"]] == [("one", 3, 2), ("two", 3, 2)]


def test_a_failure_has_task_role_message_and_log(broken: Told) -> None:
    data = written(broken, 1)
    assert data["exit_code"] == 1
    (failure,) = [failure for peon in data["contexts"][1]["peons"] for failure in peon["failures"]]
    assert {key: failure[key] for key in ("kind", "task", "role", "message", "log")} == {
        "kind": "test",
        "task": "run the tests",
        "role": "checks",
        "message": "non-zero return code",
        "log": "results/run-run.yml.log",
    }
    assert [file["failures"] for file in data["tests"] if file["failed"]] == [
        [
            {
                "classname": "test_page",
                "name": "test_says_hello",
                "outcome": "failed",
                "message": "assert 500 == 200",
            }
        ]
    ]


@given(st.lists(ANY_EVENT, max_size=10))
def test_any_events_make_json_that_every_reader_takes(stream: list[dict[str, Any]]) -> None:
    def refused(name: str) -> None:
        raise AssertionError(name)

    text = summary.document(history.collect(stream, 1), written="2026-01-01T00:00:00Z")
    json.loads(text, parse_constant=refused)
    text.encode("ascii")


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        inner = {key for name, item in value.items() if name != "tasks" for key in keys_of(item)}
        return {key for key in value if isinstance(key, str)} | inner
    return {key for item in value for key in keys_of(item)} if isinstance(value, list) else set()


def test_every_key_is_documented(broken: Told, checkout: Path) -> None:
    page = (checkout / "docs" / "reference" / "results.md").read_text()
    assert sorted(key for key in keys_of(written(broken, 1)) if f"`{key}`" not in page) == []
