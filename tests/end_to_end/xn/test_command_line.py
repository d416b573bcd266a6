"""``kommandir xn``, ``kommandir run`` and ``exekutir xn``, as people call them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Job

BIN = Path(sys.executable).parent
FAILS = "- command: {filepath: /bin/sh, arguments: -c 'echo said; exit 37'}\n"


def called(
    program: str, *words: str | Path, given: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / program), *map(str, words)], input=given, capture_output=True, text=True, timeout=120, cwd=folder
    )


@pytest.mark.parametrize("program", ["kommandir", "exekutir"])
def test_a_file_from_standard_input(job: Job, program: str) -> None:
    ended = called(program, "xn", "run", job.workspace, "-", given=FAILS)
    assert (ended.returncode, ended.stdout) == (37, "said\n")
    assert "== 1/1 command sh" in ended.stderr
    assert "sh ended with exit code 37" in ended.stderr
    assert f"all of it: {job.workspace}/results/logs/run-stdin-01-command.log" in ended.stderr


@pytest.mark.parametrize("program", ["kommandir", "exekutir"])
def test_further_arguments_may_look_like_options(job: Job, program: str) -> None:
    job.write("own.xn", "- command: {filepath: /bin/echo, arguments: <$ADEPT_OPTIONAL>}\n")
    ended = called(program, "xn", "setup", job.workspace, job.workspace / "own.xn", "--limit", "x", "-v", "--help")
    assert (ended.returncode, ended.stdout) == (0, "<--limit x -v --help>\n")


def test_a_relative_file_lies_here_or_else_in_the_workspace(job: Job, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = tmp_path_factory.mktemp("here")
    job.write("default_job.xn", "- command: {filepath: /bin/echo, arguments: workspace}\n")
    assert called("kommandir", "xn", "run", job.workspace, "default_job.xn", folder=here).stdout == "workspace\n"
    (here / "default_job.xn").write_text("- command: {filepath: /bin/echo, arguments: here}\n")
    assert called("kommandir", "xn", "run", job.workspace, "default_job.xn", folder=here).stdout == "here\n"
    assert called("kommandir", "xn", "run", ".", "default_job.xn", folder=job.workspace).stdout == "workspace\n"


def test_a_file_may_call_another_one_and_is_not_killed_with_it(job: Job) -> None:
    job.write("inner.xn", "- command: {filepath: /bin/sleep, arguments: '30'}\n")
    arguments = "xn --timeout 0.5 run $WORKSPACE inner.xn"
    job.write(
        "job.xn",
        f"- command: {{filepath: {BIN}/kommandir, arguments: {arguments}, exitfile: code}}\n"
        "- command: {filepath: /bin/cat, arguments: code}\n",
    )
    ended = called("kommandir", "run", "run", job.workspace)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "7"


@pytest.mark.parametrize(("context", "code"), [("run", 1), ("setup", 8), ("cleanup", 8)])
def test_kommandir_run_says_whose_fault_it_was(job: Job, context: str, code: int) -> None:
    job.write("job.xn", FAILS)
    assert called("kommandir", "run", context, job.workspace).returncode == code
    assert (job.workspace / f"results/logs/{context}-01-command.log").exists()


def test_events_are_kept_where_there_are_results(job: Job) -> None:
    job.write("job.xn", "- command: {filepath: /bin/true}\n")
    (job.workspace / "results").mkdir()
    called("kommandir", "run", "run", job.workspace)
    lines = (job.workspace / "results/events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["step_started", "step_finished"]


@pytest.mark.parametrize(
    ("words", "given", "why"),
    [
        (["run", "nowhere", "-"], "", "nowhere: there is no such workspace"),
        (["run", ".", "nowhere.xn"], "", "nowhere.xn: can't be read: No such file"),
        (["a b", ".", "-"], "", "context: `a b` is none"),
        (["run", ".", "-"], "- comand: {}\n- 5", "2 mistakes:"),
        (["run", ".", "-"], "- [", "standard input:2:1: not valid YAML"),
    ],
)
@pytest.mark.parametrize("program", ["kommandir", "exekutir"])
def test_a_mistake_is_named_without_a_traceback(job: Job, program: str, words: list[str], given: str, why: str) -> None:
    ended = called(program, "xn", *words, given=given, folder=job.workspace)
    assert ended.returncode == 2
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr


def test_providers_are_listed_and_described(job: Job) -> None:
    own = job.write("providers/mine", "#!/bin/sh\necho 'summary: of my own'\necho 'available: true'\n")
    own.chmod(0o755)
    listed = called("kommandir", "provider", "list", "-w", job.workspace)
    assert listed.returncode == 0
    assert {line.split()[0] for line in listed.stdout.splitlines() if not line.startswith(" ")} == {
        "namespace", "podman", "qemu", "existing", "mine"
    }  # fmt: skip
    assert "of my own" in listed.stdout
    assert "summary:" in called("kommandir", "provider", "describe", "podman").stdout
    assert called("kommandir", "provider", "call", "-w", job.workspace, "mine", "describe").stdout.startswith("summary")
    unknown = called("kommandir", "provider", "describe", "nonesuch")
    assert (unknown.returncode, "there is no such provider" in unknown.stderr) == (2, True)
