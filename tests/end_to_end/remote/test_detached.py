"""``kommandir job``: a run lives on by itself, is started once, is followed from anywhere, and ends in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from kommandir.detached import folder
from tests.detached_runs import Runs, items, left
from tests.patience import until


def test_a_run_tells_its_events_and_its_result(runs: Runs) -> None:
    told = runs.start("first", items("echo one; echo two"))
    assert (told["id"], told["context"], abs(told["now"] - time.time()) < 60) == ("first", "run", True)
    lines = runs.lines("first")
    assert (lines[0]["heartbeat"], abs(lines[0]["now"] - time.time()) < 60) == (0, True)
    assert runs.outputs(lines) == ["one", "two"]
    kinds = [each["event"]["event"] for each in lines if "event" in each]
    assert (kinds[0], kinds[-1]) == ("step_started", "step_finished")
    result = lines[-1]["result"]
    assert (result["exit_code"], result["outcome"], result["failures"]) == (0, 0, [])
    assert runs.run("first").state == "ended"
    assert "one" in (runs.workspace / "results/logs/run-stdin-01-command.log").read_text()


def test_start_and_follow_in_one_go(runs: Runs) -> None:
    said = runs.call("start", "--follow", told=runs.request("both", items("echo x", "exit 3"))).stdout
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[0]["id"] == "both"
    assert runs.outputs(lines) == ["x"]
    result = lines[-1]["result"]
    assert (result["exit_code"], result["outcome"]) == (3, 1)
    assert "exit code 3" in result["failures"][0]["message"]


def test_the_same_id_is_never_run_twice(runs: Runs) -> None:
    once = items("echo x >>count; sleep 0.5")
    threads = [threading.Thread(target=runs.start, args=("same", once)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "result" in runs.lines("same")[-1]
    assert runs.start("same", once)["state"] == "ended"
    assert (runs.workspace / "count").read_text() == "x\n"


def test_a_starter_killed_at_any_moment_leaves_a_run_or_none(runs: Runs) -> None:
    for number in range(7):
        name = f"try-{number}"
        request = runs.request(name, items(f"echo {number} >>{name}"))
        starter = subprocess.Popen(runs.command("start"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert starter.stdin
        starter.stdin.write(request.encode())
        starter.stdin.close()
        time.sleep(0.06 * number)
        starter.kill()
        starter.wait()
        runs.call("start", told=request)
        assert runs.lines(name)[-1]["result"]["exit_code"] == 0
        assert (runs.workspace / name).read_text() == f"{number}\n"


def test_one_run_of_a_job_at_a_time(runs: Runs) -> None:
    runs.start("slow", items("sleep 60"))
    refused = runs.call("start", told=runs.request("other", items("true")), code=6)
    assert "another run of this job is alive: slow (run, since " in refused.stderr
    assert "--attach" in refused.stderr
    assert runs.stop("slow")["state"] == "ended"
    runs.start("other", items("true"))
    assert runs.lines("other")[-1]["result"]["exit_code"] == 0


def test_any_place_in_the_stream_goes_on_from_there(runs: Runs) -> None:
    runs.start("long", items("seq 300"))
    all_lines = [each for each in runs.lines("long") if "event" in each]
    assert [each["event"]["line"] for each in all_lines[1:-1]] == [str(number) for number in range(1, 301)]
    for number in (0, 1, 150, 299, 301):
        assert [each for each in runs.lines("long", all_lines[number]["next"]) if "event" in each] == all_lines[
            number + 1 :
        ]
    wrong = runs.call("follow", "long", "--from", str(all_lines[0]["next"] + 3), code=2)
    assert "no event begins there" in wrong.stderr
    assert "no event begins there" in runs.call("follow", "long", "--from", "99999999", code=2).stderr
    assert "there is no run" in runs.call("follow", "nobody", code=2).stderr


def test_heartbeats_come_while_nothing_happens_and_nothing_is_polled(runs: Runs) -> None:
    runs.start("quiet", items("sleep 7; echo awake"))
    follower = subprocess.Popen(runs.command("follow", "quiet"), stdout=subprocess.PIPE)
    assert follower.stdout
    lines = [json.loads(line) for line in follower.stdout]
    _, _, used = os.wait4(follower.pid, 0)
    follower.returncode = 0
    assert sum("heartbeat" in each for each in lines) >= 3
    assert lines[-1]["result"]["exit_code"] == 0
    assert used.ru_nvcsw < 1000, "it looked again and again"


def test_a_follower_ends_with_its_reader(runs: Runs) -> None:
    runs.start("alone", items("sleep 60"))
    follower = subprocess.Popen(runs.command("follow", "alone"), stdout=subprocess.PIPE)
    assert follower.stdout
    assert b"heartbeat" in follower.stdout.readline()
    follower.stdout.close()
    assert follower.wait(timeout=60) == 0
    assert runs.run("alone").state == "running"


def test_a_run_has_nothing_of_who_started_it(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOT_TO_PASS", "x")
    monkeypatch.setenv("SSH_CONNECTION", "198.51.100.7 50000 198.51.100.8 22")  # its peons must not get there
    environment = {"TERM": "xterm-256color", "COLUMNS": "99", "LINES": "33", "MINE": "m", "LANG": "xx_YY.UTF-8"}
    script = "env; ls -l /proc/self/fd; ps -o sid=,tty= -p $$"
    runs.start("own", items(script), environment=environment, environment_pass=["MINE"])
    lines = runs.outputs(runs.lines("own"))
    assert {"TERM=xterm-256color", "COLUMNS=99", "LINES=33", "MINE=m", "LANG=C.UTF-8"} <= set(lines)
    assert f"EXEKUTIR_JOB={runs.uuid}" in lines
    assert {"EXEKUTIR_RUN=own", "SSH_CONNECTION=198.51.100.7 50000 198.51.100.8 22"} <= set(lines)
    assert not any("NOT_TO_PASS" in line or ".starting" in line for line in lines)
    record = runs.run("own").record or {}
    assert lines[-1].split()[1] == "?"
    assert record["pid"] != os.getsid(0)


def test_secrets_are_nobodys_business(runs: Runs) -> None:
    script = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c 'hunter[2]secret'; printenv WORD; sleep 1"
    runs.start("secret", items(script), environment={"WORD": "hunter2secret"}, environment_pass=["WORD"],
               secrets=["hunter2secret"])  # fmt: skip
    assert runs.outputs(runs.lines("secret")) == ["0", "[redacted]"]
    path = runs.run("secret").path
    assert path.stat().st_mode & 0o77 == 0
    for file in path.iterdir():
        assert file.stat().st_mode & 0o77 == 0, file
        assert b"hunter2secret" not in file.read_bytes(), file


def test_stop_lets_the_job_clean_up(runs: Runs) -> None:
    runs.start("trap", items("trap 'echo cleaned >cleaned; exit 0' TERM; echo ready; sleep 60 & wait"))
    until(lambda: runs.run("trap").events.exists() and b"ready" in runs.run("trap").events.read_bytes())
    told = runs.stop("trap", "--signal", "INT")
    assert (runs.workspace / "cleaned").read_text() == "cleaned\n"
    assert (told["state"], told["result"]["outcome"]) == ("ended", 130)
    assert left("trap") == []
    assert runs.stop("trap") == told
    assert runs.lines("trap")[-1]["result"] == told["result"]


def test_stop_kills_what_does_not_end(runs: Runs) -> None:
    deaf = "trap '' TERM; (trap '' TERM; exec setsid sleep 600) & echo ready; while :; do sleep 1; done"
    runs.start("deaf", items(deaf))
    until(lambda: runs.run("deaf").events.exists() and b"ready" in runs.run("deaf").events.read_bytes())
    os.kill((runs.run("deaf").record or {})["pid"], signal.SIGSTOP)
    told = runs.stop("deaf", "--grace", "1")
    assert (told["state"], told["result"]["outcome"]) == ("ended", 143)
    assert "was killed" in told["result"]["failures"][0]["message"]
    assert left("deaf") == []


def test_what_is_stopped_before_it_began_never_begins(runs: Runs) -> None:
    assert runs.stop("never")["state"] == "ended"
    told = runs.start("never", items("touch begun"))
    assert told["result"]["outcome"] == 143
    assert not (runs.workspace / "begun").exists()


def test_a_killed_run_of_job_xn_is_gone_on_with_by_the_next_one_of_its_context(runs: Runs) -> None:
    steps = json.loads(
        items("echo one >>log", "test -e go || { touch go; kill -9 $PPID; sleep 600; }", "echo two >>log")
    )
    steps[1]["command"]["idempotent"] = True
    file = runs.workspace / "job.xn"
    file.write_text(json.dumps(steps))

    def start(name: str) -> None:
        told = {"id": name, "context": "run", "workspace": str(runs.workspace), "file": str(file), "uuid": runs.uuid}
        runs.call("start", told=json.dumps(told))

    start("first")
    until(lambda: runs.run("first").state == "died")
    for name, log in (("second", "one\ntwo\n"), ("third", "one\ntwo\none\ntwo\n")):
        start(name)
        assert runs.lines(name)[-1]["result"]["exit_code"] == 0
        assert (runs.workspace / "log").read_text() == log


def test_a_killed_run_is_told_and_the_next_start_ends_its_rest(runs: Runs) -> None:
    runs.start("killed", items("echo ready; sleep 600"))
    until(lambda: runs.run("killed").events.exists() and b"ready" in runs.run("killed").events.read_bytes())
    follower = subprocess.Popen(runs.command("follow", "killed"), stdout=subprocess.PIPE)
    os.kill((runs.run("killed").record or {})["pid"], signal.SIGKILL)
    said, _ = follower.communicate(timeout=60)
    last = json.loads(said.splitlines()[-1])
    assert last["died"] == "killed"
    assert "SIGKILL" in last["why"]
    state = json.loads(runs.call("status").stdout)
    assert (state["state"], state["why"]) == ("died", last["why"])
    assert left("killed") != []
    runs.start("next", items("true"))
    assert left("killed") == []
    assert runs.start("killed", items("touch again"))["state"] == "died"
    assert not (runs.workspace / "again").exists()


def test_a_reboot_is_told(runs: Runs) -> None:
    runs.start("before", items("true"))
    runs.lines("before")
    run = runs.run("before")
    record = run.record or {}
    run.keep_record({**record, "identity": record["identity"].partition("@")[0] + "@another-boot"})
    (run.path / "result.json").unlink()
    assert runs.lines("before")[-1] == {"died": "before", "why": "the host was started again meanwhile"}


def test_a_mistake_in_job_xn_is_told_as_it_is_in_place(runs: Runs) -> None:
    runs.start("wrong", "- command: {filepaht: x}\n")
    error = runs.lines("wrong")[-1]["result"]["error"]
    assert error["exit_code"] == 2
    assert "filepaht" in error["what"]


def test_a_bug_is_told_and_kept(runs: Runs, tmp_path: Path) -> None:
    broken = "import sys\nsys.modules['kommandir.xn.running'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(broken)
    runs.start("bug", items("true"), environment={"PYTHONPATH": str(tmp_path)})
    result = runs.lines("bug")[-1]["result"]
    assert "import of kommandir.xn.running halted" in result["crash"]
    assert "Traceback" in runs.run("bug").crash.read_text()


def test_its_own_deadline_ends_a_run(runs: Runs) -> None:
    runs.start("late", items("sleep 60"), seconds=0.5)
    assert runs.lines("late")[-1]["result"]["outcome"] == 7


def test_old_runs_are_pruned_but_not_those_alive(runs: Runs, tmp_path: Path) -> None:
    for number in range(folder.KEPT + 5):
        runs.stop(f"old-{number:02d}")
        os.utime(runs.run(f"old-{number:02d}").path, (number, number))
    runs.start("new", items("true"))
    names = [run.id for run in runs.folder.all()]
    assert names == [*(f"old-{number:02d}" for number in range(5, folder.KEPT + 5)), "new"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no mapping"),
        ('{"context": "run", "workspace": "/x", "text": ""}', "no `id`"),
        ('{"id": "../x", "context": "run", "workspace": "/x", "text": ""}', "can't be the id"),
        ('{"id": "x", "context": "run", "workspace": "/x"}', "either `file` or `text`"),
        ('{"id": "x", "context": "run", "workspace": "/x", "text": "", "verbosity": "1"}', "`verbosity` can't be used"),
        ('{"id": "x", "context": "run", "workspace": "/x", "text": "", "uuid": "\\u0000"}', "`uuid` can't be used"),
        ('{"id": "x", "context": "run", "workspace": "/x", "text": "", "colour": 1}', "`colour` can't be used"),
    ],
)
def test_a_request_that_is_none_is_refused(runs: Runs, told: str, why: str) -> None:
    assert why in runs.call("start", told=told, code=2).stderr


def test_a_workspace_that_is_not_there_is_told(runs: Runs) -> None:
    runs.start("nowhere", items("true"), workspace="/nowhere/at/all")
    assert "/nowhere/at/all" in runs.lines("nowhere")[-1]["result"]["error"]["what"]
