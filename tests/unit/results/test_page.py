from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import html

from exekutir import results
from exekutir.results import history, page
from exekutir.results.markup import link
from exekutir.results.record import Job
from tests.event_streams import Told
from tests.unit.results.test_history import ANY_EVENT

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)>"\' onload="alert(1) &amp; javascript:alert(1) </pre>'


def parsed(text: str) -> Any:
    """The page, when nothing in it runs or loads anything."""
    root = html.document_fromstring(text.encode())
    assert root.xpath("//script | //img | //iframe | //object | //embed | //form | //base | //link[@rel!='icon']") == []
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on"), (element.tag, name)
            if name in ("href", "src") and element.get("rel") != "icon":
                assert value.startswith(("#", "./")), value
    assert "url(" not in text
    assert "@import" not in text
    return root


def written(told: Told, exit_code: int | None) -> Any:
    results.write(told.path, exit_code=exit_code)
    return parsed((told.results / "index.html").read_text())


def text_of(root: Any, xpath: str = "//body") -> str:
    return " ".join(" ".join(element.text_content().split()) for element in root.xpath(xpath))


def test_says_what_a_good_job_did(good: Told) -> None:
    root = written(good, 0)
    assert text_of(root, "//h1") == "✓ Good quickstart"
    assert root.xpath("//h2[@id='failures']") == []
    assert text_of(root, "//section[@aria-labelledby='peons']//tbody/tr/th") == "one two"
    assert "service : install the service" in text_of(root)


def test_says_what_failed_where_and_why(broken: Told) -> None:
    root = written(broken, 1)
    assert text_of(root, "//header//p[@class='lead']") == "run ended with exit code 1: the tests said no."
    failure = text_of(root, "//article")
    for said in ("bad, run, role checks", "run the tests", "non-zero return code", "assert 500 == 200", "roles/x"):
        assert said in failure
    assert root.xpath("//article//a/@href") == ["./run-run.yml.log", "#files-bad"]


def test_links_lead_to_files_that_exist(broken: Told) -> None:
    root = written(broken, 1)
    anchors = {f"#{name}" for name in root.xpath("//@id")}
    for href in root.xpath("//a/@href"):
        assert href in anchors or (broken.results / unquote(href)).exists(), href


def test_has_what_assistive_technology_needs(broken: Told) -> None:
    root = written(broken, 1)
    assert root.get("lang") == "en"
    assert len(root.xpath("//h1")) == 1
    assert root.xpath("//table[not(.//th[@scope='col'])]") == []
    assert root.xpath("//section[not(@aria-labelledby)]") == []
    ids = root.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert set(root.xpath("//@aria-labelledby")) <= set(ids)


def test_hostile_values_stay_text(told: Told) -> None:
    told.job_name = HOSTILE
    told.started("run")
    told.emit("run", "step_started", step="1", kind="playbook", name=HOSTILE, index=1, total=1)
    told.task("run", HOSTILE, {HOSTILE: {"outcome": "failed", "message": HOSTILE, "stdout": HOSTILE}}, role=HOSTILE)
    told.emit("run", "peon", peon=HOSTILE, state="failed", provider=HOSTILE, message=HOSTILE, seconds=1)
    told.emit("run", "warning", message=HOSTILE)
    told.finished("run", 1, HOSTILE)
    folder = told.results / "<b onclick=alert(1)>"
    folder.mkdir()
    (folder / "a&b'\".xml").write_text("<testsuite><testcase name='&lt;script>'><failure/></testcase></testsuite>")
    (folder / "javascript:alert(1)").write_text("")
    root = written(told, 1)
    assert "<script>alert(1)</script>" in text_of(root, "//h1")
    assert root.xpath("//b") == []


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "results/../../x", "job.log", "results/none", "", "results", "javascript:1"],
)
def test_nothing_else_becomes_a_link(tmp_path: Path, path: str) -> None:
    assert "<a" not in link(tmp_path, path)


def test_a_strange_file_name_becomes_a_link_that_works(tmp_path: Path) -> None:
    name = "a b#c?d%20\"'<>&ü.log"
    (tmp_path / name).write_text("")
    (href,) = html.fragment_fromstring(link(tmp_path, f"results/{name}")).xpath("//a/@href")
    assert unquote(href) == f"./{name}"


def test_no_events_make_a_page_too(told: Told) -> None:
    assert "No events were recorded" in text_of(written(told, None))


def test_a_large_job_stays_a_page_that_a_browser_opens(told: Told) -> None:
    def many() -> Any:
        yield {"event": "context_started", "context": "run"}
        for number in range(10_000):
            result = {"event": "task_result", "context": "run", "outcome": "ok", "seconds": 0.1, "message": "m" * 50}
            yield result | {"host": f"peon{number % 32}", "role": f"role{number % 3000}", "task": f"task {number}"}

    text = "".join(page.document(history.collect(many(), 0), results=told.results, written="x"))
    assert len(text) < 3_000_000
    assert "more tasks; events.jsonl has all of them" in text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY_EVENT, max_size=10))
def test_any_events_make_a_page(tmp_path: Path, stream: list[dict[str, Any]]) -> None:
    parsed("".join(page.document(history.collect(stream, 1), results=tmp_path, written="2026-01-01T00:00:00Z")))


def test_the_style_is_for_dark_narrow_and_paper_too() -> None:
    style = "".join(page.document(Job(), results=Path("/nowhere"), written=""))
    assert re.search(r"prefers-color-scheme: dark", style)
    assert "@media print" in style


def test_what_a_signal_stopped_is_interrupted_not_failed(told: Told) -> None:
    told.started("setup")
    told.emit("setup", "phase_finished", phase="proof", seconds=0.1, outcome="ok", detail="nothing is left")
    told.finished("setup", 130, "stopped by SIGINT")
    root = written(told, 130)
    assert text_of(root, "//h1") == "! Interrupted quickstart"
    assert "stopped by SIGINT" in text_of(root, "//article")
    assert "nothing is left" in text_of(root, "//section[@aria-labelledby='context-setup']")
