"""The command as a process, from outside: signals, pipes, standard input, crashes and what comes after them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.homes import HomeOnDisk, link, recipe, step

MODULE = """
import os, sys, time
from pathlib import Path
from narval_engine import Element, action, input, output

HERE = Path(__file__).parent

@action
def slow(inputs):
    sys.stderr.write("begun\\n")
    time.sleep(60)

@action(idempotent=True)
def noop(inputs): pass

@action
@input("i", "elmt.type == 'x'", use=True)
def take(inputs): pass

@action(idempotent=True)
def once(inputs):
    first = not (HERE / "went").exists()
    (HERE / "went").write_text("")
    sys.stderr.write("begun\\n")
    if first:
        time.sleep(60)

@action
@output("o", "elmt.type == 'odd'")
def odd(inputs):
    return {"o": Element("odd", v="1", lock=object())}

@action
@output("o", "elmt.type == 'half'")
def half(inputs):
    return {"o": Element("half", v="\\udcff\\x00é", s={"b", "a"})}

def told(what):
    with open(HERE / "told", "a") as file:
        file.write(f"{type(what).__name__}\\n")
    if not (HERE / "died").exists():
        (HERE / "died").write_text("")
        os._exit(9)

@action(finalizer=told)
def watched(inputs): pass

@action(nonexecuted=told)
def skipped(inputs): pass
"""
SAY = "import sys\nfrom narval_engine import action\n@action\ndef say(inputs): sys.stderr.write('begun\\n')\n"
A = step("a", "P.noop")
NEVER = recipe("never", A, step("b", "P.noop"), link("t", "a", "b", '<time years="9000"/>'))
SLOW = recipe("slow", A, step("b", "P.slow"), link("t", "a", "b"))


@pytest.fixture
def place(home: HomeOnDisk) -> HomeOnDisk:
    home.module("P", MODULE)
    return home


def arguments(place: HomeOnDisk, command: str, *more: str) -> list[str]:
    home = ["--home", str(place.directory)]
    return [sys.executable, "-m", "narval_engine", command, *home, "--format", "json", *more]


def begin(place: HomeOnDisk, *more: str, command: str = "run") -> subprocess.Popen[str]:
    return subprocess.Popen(arguments(place, command, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(place: HomeOnDisk, *more: str, command: str = "run") -> tuple[int, Any, str]:
    with begin(place, *more, command=command) as process:
        return end(process)


def end(process: subprocess.Popen[str]) -> tuple[int, Any, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, json.loads(out) if out.startswith("{") else None, err


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    while text not in process.stderr.readline():
        assert process.poll() is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_an_action_that_does_not_listen(place: HomeOnDisk, number: signal.Signals, code: int) -> None:
    place.recipes(SLOW)
    with begin(place, "--recipe", "g.slow") as process:
        wait_for(process, "begun")
        process.send_signal(number)
        if number == signal.SIGTERM:
            process.send_signal(number)
            process.communicate(timeout=60)
            assert process.returncode == code
            return
        ended, told, _err = end(process)
    assert ended == code
    assert told["plans"][0]["state"] == "failed"
    assert told["plans"][0]["steps"] == {"a": "history", "b": "killed"}


def test_a_signal_ends_what_waits_for_a_time(place: HomeOnDisk) -> None:
    place.module(
        "Q", "import sys\nfrom narval_engine import action\n@action\ndef say(i): sys.stderr.write('begun\\n')\n"
    )
    place.recipes(NEVER, recipe("say", step("a", "Q.say")))
    place.memory('<start-plan recipe="g.never"/>', '<start-plan recipe="g.say"/>')
    with begin(place) as process:
        wait_for(process, "begun")
        process.send_signal(signal.SIGINT)
        code, told, _err = end(process)
    assert code == 130
    assert [error["type"] for error in told["plans"][0]["errors"]] == ["cancelled"]


def test_a_signal_while_modules_are_loaded(place: HomeOnDisk) -> None:
    place.module("A", "import sys, time\nsys.stderr.write('begun\\n')\ntime.sleep(60)\n")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with begin(place) as process:
            wait_for(process, "begun")
            process.send_signal(number)
            assert end(process)[:2] == (code, None)


def test_nobody_reads_the_report(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", A))
    place.memory(*("<x>" + "y" * 1000 + "</x>" for _each in range(300)), '<start-plan recipe="g.r"/>')
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(arguments(place, "run"), stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def kill(place: HomeOnDisk, *more: str) -> None:
    with begin(place, *more) as process:
        wait_for(process, "begun")
        process.kill()


def test_every_run_can_be_gone_on_with(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", step("a", "P.take"), step("b", "P.once"), link("t", "a", "b")))
    place.memory("<x/>", '<start-plan recipe="g.r"/>')
    kill(place)
    code, told, err = finish(place, command="resume")
    assert code == 0, err
    assert told["plans"][0]["steps"] == {"a": "history", "b": "done"}
    assert finish(place, command="resume")[:2] == (0, told)


def test_a_new_run_keeps_the_journal_of_one_that_was_cut_off(place: HomeOnDisk) -> None:
    place.recipes(SLOW, recipe("r", A))
    kill(place, "--recipe", "g.slow")
    code, told, err = finish(place, "--recipe", "g.r")
    assert (code, [plan["recipe"] for plan in told["plans"]]) == (0, ["g.r"])
    assert "was cut off" in err
    assert "was cut off" not in finish(place, "--recipe", "g.r")[2]
    kill(place, "--recipe", "g.slow")
    finish(place, "--recipe", "g.r")
    before = place.directory / "data" / "journal-before.sqlite"
    code, told, _err = finish(place, "--journal", str(before), command="resume")
    assert (code, told["plans"][0]["steps"]) == (1, {"a": "history", "b": "failed"})
    assert told["plans"][0]["errors"][0]["type"] == "interrupted"


def test_what_waits_is_gone_on_with(place: HomeOnDisk) -> None:
    condition = '<condition><match>elmt.type == "z"</match></condition>'
    place.recipes(recipe("w", A, step("b", "P.noop"), link("t", "a", "b", condition)))
    place.memory('<start-plan recipe="g.w"/>')
    assert finish(place)[0] == 3
    assert finish(place, command="resume")[0] == 3


def test_two_runs_at_once(place: HomeOnDisk) -> None:
    place.recipes(SLOW, recipe("r", A))
    with begin(place, "--recipe", "g.slow") as process:
        wait_for(process, "begun")
        code, _told, err = finish(place, "--recipe", "g.r")
        process.kill()
    assert code == 0
    assert "another process is writing this journal" in err


def test_a_journal_that_cannot_be_made(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", A))
    (place.directory / "data" / "journal.sqlite").mkdir(parents=True)
    code, _told, err = finish(place, "--recipe", "g.r")
    assert code == 0
    assert "nothing is kept to resume from" in err
    assert "nothing is kept" not in finish(place, "--recipe", "g.r", "--no-journal")[2]


def test_an_element_that_no_file_can_hold(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", step("a", "P.odd"), step("b", "P.noop"), link("t", "a", "b")))
    code, told, err = finish(place, "--recipe", "g.r")
    assert (code, told["plans"][0]["state"]) == (0, "done")
    assert "'lock'" in err
    code, told, err = finish(place, command="resume")
    assert (code, told) == (2, None)
    assert "not kept to the end" in err
    journal = str(place.directory / "strict")
    code, told, _err = finish(place, "--recipe", "g.r", "--journal", journal)
    assert (code, told["plans"][0]["errors"][0]["type"]) == (1, "bad output")


def test_half_a_character(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", step("a", "P.half")))
    saved = place.directory / "saved.xml"
    code, told, err = finish(place, "--recipe", "g.r", "--save", str(saved))
    assert code == 0, err
    assert told["memory"][0]["attributes"] == {"v": "\udcff\x00é", "s": ["a", "b"]}
    assert finish(place, command="resume")[:2] == (0, told)
    saved.replace(place.directory / "data" / "memory.xml")
    assert finish(place)[:2] == (0, told)
    assert finish(place, "--format", "text")[0] == 0


@pytest.mark.parametrize(
    ("parts", "who"),
    [
        ((step("a", "P.watched"),), "Plan"),
        ((A, step("b", "P.skipped"), step("c", "P.noop"), step("d", "P.noop"), link("t", "!a", "b"),
          link("u", "a", "c"), link("v", "b", "d"), link("w", "c", "d")), "PlanStep"),
    ],
    ids=["finalizer", "nonexecuted"],
)  # fmt: skip
def test_a_callback_under_which_the_process_died_is_called_again(
    place: HomeOnDisk, parts: tuple[str, ...], who: str
) -> None:
    place.recipes(recipe("r", *parts))
    assert finish(place, "--recipe", "g.r")[0] == 9
    code, told, err = finish(place, command="resume")
    assert (code, told["plans"][0]["state"]) == (0, "done"), err
    assert finish(place, command="resume")[0] == 0
    assert (place.directory / "modules" / "told").read_text().split() == [who, who]


def test_a_service(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", step("a", "P.take")))
    lines = [
        '<x v="é"/>', '<start-plan recipe="g.r"/>', "<start-plan recipe='g.none'/>", "<x", "&x;", "<x eid='1'/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><x>&b;</x>", "   ", "<y/><y/>", '<start-plan recipe="g.r"/>', "<start-plan/>",
        '<start-plan recipe="g.r"/>',
    ]  # fmt: skip
    text = "\n".join(lines)
    done = subprocess.run(
        arguments(place, "run", "--watch"), input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode, [plan["state"] for plan in told["plans"]]) == (1, ["done", "done", "failed"])
    assert [each["type"] for each in told["memory"] if "message" not in each["attributes"]] == ["x", "x"]
    for number in (4, 5, 7, 9):
        assert f"standard input:{number}: " in done.stderr


def test_a_service_is_ended_by_a_signal(place: HomeOnDisk) -> None:
    place.module(
        "Q", "import sys\nfrom narval_engine import action\n@action\ndef say(i): sys.stderr.write('begun\\n')\n"
    )
    place.recipes(recipe("say", step("a", "Q.say")))
    with subprocess.Popen(
        arguments(place, "run", "--watch", "--recipe", "g.say"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_for(process, "begun")
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        assert process.wait(timeout=60) == 143
    assert told["plans"][0]["state"] in {"done", "failed"}


def test_much_of_everything(place: HomeOnDisk) -> None:
    place.recipes(recipe("r", step("a", "M.x_use", foreach="i"), step("b", "M.noop"), link("t", "a", "b")))
    place.memory(*(f'<x v="{"w" * 50}{at}"/>' for at in range(5000)), '<start-plan recipe="g.r"/>')
    code, told, _err = finish(place)
    assert (code, len(told["memory"])) == (0, 5000)


def test_the_command_line(place: HomeOnDisk, tmp_path: Path) -> None:
    home = ["--home", str(place.directory)]
    for wrong in (["run"], ["run", *home, "--format", "yaml"], ["run", *home, "extra"], ["run", *home, "--recipe"], [],
                  ["walk", *home], ["run", "--home", str(tmp_path / "no")], ["run", "--home", __file__],
                  ["resume", *home], ["run", *home, "--recipe", "g"], ["run", *home, "--recipe", ""]):  # fmt: skip
        code, out, err = place.command(*wrong)
        assert (code, out) == (2, ""), wrong
        assert err.strip(), wrong
