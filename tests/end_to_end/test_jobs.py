"""The bundled jobs, whole, as a person or a CI job calls them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kommandir import yamlfile
from tests.calls import BIN, Calls
from tests.kommandirs import job_of_commands


def test_quickstart_goes_from_nothing_to_results_and_back(calls: Calls) -> None:
    calls.job = "quickstart"
    said = calls("all").stdout
    assert str(calls.workspace / "results") in said
    suites = ElementTree.parse(calls.results / "junit.xml").getroot()
    names = {(case.get("classname"), case.get("name")) for case in suites.iter("testcase")}
    assert len(names) >= 2
    assert not list(suites.iter("failure"))
    assert calls.summary()["exit_code"] == 0
    assert (calls.results / "index.html").stat().st_size > 1000
    for context in ("setup", "run", "cleanup"):
        assert (calls.workspace / f"exekutir_{context}.exit").read_text() == "0\n"
        assert (calls.workspace / f"kommandir_{context}.exit").read_text() == "0\n"
    peons = calls.kommandir / "results"
    for peon in (path.parent for path in peons.glob("*/creation_result.yml")):
        assert (peon / "adept_result.txt").exists()
        assert (peon / "destruction_result.yml").exists()
    assert calls.left() == []


def test_broken_says_which_peon_failed_and_why(calls: Calls) -> None:
    calls.job = "broken"
    ended = calls("all", code=1)
    suites = ElementTree.parse(calls.results / "junit.xml").getroot()
    assert list(suites.iter("failure"))
    results = {path.parent.name: path.read_text() for path in calls.results.glob("*/adept_result.txt")}
    assert len(results) == 3
    assert calls.left() == []
    assert "tests said no" in ended.stdout.lower() or "failed" in ended.stdout.lower()


def test_ci_needs_no_peon(calls: Calls) -> None:
    calls.job = "ci"
    calls("all")
    assert calls.left() == []


def test_results_of_a_job_that_was_cleaned_up_are_not_taken_for_those_of_the_next(calls: Calls, tmp_path: Path) -> None:
    said_no = '<testsuite><testcase name="old"><failure/></testcase></testsuite>'
    calls.job = job_of_commands(
        tmp_path / "job", run=f"[ -e ../once ] || {{ mkdir results/one && echo '{said_no}' >results/one/tests.xml; }}"
    )
    calls("all")
    assert "old" in (calls.results / "junit.xml").read_text()
    (calls.workspace / "once").touch()
    calls("run", code=2)
    calls("all")
    assert "old" not in (calls.results / "junit.xml").read_text()
    [earlier] = (calls.workspace / "earlier_results").iterdir()
    assert said_no in (earlier / "one" / "tests.xml").read_text()
    assert calls.left() == []


def test_each_context_can_be_repeated(calls: Calls) -> None:
    calls.job = "quickstart"
    calls("setup")
    before = yamlfile.mapping(calls.workspace / "exekutir_vars.yml").value["uuid"]
    calls("setup")
    assert yamlfile.mapping(calls.workspace / "exekutir_vars.yml").value["uuid"] == before
    calls("run")
    calls("run")
    calls("cleanup")
    calls("cleanup")
    assert "exekutir setup" in calls("run", code=2).stderr
    assert calls.left() == []


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Calls, Calls]]:
    state = tmp_path / "state"
    pair = Calls(tmp_path / "a", state, "quickstart"), Calls(tmp_path / "b", state, "quickstart")
    yield pair
    for calls in pair:
        if calls.workspace.exists():
            calls("cleanup", code=None)
        assert calls.left() == []


def test_two_jobs_at_once_on_one_host(two: tuple[Calls, Calls]) -> None:
    processes = [calls.started("all") for calls in two]
    for process in processes:
        _, said = process.communicate(timeout=280)
        assert process.returncode == 0, said
    assert two[0].uuid != two[1].uuid


def test_kept_peons_can_be_visited_and_are_reaped_when_their_lease_ends(calls: Calls) -> None:
    calls.job = "quickstart"
    calls("setup")
    status = json.loads(calls("status", "--format", "json").stdout)
    alive = [peon["peon"] for peon in status["peons"] if peon["alive"]]
    assert [context["state"] for context in status["contexts"]] == ["good", "not done", "not done"]
    assert len(alive) == 2
    assert calls("login", alive[0], "echo", "hello; there").stdout == "hello; there\n"
    calls("login", alive[0], "exit 7", code=7)
    calls("cleanup", "--keep", "always", "--keep-for", "1s")
    assert calls("login", alive[0], "hostname").stdout.strip()
    time.sleep(1.5)
    assert "2" in reap(calls, "--check")
    calls("login", alive[0], "true")
    reap(calls)
    calls("cleanup")
    assert calls.left() == []


def reap(calls: Calls, *more: str) -> str:
    done = subprocess.run(
        [str(BIN / "exekutir"), "reap", *more], env=calls.surroundings(), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_keep_on_failure_keeps_only_then(calls: Calls) -> None:
    calls.job = "quickstart"
    calls("all", "--keep", "on-failure")
    assert calls.left() == []


def test_a_job_made_by_init_works(calls: Calls, tmp_path: Path) -> None:
    subprocess.run([str(BIN / "exekutir"), "init", str(tmp_path / "new")], check=True, capture_output=True)
    subprocess.run([str(BIN / "exekutir"), "validate", str(tmp_path / "new")], check=True, capture_output=True)
    calls.job = tmp_path / "new"
    calls("all")
    assert calls.left() == []


def test_check_does_nothing(calls: Calls) -> None:
    calls.job = "quickstart"
    said = calls("setup", "--check").stderr
    assert "setup.yml" in said
    assert not calls.workspace.exists()


def test_json_is_nothing_but_events(calls: Calls) -> None:
    calls.job = "ci"
    lines = calls("all", "--format", "json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["event"] == "context_started"
    assert {"setup", "run", "cleanup"} == {event["context"] for event in events}


def test_a_broken_job_xn_does_not_keep_cleanup_from_destroying(calls: Calls) -> None:
    calls.job = "quickstart"
    calls("setup")
    (calls.kommandir / "job.xn").unlink()
    calls("cleanup", code=2)
    assert calls.left() == []
    (calls.kommandir / "job.xn").write_text("- [broken")
    calls("cleanup", code=2)


def test_broken_variables_do_not_keep_cleanup_from_destroying(calls: Calls) -> None:
    calls.job = "quickstart"
    calls("setup")
    uuid = calls.uuid
    (calls.workspace / "exekutir_vars.yml").write_text("a: [")
    calls("cleanup", code=None)
    (calls.workspace / "exekutir_vars.yml").write_text(f"uuid: {uuid}\njob_path: /nowhere\n")
    assert calls.left() == []


def test_the_board_on_a_terminal(calls: Calls) -> None:
    """On a real terminal the whole of it is drawn, and the verdict stands at the end."""
    calls.job = "ci"
    primary, secondary = pty.openpty()
    environment = {**calls.surroundings(), "TERM": "xterm-256color"}
    environment.pop("CI")
    process = subprocess.Popen(
        calls.command("all"), env=environment, stdin=secondary, stdout=secondary, stderr=secondary, close_fds=True
    )
    os.close(secondary)
    shown = b""
    while True:
        try:
            data = os.read(primary, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(primary)
    assert process.wait(60) == 0
    assert str(calls.workspace / "results").encode() in shown.replace(b"\r\n", b"")


def test_secrets_are_in_no_file_that_others_read(calls: Calls, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    (job / "kommandir_vars.yml").write_text("db_password: s3cr3t-of-the-job\n")
    (job / "run.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  vars_files: kommandir_vars.yml\n  tasks:\n"
        "    - name: It is said aloud\n      ansible.builtin.debug:\n        msg: '{{ db_password }} {{ api_token }}'\n"
        "    - name: And in an environment\n      ansible.builtin.shell: echo {{ api_token }} >&2; exit 3\n"
    )
    calls.job = job
    ended = calls("all", "-e", "api_token=t0ken-of-the-user", "-vvv", code=1)
    for secret in ("s3cr3t-of-the-job", "t0ken-of-the-user"):
        assert secret not in ended.stdout + ended.stderr
        for path in calls.workspace.rglob("*"):
            if path.is_file() and secret.encode() in path.read_bytes():
                assert path.stat().st_mode & 0o077 == 0, path
                assert not path.is_relative_to(calls.results), path
