"""Every key of ``variable`` and ``command`` items, with real processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kommandir import content
from kommandir.errors import ExitCode
from kommandir.mistakes import MistakesError

from .conftest import Job

#: Writes what it was given, an argument a line.
SHOW = "- command:\n    filepath: /usr/bin/printf\n    stdoutfile: out\n    arguments: >-\n      '%s\\n' ARGUMENTS"


def shown(job: Job, arguments: str, before: str = "", **more: object) -> list[str]:
    result = job.run(f"{before}\n{SHOW.replace('ARGUMENTS', arguments)}", **more)  # type: ignore[arg-type]  # as given
    assert result.exit_code == 0, result
    return job.read("out").splitlines()


def test_arguments_are_split_as_a_shell_does(job: Job) -> None:
    job.run(
        "- command:\n    filepath: /usr/bin/printf\n    stdoutfile: out\n    arguments: |\n"
        "      '%s\\n' a \"b c\" # don't mind\n      'd  e' f#g \\\n      h\n"
    )
    assert job.read("out").splitlines() == ["a", "b c", "d  e", "f#g", "h"]


def test_variables_come_from_the_environment_and_from_earlier_items(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEKUTIR_TEST_SET", " from there ")
    monkeypatch.setenv("EXEKUTIR_TEST_EMPTY", "")
    job.write("value.txt", "\nfrom a file\n")
    before = """
- variable: {name: A, value: "$WORKSPACE/a"}
- variable: {name: B, value: "${A}/b-$A2"}
- variable: {name: C, from_env: EXEKUTIR_TEST_SET, default: unused}
- variable: {name: D, from_env: EXEKUTIR_TEST_EMPTY, default: "of $ADEPT_CONTEXT"}
- variable: {name: E, from_file: value.txt, default: unused}
- variable: {name: F, from_file: "$WORKSPACE/new.txt", default: "written $C"}
- variable: {name: G, default: unset}
- variable: {name: A, default: unused}
- variable: {name: A}
- variable: {name: N, value: 5}
"""
    words = '"$A" "$B" "$C" "$D" "$E" "$F" "$G" "$N" "$UNKNOWN" "${F}s"'
    assert shown(job, words, before) == [
        f"{job.workspace}/a", f"{job.workspace}/a/b-$A2", "from there", "of run", "from a file", "written from there",
        "unset", "5", "$UNKNOWN", "written from theres",
    ]  # fmt: skip
    assert job.read("new.txt") == "written from there"


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("from_env: EXEKUTIR_TEST_UNSET", "the environment variable EXEKUTIR_TEST_UNSET is not set"),
        ("from_env: EXEKUTIR_TEST_EMPTY", "the environment variable EXEKUTIR_TEST_EMPTY is empty"),
        ("from_file: nowhere", "there is no file"),
        ("from_file: .", "can't be read: Is a directory"),
        ("from_file: binary", "can't be read: it is not UTF-8 text"),
        ("from_file: no/folder, default: x", "the default can't be written"),
        ("from_file: $NOTHING", "`from_file` is empty once its variables are replaced"),
        ("contexts: [run]", "no earlier item sets the variable `X`"),
    ],
)
def test_a_variable_without_a_value_stops_the_job(
    job: Job, monkeypatch: pytest.MonkeyPatch, keys: str, why: str
) -> None:
    monkeypatch.setenv("EXEKUTIR_TEST_EMPTY", "")
    (job.workspace / "binary").write_bytes(b"\xff\xfe")
    result = job.run(
        f"- variable: {{name: NOTHING, value: ''}}\n- variable: {{name: X, {keys}}}\n"
        "- command: {filepath: /usr/bin/touch, arguments: reached}"
    )
    assert (result.exit_code, result.outcome) == (2, ExitCode.USAGE)
    assert "standard input:2: " in result.failures[0].message
    assert why in result.failures[0].message
    assert not (job.workspace / "reached").exists()


def test_the_environment_is_filtered_and_completed(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEKUTIR_TEST_SECRETIVE", "x")
    monkeypatch.setenv("EXEKUTIR_TEST_NAMED", "passes")
    job.run(
        "- variable: {name: MINE, value: my own}\n- variable: {name: HOLLOW, value: ''}\n"
        "- command: {filepath: /usr/bin/env, stdoutfile: out}",
        environment_pass=("EXEKUTIR_TEST_NAMED",),
        optional=("-e", "a=b c"),
    )
    found = dict(line.split("=", 1) for line in job.read("out").splitlines())
    assert found["WORKSPACE"] == str(job.workspace)
    assert found["ADEPT_PATH"] == str(content.root())
    assert found["HOSTNAME"] == socket.gethostname().split(".")[0]
    assert found["ADEPT_CONTEXT"] == "run"
    assert found["ADEPT_OPTIONAL"] == "-e a=b c"
    assert (found["MINE"], found["HOLLOW"], found["EXEKUTIR_TEST_NAMED"]) == ("my own", "", "passes")
    assert "EXEKUTIR_TEST_SECRETIVE" not in found
    assert {"PATH", "HOME"} <= set(found)


def test_an_empty_adept_optional_is_left_out_and_replaced_by_nothing(job: Job) -> None:
    job.run("- command: {filepath: /usr/bin/env, stdoutfile: out}")
    assert "ADEPT_OPTIONAL" not in job.read("out")
    assert shown(job, "a$ADEPT_OPTIONAL $ADEPT_OPTIONAL b") == ["a", "b"]


def test_further_arguments_reach_commands_as_words(job: Job) -> None:
    assert shown(job, "$ADEPT_OPTIONAL", optional=("-v", "--limit x", " ")) == ["-v", "--limit", "x"]


def test_commands_run_in_the_workspace_and_a_relative_program_lies_there(job: Job) -> None:
    (job.write("bin/tool", "#!/bin/sh\npwd\n")).chmod(0o755)
    result = job.run("- command: {filepath: bin/tool, stdoutfile: out}\n- command: {filepath: bin/../bin/tool}")
    assert (result.exit_code, job.read("out")) == (0, f"{job.workspace}\n")


BOTH = "arguments: \"-c 'echo out; echo err >&2'\""


@pytest.mark.parametrize(
    ("keys", "out", "err", "log"),
    [
        ("", None, None, {"out", "err"}),
        ("stdoutfile: out", "out\n", None, {"err"}),
        ("stdoutfile: '-', stderrfile: err", None, "err\n", {"out"}),
        ("stdoutfile: out, stderrfile: '-'", "out\nerr\n", None, set()),
        ("stdoutfile: out, stderrfile: err", "out\n", "err\n", set()),
        ("stdoutfile: $WORKSPACE/out, stderrfile: out", "out\nerr\n", None, set()),
        ("stderrfile: '-'", None, None, {"out", "err"}),
    ],
)
def test_streams_go_into_files_or_the_log(job: Job, keys: str, out: str | None, err: str | None, log: set[str]) -> None:
    job.write("out", "old")
    (job.workspace / "out").unlink()
    result = job.run(f"- command: {{filepath: /bin/sh, {BOTH}{', ' + keys if keys else ''}}}")
    assert result.exit_code == 0
    files = {name: job.read(name) if (job.workspace / name).exists() else None for name in ("out", "err")}
    assert files == {"out": out, "err": err}
    lines = set(job.read("results/logs/run-stdin-01-command.log").splitlines()[1:])
    assert {line for line in lines if line in ("out", "err")} == log
    assert {item["line"] for item in job.of("output")} == log


def test_the_first_failure_stops_with_its_own_exit_code(job: Job) -> None:
    text = "- command: {filepath: /bin/sh, arguments: -c 'echo why >&2; exit 37'}\n- command: {filepath: /bin/true}"
    result = job.run(text)
    assert (result.exit_code, result.outcome) == (37, ExitCode.TESTS_FAILED)
    assert result.failures[0].message == "sh ended with exit code 37\nwhy"
    assert result.failures[0].log == "results/logs/run-stdin-01-command.log"
    assert [item["name"] for item in job.of("step_started")] == ["sh"]
    assert job.of("step_finished")[0]["outcome"] == "failed"
    assert job.run(text, context="setup").outcome == ExitCode.JOB_FAILED


def test_an_exitfile_swallows_the_exit_code(job: Job) -> None:
    job.write("code", "stale")
    result = job.run(
        "- command: {filepath: /bin/sh, arguments: -c 'exit 37', exitfile: $WORKSPACE/code}\n"
        "- command: {filepath: /bin/true, exitfile: zero}\n"
        "- command: {filepath: /bin/sh, arguments: -c 'exit $(cat $WORKSPACE/code)'}"
    )
    assert (job.read("code"), job.read("zero")) == ("37", "0")
    assert [item["outcome"] for item in job.of("step_finished")] == ["swallowed", "ok", "failed"]
    assert result.exit_code == 37


def test_an_exitfile_may_be_a_device(job: Job) -> None:
    assert job.run("- command: {filepath: /bin/false, exitfile: /dev/null}").exit_code == 0
    assert Path("/dev/null").is_char_device()


def test_a_command_that_a_signal_ends_has_the_exit_code_of_a_shell(job: Job) -> None:
    result = job.run("- command: {filepath: /bin/sh, arguments: -c 'kill -9 $$'}")
    assert result.exit_code == 137
    assert "killed by SIGKILL" in result.failures[0].message


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("filepath: /no/such/program", "can't be started: No such file or directory"),
        ("filepath: inventory", "can't be started: Permission denied"),
        ("filepath: $HOLLOW", "`filepath` is empty once its variables are replaced"),
        ("filepath: /bin/true, stdoutfile: no/folder", "no/folder can't be written: No such file or directory"),
        ("filepath: /bin/true, exitfile: no/folder", "no/folder can't be written: No such file or directory"),
        ("filepath: /bin/true, arguments: -c '$QUOTE'", "once their variables are replaced: the quote ' in line 1"),
    ],
)
def test_what_cannot_be_started_is_the_users_mistake(job: Job, keys: str, why: str) -> None:
    before = "- variable: {name: HOLLOW, value: ''}\n- variable: {name: QUOTE, value: \"it's\"}\n"
    result = job.run(f"{before}- command: {{{keys}}}")
    assert (result.exit_code, result.outcome) == (2, ExitCode.USAGE)
    assert why in result.failures[0].message


def test_only_items_of_the_context_take_part(job: Job) -> None:
    text = "".join(
        f"- command: {{filepath: /usr/bin/touch, arguments: {name}, contexts: [{contexts}]}}\n"
        for name, contexts in [("all", ""), ("two", "setup, run"), ("other", "cleanup")]
    )
    assert job.run(text, context="setup").exit_code == 0
    assert {name for name in ("all", "two", "other") if (job.workspace / name).exists()} == {"all", "two"}
    assert job.run(text, context="custom-1").exit_code == 0
    assert [item["index"] for item in job.of("step_started")] == [1]


def test_nothing_is_run_when_anything_is_wrong_anywhere(job: Job) -> None:
    with pytest.raises(MistakesError) as caught:
        job.run(
            "- command: {filepath: /usr/bin/touch, arguments: reached}\n"
            "- command: {filepth: x, contexts: [cleanup]}\n- vriable: {}"
        )
    assert len(caught.value.mistakes) == 3
    assert not (job.workspace / "reached").exists()
    assert job.told == []


def test_a_file_without_items_for_the_context_is_good(job: Job) -> None:
    assert job.run("").exit_code == 0
    assert job.run("- command: {filepath: /bin/false, contexts: [setup]}").exit_code == 0


def test_a_check_says_what_would_be_done_and_does_nothing(job: Job) -> None:
    result = job.run(
        "- variable: {name: A, value: x y}\n- variable: {name: F, from_file: new, default: z}\n"
        "- command: {filepath: /usr/bin/touch, arguments: '\"$A\" $F'}\n"
        "- playbook: {filepath: $ADEPT_CONTEXT.yml, limit: peons}",
        check=True,
        verbosity=2,
    )
    assert result.exit_code == 0
    assert [item["line"] for item in job.of("output")] == [
        "1/4 variable: A=x y",
        f"2/4 variable: F from {job.workspace}/new",
        "3/4 command: /usr/bin/touch 'x y' '$F'",
        f"4/4 playbook: ansible-playbook --extra-vars @... --limit peons -vv {job.workspace}/run.yml",
    ]
    assert sorted(path.name for path in job.workspace.iterdir()) == ["events.jsonl", "inventory", "kommandir_vars.yml"]


def test_much_output_is_in_the_log_and_little_of_it_in_events(job: Job) -> None:
    job.run("- command: {filepath: /usr/bin/seq, arguments: '5000'}")
    assert len(job.read("results/logs/run-stdin-01-command.log").splitlines()) == 5001
    assert len(job.of("output")) == 1000
