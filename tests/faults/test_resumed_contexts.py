"""SIGKILL of ``exekutir`` in the middle of ``job.xn``: the next call of the context goes on, with real peons too."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from tests.calls import Calls

#: The test of ``two`` kills exekutir once, as soon as ``one`` has been tested, and is then told from a failed one.
PEONS = """---
recipe:
  group: job
  name: main
  steps:
    peons: {target: peon.list}
    pipelines: {target: peon.pipelines, contexts: [run], arguments: [{pipeline: {recipe: job.peon}}]}
    after:
      target: command.run
      contexts: [run]
      arguments: [{command: {filepath: /bin/sh, arguments: "-c 'echo after >> results/log'"}}]
    destroy: {target: peon.destroy, contexts: [cleanup], foreach: peon}
  transitions:
    - {in: peons, out: pipelines}
    - {in: pipelines, out: after, when: elmt.type == "pipelines" and len(elmt.done) == 2}
    - {in: after, out: destroy}
recipes:
  - group: job
    name: peon
    end_step: end
    steps:
      create: {target: peon.create}
      test: {target: peon.command, arguments: [{command: {filepath: test.sh}}]}
      rescue: {target: peon.command, arguments: [{command: {filepath: rescue.sh}}]}
      end: {target: job.nothing}
    transitions:
      - {in: create, out: test}
      - {in: test, out: end}
      - {in: {error: test}, out: rescue, when: elmt.type == "interrupted"}
      - {in: rescue, out: end}
"""

TEST = """#!/bin/sh
echo test $PEON >> results/log
test $PEON = one && exit 0
until grep -q '"test-one".*"outcome": "ok"' results/events.jsonl; do sleep 0.05; done
sleep 0.5
kill -9 $PPID
sleep 60
"""

RESCUE = "#!/bin/sh\necho rescue $PEON >> results/log\n"


def test_recipes_go_on_with_the_peons_that_there_are(calls: Calls, tmp_path: Path) -> None:
    job = tmp_path / "job"
    (job / "inventory").mkdir(parents=True)
    (job / "inventory" / "peons").write_text("[peons]\none\ntwo\n")
    (job / "job.xn").write_text(PEONS)
    for name, text in (("test.sh", TEST), ("rescue.sh", RESCUE)):
        (job / name).write_text(text)
        (job / name).chmod(0o755)
    calls.job = job
    calls("setup")
    calls("run", code=-signal.SIGKILL)
    said = calls("run").stdout
    assert "it was killed before and goes on" in said
    lines = (calls.results / "log").read_text().splitlines()
    assert Counter(lines) == Counter(["test one", "test two", "rescue two", "after"])
    peons = [(item["peon"], item["state"]) for item in calls.events() if item["event"] == "peon"]
    assert (peons.count(("one", "created")), peons.count(("two", "created"))) == (1, 1)
    (run,) = [context for context in calls.summary()["contexts"] if context["context"] == "run"]
    assert run["outcome"] == "good"
    # What was done before is in the report as well.
    suites = ElementTree.parse(calls.results / "junit.xml").getroot()
    cases = {f"{case.get('classname')}: {case.get('name')}" for case in suites.iter("testcase")}
    assert {f"job.run.{name}: the host is up" for name in ("one", "two")} <= cases, cases
    calls("cleanup")
    assert calls.left() == []


LIST = """---
- command: {filepath: /bin/sh, arguments: "-c 'echo $ADEPT_CONTEXT one >> results/log'"}
- command:
    idempotent: yes
    contexts: [setup]
    filepath: /bin/sh
    arguments: -c 'test -e ../killed || { touch ../killed; kill -9 $PPID; sleep 60; }'
- command: {filepath: /bin/sh, arguments: "-c 'echo $ADEPT_CONTEXT two >> results/log'"}
"""


def log(calls: Calls) -> list[str]:
    return (calls.results / "log").read_text().splitlines()


def test_a_setup_that_was_killed_goes_on_also_after_a_run_was_refused(calls: Calls, tmp_path: Path) -> None:
    calls.job = tmp_path / "job"
    calls.job.mkdir()
    (calls.job / "job.xn").write_text(LIST)
    calls("setup", code=-signal.SIGKILL)
    assert "needs a good setup" in calls("run", code=2).stderr
    calls("setup")
    assert log(calls) == ["setup one", "setup two"]
    # What has ended begins anew.
    calls("setup")
    assert log(calls) == ["setup one", "setup two"] * 2
    calls("run")
    assert log(calls)[-2:] == ["run one", "run two"]


def test_a_cleanup_gives_up_the_setup_that_was_killed(calls: Calls, tmp_path: Path) -> None:
    calls.job = tmp_path / "job"
    calls.job.mkdir()
    (calls.job / "job.xn").write_text(LIST.replace("- command: {", "- command: {contexts: [setup], "))
    calls("setup", code=-signal.SIGKILL)
    calls("cleanup")
    assert calls.left() == []
    calls("setup")
    assert log(calls) == ["setup one", "setup two"]
