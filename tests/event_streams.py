"""Streams of events as jobs emit them, through the real EventStream, for the tests of what people see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kommandir.events import FILE_NAME, Event, EventStream
from kommandir.redaction import Redactor

ROLES = (("service", "install the service"), ("service", "start the service"))


@dataclass
class Told:
    """A workspace whose contexts are told to events.jsonl and to a subscriber."""

    path: Path
    subscriber: Callable[[Event], None] | None = None
    job_name: str = "quickstart"
    streams: dict[str, EventStream] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        if not (self.path / "results").exists():
            (self.path / "results").symlink_to("kommandir_workspace/results")

    @property
    def results(self) -> Path:
        return self.path / "kommandir_workspace" / "results"

    def emit(self, context: str, event: str, **data: Any) -> None:
        stream = self.streams.get(context)
        if stream is None:
            stream = self.streams[context] = EventStream(self.results / FILE_NAME, Redactor(["hunter2secret"]), context)
            if self.subscriber:
                stream.subscribe(self.subscriber)
        stream.emit(event, **data)

    def started(self, context: str) -> None:
        version, uuid = "0.1.0", "quickstart-3f9a"
        self.emit(
            context, "context_started", uuid=uuid, job_name=self.job_name, workspace=str(self.path), version=version
        )
        for phase in ("workspace", "kommandir"):
            self.emit(context, "phase_started", phase=phase)
            self.emit(context, "phase_finished", phase=phase, seconds=0.12, outcome="ok", detail="")
        self.emit(context, "phase_started", phase="job.xn")

    def finished(self, context: str, exit_code: int = 0, reason: str = "", seconds: float = 4.2) -> None:
        outcome = "failed" if exit_code else "ok"
        self.emit(context, "phase_finished", phase="job.xn", seconds=3.9, outcome=outcome, detail=reason)
        self.emit(context, "context_finished", exit_code=exit_code, reason=reason, seconds=seconds)

    def playbook(self, context: str, name: str = "", *, step: str = "1", index: int = 1, total: int = 2) -> None:
        name = name or f"{context}.yml"
        self.emit(context, "step_started", step=step, kind="playbook", name=name, index=index, total=total)

    def playbook_ended(self, context: str, name: str = "", *, step: str = "1", exit_code: int = 0) -> None:
        name = name or f"{context}.yml"
        log = f"results/{context}-{name}.log"
        (self.results.parent / log).write_text("PLAY [all]\n")
        outcome = "failed" if exit_code else "ok"
        told = {"kind": "playbook", "name": name, "outcome": outcome, "exit_code": exit_code}
        self.emit(context, "step_finished", step=step, seconds=3.1, log=log, **told)

    def task(self, context: str, task: str, hosts: dict[str, dict[str, Any]], *, role: str = "", **data: Any) -> None:
        step, play = data.pop("step", "1"), data.pop("play", "The peons")
        self.emit(context, "task_started", step=step, play=play, task=task, role=role, path="playbooks/x.yml:3")
        for host, result in hosts.items():
            told: dict[str, Any] = {"outcome": "ok", "seconds": 0.4, "message": "", "stdout": "", "stderr": ""}
            told |= {"path": "roles/x/tasks/main.yml:3", "infrastructure": False} | data | result
            self.emit(context, "task_result", step=step, play=play, task=task, role=role, host=host, **told)

    def peon_up(self, context: str, name: str, provider: str = "namespace") -> None:
        for state, seconds in (("intent", 0.0), ("creating", 0.0), ("created", 0.41), ("up", 0.52)):
            self.emit(context, "peon", peon=name, state=state, provider=provider, message="", seconds=seconds)
        folder = self.results / name
        folder.mkdir(exist_ok=True)
        (folder / "creation_result.yml").write_text("---\nhost_name: x\n")
        (folder / "facts.json").write_text("{}\n")


JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" tests="3" failures="{failures}" errors="0" time="0.31">
<testcase classname="test_page" name="test_answers" time="0.100"/>
<testcase classname="test_page" name="test_says_hello" time="0.200">{failure}</testcase>
<testcase classname="test_page" name="test_old" time="0.010"><skipped message="not on this host"/></testcase>
</testsuite></testsuites>
"""


def junit_of_a_peon(told: Told, peon: str, *, fails: bool) -> None:
    failure = '<failure message="assert 500 == 200">E  assert 500 == 200</failure>' if fails else ""
    text = JUNIT.format(failures=int(fails), failure=failure)
    (told.results / peon / "junit.xml").write_text(text)


def setup_told(told: Told, peons: list[str]) -> None:
    told.started("setup")
    told.emit("setup", "step_started", step="0", kind="variable", name="ANSWER", index=1, total=2)
    variable = {"kind": "variable", "name": "ANSWER", "outcome": "ok", "exit_code": 0}
    told.emit("setup", "step_finished", step="0", seconds=0.0, log="", **variable)
    told.playbook("setup", index=2)
    for peon in peons:
        told.peon_up("setup", peon)
    for role, task in ROLES:
        told.task("setup", task, {peon: {"outcome": "changed"} for peon in peons}, role=role)
    told.playbook_ended("setup")
    told.finished("setup")


def cleanup_told(told: Told, peons: list[str]) -> None:
    told.started("cleanup")
    told.playbook("cleanup", total=1)
    for peon in peons:
        told.emit("cleanup", "peon", peon=peon, state="destroyed", provider="namespace", message="", seconds=0.2)
    told.playbook_ended("cleanup")
    told.finished("cleanup", seconds=1.1)


def good_job(told: Told) -> None:
    """Two peons, three contexts, every test good."""
    peons = ["one", "two"]
    setup_told(told, peons)
    told.started("run")
    told.playbook("run", total=1)
    told.task("run", "run the tests", {peon: {"stdout": "3 passed\n"} for peon in peons}, role="checks")
    for peon in peons:
        junit_of_a_peon(told, peon, fails=False)
    told.playbook_ended("run")
    told.finished("run")
    cleanup_told(told, peons)


def killed_and_resumed(told: Told) -> None:
    """A run that is killed in its second step, in which a task has failed; the next call runs that step again."""
    told.started("run")
    told.playbook("run", "first.yml", step="1")
    told.task("run", "prepare", {"one": {}}, role="checks", step="1")
    told.playbook_ended("run", "first.yml", step="1")
    told.playbook("run", "second.yml", step="2", index=2)
    told.task("run", "test", {"one": {"outcome": "failed", "message": "no"}}, role="checks", step="2")
    told.started("run")
    told.emit("run", "resumed", done=["1"], again=["2"], interrupted=[])
    told.playbook("run", "second.yml", step="2", index=2)
    told.task("run", "test", {"one": {}}, role="checks", step="2")
    told.playbook_ended("run", "second.yml", step="2")
    told.finished("run")


PYTEST_OUTPUT = """collected 3 items
test_page.py .F.
\x1b[31mE       assert 500 == 200\x1b[0m
E        +  where 500 = <Response [500]>.status
1 failed, 1 passed, 1 skipped in 0.31s
"""


def broken_job(told: Told) -> None:
    """Three peons; the tests of one fail, the job goes on and is cleaned up."""
    told.job_name = "broken"
    peons = ["good1", "bad", "good2"]
    setup_told(told, peons)
    told.started("run")
    told.emit("run", "warning", message="the uplink is off, so packages come from the cache")
    told.playbook("run", total=1)
    told.task("run", "gather facts", {peon: {} for peon in peons})
    fails = {"outcome": "failed", "message": "non-zero return code", "stdout": PYTEST_OUTPUT, "stderr": ""}
    told.task("run", "run the tests", {peon: fails if peon == "bad" else {} for peon in peons}, role="checks")
    for peon in peons:
        junit_of_a_peon(told, peon, fails=peon == "bad")
    told.playbook_ended("run", exit_code=2)
    told.finished("run", exit_code=1, reason="run.yml failed: 1 of 3 peons: bad")
    cleanup_told(told, peons)
