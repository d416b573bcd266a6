"""The command and what it reads from and writes to: streams that are closed or full, lines that are no elements."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.homes import HomeOnDisk, link, recipe, step

FULL = Path("/dev/full")


@pytest.fixture
def place(home: HomeOnDisk) -> HomeOnDisk:
    home.recipes(recipe("r", step("a", "M.noop")))
    home.memory('<start-plan recipe="g.r"/>')
    return home


def narval(place: HomeOnDisk, *more: str) -> list[str]:
    return [sys.executable, "-m", "narval_engine", "run", "--home", str(place.directory), "--format", "json", *more]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_may_be_closed(closed: str, place: HomeOnDisk) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *narval(place)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.replace("noise on standard output\n", "")) == (0, "")
    if ">&-" not in closed.split():
        assert json.loads(done.stdout)["plans"][0]["state"] == "done"


def test_a_report_that_cannot_be_written_is_no_mistake_of_the_home(place: HomeOnDisk) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            narval(place),
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "report cannot be written" in done.stderr
    assert "nothing was run" not in done.stderr


def test_memory_that_cannot_be_saved_leaves_the_report(place: HomeOnDisk) -> None:
    code, told, err = place.told("--save", str(place.directory / "nowhere" / "memory.xml"))
    assert code == 1
    assert told is not None
    assert told["plans"][0]["state"] == "done"
    assert "memory cannot be saved" in err
    assert "nothing was run" not in err


def test_what_memory_is_saved_to_stays_what_it_is(place: HomeOnDisk, tmp_path: Path) -> None:
    """A device is written to, and a link leads where it did."""
    aside, saved = tmp_path / "link", tmp_path / "saved"
    aside.symlink_to(saved)
    assert place.told("--save", str(aside))[0] == 0
    assert aside.is_symlink()
    assert "<memory" in saved.read_text()
    done = subprocess.run(
        narval(place, "--save", "/dev/stderr"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "<memory" in done.stderr
    assert Path("/dev/stderr").is_symlink()


def test_a_module_that_catches_everything_does_not_catch_a_signal(place: HomeOnDisk) -> None:
    place.module(
        "Stubborn",
        "import sys, time\ntry:\n    sys.stderr.write('begun\\n')\n    time.sleep(60)\n"
        "except BaseException:\n    pass\n",
    )
    with subprocess.Popen(narval(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "begun" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert "nothing was run" in err


LINES = [
    ('<start-plan recipe="g.r" colour="red"/>', "unknown attribute 'colour' of <start-plan>"),
    ('<start-plan recipe="g.r">text</start-plan>', "unexpected text 'text' in <start-plan>"),
    ("<start-plan/>", "needs the attribute 'recipe'"),
    ('<start-plan recipe="g.r"><eval>Element("x")</eval></start-plan>', "<eval> has its place in a home"),
    ("<memory><x/></memory>", "<memory> has its place in a home"),
    ('<recipe group="g" name="n"/>', "<recipe> has its place in a home"),
    ('<plan recipename="g.r"/>', "<plan> has its place in a home"),
]


def test_lines_that_are_no_elements_change_nothing(place: HomeOnDisk) -> None:
    place.memory("")
    done = subprocess.run(
        narval(place, "--watch"),
        input="".join(f"{line}\n" for line, _said in LINES) + '<x v="1"/>\n',
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)
    assert told["plans"] == []
    assert [each["type"] for each in told["memory"]] == ["x"]
    for number, (line, said) in enumerate(LINES, 1):
        assert any(f"standard input:{number}:" in each and said in each for each in done.stderr.splitlines()), line


PLAN = '<plan recipename="g.two" start_step="s" end_step="e" eid="5" {}><elements/></plan>'
SAVED = [
    (PLAN.format('colour="red"'), "unknown attribute 'colour' of <plan>; allowed are recipename"),
    (PLAN.format('parent_plan="77" parent_step="q"'), "no step 'q' of a plan 77"),
    (PLAN.format("").replace('start_step="s"', 'start_step="e"'), "its start_step is 'e', and 's' in the recipe"),
    (PLAN.format("").replace("g.two", "g.nix"), "there is no recipe 'g.nix'"),
]


@pytest.mark.parametrize(("saved", "said"), SAVED, ids=[said for _saved, said in SAVED])
def test_saved_plans_that_fit_nothing(saved: str, said: str, place: HomeOnDisk) -> None:
    place.recipes(recipe("two", step("s", "M.noop"), step("e", "M.noop"), link("t", "s", "e")))
    place.memory(saved)
    err = place.refused()
    assert "memory.xml:2" in err
    assert said in err


def test_saved_plans_in_any_order(place: HomeOnDisk) -> None:
    inner, outer = step("s", "M.noop") + step("e", "M.noop"), step("c", "g.two", type="recipe")
    place.recipes(recipe("two", inner, link("t", "s", "e")), recipe("outer", outer))
    child = PLAN.format('state="running" parent_plan="3" parent_step="c"').replace(
        "<elements/>", '<step id="s" state="done"/><elements/>'
    )
    caller = '<plan recipename="g.outer" eid="3" state="running"><step id="c" state="running"/></plan>'
    place.memory(child, caller)
    code, told, err = place.told()
    assert code == 0, err
    assert told is not None
    assert [plan["state"] for plan in told["plans"]] == ["done", "done"]


def test_what_waits_may_be_resumed_as_a_service(place: HomeOnDisk) -> None:
    condition = '<condition><match>elmt.type == "x"</match></condition>'
    place.recipes(recipe("r", step("a", "M.noop"), step("b", "M.x"), link("t", "a", "b", condition)))
    assert place.told()[0] == 3
    resume = [part.replace("run", "resume") if part == "run" else part for part in narval(place, "--watch")]
    done = subprocess.run(resume, input='<x v="1"/>\n', capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plans"][0]["steps"] == {"a": "history", "b": "done"}


def test_a_recipe_is_there_once(place: HomeOnDisk) -> None:
    """Another one of its name is a mistake, were it the same; but a memory that was saved has the home's own."""
    saved = place.directory / "data" / "memory.xml"
    assert place.told("--save", str(saved))[0] == 0
    assert "<recipe" in saved.read_text()
    assert place.told()[0] == 0
    place.recipes(recipe("r", step("a", "M.noop")), file="more.xml")
    assert "recipe 'g.r' is there twice" in place.refused()


def test_what_a_module_prints_last_is_not_the_report(place: HomeOnDisk) -> None:
    place.module("Bye", "import atexit, os\natexit.register(print, 'bye')\natexit.register(os.write, 1, b'bye')\n")
    done = subprocess.run(narval(place), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["plans"][0]["state"] == "done"
    assert done.stderr.count("bye") == 2


def test_the_type_of_an_element_may_be_given_by_its_name(place: HomeOnDisk) -> None:
    place.module(
        "T",
        "from narval_engine import Element, action, output\n"
        "@action\n@output('o', 'elmt.type == \"y\"')\ndef make(inputs):\n    return {'o': Element(type='y', v='1')}\n",
    )
    place.recipes(recipe("r", step("a", "T.make")))
    code, told, err = place.told()
    assert code == 0, err
    assert told is not None
    assert [(each["type"], each["attributes"]) for each in told["memory"]] == [("y", {"v": "1"})]


def test_an_id_is_text(place: HomeOnDisk) -> None:
    place.module("T", "from narval_engine import input\n\n\n@input(5, 'True')\ndef make(inputs):\n    pass\n")
    err = place.refused()
    assert "T.py:4" in err
    assert "the id of an input or output is text" in err
