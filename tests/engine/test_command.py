"""The command ``narval``: its contract, exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.engine.homes import MODULE, HomeOnDisk, link, recipe, step

WAITS = recipe(
    "w",
    step("a", "M.noop"),
    step("b", "M.noop"),
    link("t", "a", "b", '<condition><match>elmt.type == "z"</match></condition>'),
)


def test_all_plans_done(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "M.mkx"), step("b", "M.x"), link("t", "a", "b")))
    home.memory('<x v="1">some text</x>', '<start-plan recipe="g.r"><y w="2"/></start-plan>')
    code, told = home.run()
    assert code == 0
    assert told["plans"] == [
        {
            "eid": 2,
            "recipe": "g.r",
            "state": "done",
            "parent_plan": None,
            "steps": {"a": "history", "b": "done"},
            "errors": [],
        }
    ]
    assert told["memory"] == [
        {"eid": 1, "type": "x", "attributes": {"v": "1", "text": "some text"}},
        {"eid": 3, "type": "y", "attributes": {"w": "2"}},
        {"eid": 4, "type": "x", "attributes": {"v": "prev"}},
    ]


def test_one_plan_failed(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "M.boom")), WAITS)
    home.memory('<start-plan recipe="g.r"/>', '<start-plan recipe="g.w"/>')
    code, told = home.run()
    assert code == 1
    assert [plan["state"] for plan in told["plans"]] == ["failed", "running"]
    assert told["plans"][0]["errors"] == [{"type": "ValueError", "message": "boom", "step": "a"}]


def test_none_failed_and_one_waits(home: HomeOnDisk) -> None:
    home.recipes(WAITS)
    home.memory('<start-plan recipe="g.w"/>')
    code, told = home.run()
    assert (code, told["plans"][0]["state"]) == (3, "running")


def test_an_unknown_recipe_of_a_start_plan_becomes_an_error_element(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "M.noop")))
    home.memory('<start-plan recipe="g.nope"/>', '<start-plan recipe="g.r"/>')
    code, told = home.run()
    assert (code, [plan["recipe"] for plan in told["plans"]]) == (0, ["g.r"])
    assert "g.nope" in next(each for each in told["memory"] if "message" in each["attributes"])["attributes"]["message"]


def test_plans_run_inside_of_plans(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "g.c", type="recipe")), recipe("c", step("a", "M.mkx")))
    code, told = home.run("--recipe", "g.r")
    assert code == 0
    assert [(plan["recipe"], plan["parent_plan"]) for plan in told["plans"]] == [("g.r", None), ("g.c", 1)]


def test_plans_that_are_started_together_see_what_the_first_made(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "M.x2x")), recipe("q", step("a", "M.x2x")), recipe("n", step("a", "M.noop")))
    home.memory('<x v="1"/>', '<start-plan recipe="g.n"/>', '<start-plan recipe="g.r"/>', '<start-plan recipe="g.q"/>')
    code, told = home.run()
    assert (code, [each["attributes"]["v"] for each in told["memory"]]) == (0, ["1", "2", "3"])


def test_prefixes_error_links_arguments_contexts_and_times(home: HomeOnDisk) -> None:
    (home.directory / "recipes" / "other.xml").write_text(
        """<?xml version="1.0"?>
<al:cookbook xmlns:al="http://www.example.org/narval">
  <al:recipe group="g" name="p" decay="60" restart="no" start_step="a" end_step="d">
    <al:step id="d" type="action" target="M.x"><al:arguments><x v="arg"/></al:arguments></al:step>
    <al:step id="a" type="action" target="M.boom"/>
    <al:step id="b" type="action" target="M.handler"/>
    <al:step id="c" type="action" target="M.x_use" foreach="i"><al:input id="i" from_context="plan"/></al:step>
    <al:transition id="t1" priority="-3"><al:in idref="a" on_error="yes"/><al:out idref="b"/>
      <al:condition use="yes"><al:match>elmt.type == "ValueError"</al:match></al:condition></al:transition>
    <al:transition id="t2"><al:in idref="b"/><al:out idref="c"/><al:time seconds="*" years="2000-9000"/></al:transition>
    <al:transition id="t3"><al:in idref="c"/><al:out idref="d"/><al:context from_context="plan"/></al:transition>
  </al:recipe>
</al:cookbook>"""
    )
    home.memory('<start-plan recipe="g.p"><x v="1"/><x v="2"/></start-plan>')
    code, told = home.run()
    assert code == 0
    assert told["plans"][0]["steps"] == {"d": "done", "a": "error", "b": "history", "c": "history"}


def test_a_time_in_the_future_is_waited_for(home: HomeOnDisk) -> None:
    second = (int(time.time()) + 2) % 60
    home.recipes(
        recipe("r", step("a", "M.noop"), step("b", "M.noop"), link("t", "a", "b", f'<time seconds="{second}"/>'))
    )
    code, _told = home.run("--recipe", "g.r")
    assert code == 0
    assert int(time.time()) % 60 == second


def test_recipes_in_yaml(home: HomeOnDisk) -> None:
    (home.directory / "recipes" / "r.yml").write_text(
        """
recipe:
  group: g
  name: y
  steps:
    a: {target: M.boom}
    b: {target: M.handler}
    c:
      target: M.x
      arguments: [{x: {v: 1}}]
      inputs: {i: {match: elmt.v == 1}}
  transitions:
    - {in: {error: a}, out: [b], when: elmt.type == "ValueError", priority: 2}
    - {id: named, in: b, out: c, time: {seconds: "*"}}
"""
    )
    code, told = home.run("--recipe", "g.y")
    assert (code, told["plans"][0]["steps"]) == (0, {"a": "error", "b": "history", "c": "done"})


def test_recipes_in_yaml_with_the_names_of_the_xml(home: HomeOnDisk) -> None:
    (home.directory / "recipes" / "r.yml").write_text(
        """
recipe:
  group: g
  name: y
  step:
    - {id: a, type: action, target: M.boom}
    - {id: b, target: M.handler, input: [{id: e, match: [1], use: "yes"}]}
    - {id: c, target: M.noop}
  transition:
    - {id: t, in: [{idref: a, on_error: yes}], out: [{idref: b}], condition: [{match: elmt.type == "ValueError"}]}
    - {id: u, in: {idref: b}, out: {idref: c}}
"""
    )
    code, told = home.run("--recipe", "g.y")
    assert (code, told["plans"][0]["steps"]) == (0, {"a": "error", "b": "history", "c": "done"})


def test_the_text_report(home: HomeOnDisk) -> None:
    home.recipes(WAITS)
    home.memory("<x/>", '<start-plan recipe="g.w"/>')
    code, out, err = home.command("run", "--home", str(home.directory))
    assert code == 3
    assert "plan 2 g.w: running, waits" in out
    assert "1 element" in out
    assert "noise on standard output" not in out
    assert "noise on standard output" in err


def cookbook(*parts: str, before: str = "") -> str:
    """A cookbook whose one recipe stands on its second line."""
    return f"<cookbook>\n{before}{recipe('r', *parts)}</cookbook>"


TWO = (step("a", "M.noop"), step("b", "M.noop"))
BROKEN = [
    ("<cookbook><recipe", "not well-formed", 1),
    ("<cookbook>\n<recipe group='g' name='r' colour='blue'/>\n</cookbook>", "unknown attribute 'colour'", 2),
    ("<cookbook>\n<recipe group='g'><step id='a' type='action' target='M.noop'/></recipe></cookbook>", "'name'", 2),
    (cookbook(step("a", "M.nop"), before="\n"), "M.noop", 3),
    (cookbook("\n", step("a", "M.x", type="machine")), "'recipe'", 3),
    (cookbook("\n", step("a", "g.n", type="recipe")), "no recipe", 3),
    (cookbook(step("a", "M.x", '<input id="j"/>')), "it has i", 2),
    (cookbook(step("a", "M.x", '<input id="i">\n<match>elmt..v</match></input>')), "no Python expression", 3),
    (cookbook(*TWO, link("t", "a", "b", '\n<time hours="24"/>')), "hours takes '*', or numbers from 0 to 23", 3),
    (cookbook(*TWO, link("t", "a", "b", '\n<time hour="3"/>')), "did you mean 'hours'", 3),
    (cookbook(*TWO, link("t", "a", "b", priority="high")), "it is a whole number", 2),
    (cookbook(step("a", "M.x_use", '<input id="i" use="no"/>')), "may not make it no", 2),
    (cookbook(step("a", "M.x", '<input id="i" use="maybe"/>')), "it is 'yes' or 'no'", 2),
    ("<!DOCTYPE a [<!ENTITY b 'c'>]>\n<cookbook>&b;</cookbook>", "entities", 1),
    ("<memory/>", "<recipe> or <cookbook> is wanted", 1),
    (cookbook(step("a", "M.noop", foreach="i")), "foreach names 'i'", 2),
    (cookbook(*TWO), "initial step is missing", 2),
]


@pytest.mark.parametrize(("text", "part", "line"), BROKEN)
def test_a_broken_recipe_is_refused_with_its_line(home: HomeOnDisk, text: str, part: str, line: int) -> None:
    path = home.directory / "recipes" / "broken.xml"
    path.write_text(text)
    said = home.refused()
    blamed = [each for each in said.splitlines() if each.startswith(f"{path}:{line}")]
    assert blamed, said
    assert part in said, said


@pytest.mark.parametrize(
    ("text", "part", "line"),
    [
        ("recipe: {group: g, name: r, steps: {a: {target: M.noop, foreech: i}}}", "did you mean 'foreach'", 1),
        ("recipe:\n  group: g\n  name: r\n  steps: [", "is no YAML", 4),
        ("recipe:\n  name: r\n  steps: {a: {target: M.noop}}", "needs the key 'group'", 2),
        ("recipe: &a [*a]", "is no YAML|aliases|a recipe is a mapping", 1),
        (
            "recipe:\n  group: g\n  name: r\n  steps: {a: {target: M.noop}}\n  transitions: [{in: a}]",
            "needs the key 'out'",
            5,
        ),
        ("nonsense: 1", "allowed are recipe, recipes", 1),
        ("recipe: {group: g, group: h, name: r}", "there twice", 1),
    ],
)
def test_a_broken_yaml_recipe_is_refused_with_its_line(home: HomeOnDisk, text: str, part: str, line: int) -> None:
    path = home.directory / "recipes" / "broken.yml"
    path.write_text(text)
    said = home.refused()
    assert any(option in said for option in part.split("|")), said
    assert any(each.startswith(f"{path}:{line}") for each in said.splitlines()), said


@pytest.mark.parametrize(
    ("text", "part", "line"),
    [
        ("x = (", "cannot be imported: SyntaxError", 1),
        ("\n\nraise KeyError('k')", "cannot be imported: KeyError", 3),
        ("import sys\nsys.exit(0)", "cannot be imported: SystemExit", 2),
        ('MOD_XML = """<module name="other"/>"""', "the name of the file, 'N'", 1),
        ('MOD_XML = """\n<module>\n<action name="a" func="nope"/></module>"""', "func='nope' is no function", 3),
        ('MOD_XML = """\n<module>\n<action name="a"/></module>"""', "needs the attribute 'func'", 3),
        (
            'def f(i): pass\nMOD_XML = """\n<module>\n<action name="a" func="f">\n<input id="i"/></action></module>"""',
            "no match for i",
            5,
        ),
        ('MOD_XML = """<module><action"""', "not well-formed", 1),
        ("MOD_XML = 3", "XML as text is wanted", 1),
    ],
)
def test_a_broken_module_is_refused_with_its_line(home: HomeOnDisk, text: str, part: str, line: int) -> None:
    home.module("N", text)
    said = home.refused()
    assert f"{home.directory / 'modules' / 'N.py'}:{line}: " in said, said
    assert part in said, said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("<memory><x", "not well-formed"),
        ("<recipes/>", "<memory> is wanted"),
        ("<memory><start-plan/></memory>", "needs the attribute 'recipe'"),
        ("<memory><start-plan recipe='a' recipee='b'/></memory>", "unknown attribute 'recipee'"),
        ("<memory><x eid='one'/></memory>", "eid 'one' is no number"),
        ("<memory><x eid='1'/><x eid='1'/></memory>", "two elements have the eid 1"),
    ],
)
def test_a_broken_memory_is_refused(home: HomeOnDisk, text: str, part: str) -> None:
    (home.directory / "data" / "memory.xml").write_text(text)
    assert part in home.refused()


def test_all_mistakes_are_told_at_once_and_nothing_is_run(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "M.nope")), recipe("q", step("a", "M.nix")), recipe("q", step("a", "M.noop")))
    said = home.refused("--recipe", "g.nonesuch")
    for part in ("'M.nope'", "'M.nix'", "there twice", "no recipe 'g.nonesuch'", "mistakes"):
        assert part in said


def test_no_home(home: HomeOnDisk) -> None:
    code, _out, err = home.command("run", "--home", str(home.directory / "nowhere"))
    assert code == 2
    assert "is no directory" in err
    assert home.command("run")[0] == 2
    assert home.command("dance")[0] == 2


def test_elements_of_classes_and_interfaces(home: HomeOnDisk) -> None:
    home.module(
        "Mail",
        """
from narval_engine import Element, Interface, action, adapter, input, output

class IMail(Interface):
    "subject"

class Mail(Element, type="mail"):
    implements = (IMail,)
    def __init__(self, subject, **more):
        super().__init__(subject=subject, **more)

@adapter("note", IMail)
class NoteAsMail:
    def __init__(self, note):
        self.subject = note.text.upper()

@output("o", "elmt.type == 'read'")
@input("i", "IMail(elmt).subject == 'HI'", list=True)
@action("read")
def read(inputs):
    return {"o": Element("read", count=len(inputs["i"]))}
""",
    )
    home.recipes(recipe("r", step("a", "Mail.read")))
    home.memory(
        '<mail subject="HI"/>', '<mail subject="no"/>', "<note>hi</note>", "<other/>", '<start-plan recipe="g.r"/>'
    )
    code, told = home.run()
    assert code == 0
    assert told["memory"][-1]["attributes"] == {"count": 2}


def test_a_transformation_is_an_action(home: HomeOnDisk) -> None:
    (home.directory / "modules" / "Mail.shout.xsl").write_text(
        """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
            xmlns:al="http://www.example.org/narval">
  <al:prototype>
    <al:description lang="en">shouts</al:description>
    <al:input id="said"><al:match>elmt.type == "said"</al:match></al:input>
    <al:output id="shouted"><al:match>elmt.type == "shouted"</al:match></al:output>
  </al:prototype>
  <xsl:template match="/"><outputs><xsl:for-each select="inputs/input[@id='said']/said">
    <shouted v="{translate(@v, 'abc', 'ABC')}"/></xsl:for-each></outputs></xsl:template>
</xsl:stylesheet>"""
    )
    home.recipes(recipe("r", step("a", "Mail.shout", '<arguments><said v="abc!"/></arguments>')))
    code, told = home.run("--recipe", "g.r")
    assert code == 0, told
    assert told["memory"][-1] == {"eid": told["memory"][-1]["eid"], "type": "shouted", "attributes": {"v": "ABC!"}}


def test_a_transformation_reads_no_files(home: HomeOnDisk) -> None:
    secret = home.directory / "secret.xml"
    secret.write_text("<x v='secret'/>")
    (home.directory / "modules" / "T.leak.xsl").write_text(
        f"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <prototype><output id="o"><match>elmt.type == "x"</match></output></prototype>
  <xsl:template match="/"><outputs><xsl:copy-of select="document('{secret}')"/></outputs></xsl:template>
</xsl:stylesheet>"""
    )
    home.recipes(recipe("r", step("a", "T.leak")))
    code, told = home.run("--recipe", "g.r")
    assert code == 1
    assert "secret" not in json.dumps(told["memory"][:-1])


def test_memory_is_saved_and_loaded_with_its_plans(home: HomeOnDisk) -> None:
    home.recipes(WAITS, recipe("u", step("a", "M.x2x")), recipe("f", step("a", "M.boom")))
    starts = [f'<start-plan recipe="g.{name}"/>' for name in ("w", "u", "f")]
    home.memory('<x v="1" odd="a&#10;b&quot;"> text &lt; </x>', *starts)
    saved = home.directory / "data" / "memory.xml"
    code, told = home.run("--save", str(saved))
    assert code == 1
    ET.parse(saved)
    again_code, again = home.run("--save", str(home.directory / "again.xml"))
    assert (again_code, again) == (code, told)
    assert (home.directory / "again.xml").read_text() == saved.read_text()
    saved.write_text(saved.read_text().replace("</memory>", '<z/><start-plan recipe="g.w"/></memory>'))
    _code, told = home.run()
    assert [plan["state"] for plan in told["plans"]] == ["done", "done", "failed", "done"]
    numbers = [each["eid"] for each in (*told["plans"], *told["memory"])]
    assert len(numbers) == len(set(numbers))


def test_drawings(home: HomeOnDisk) -> None:
    home.recipes(WAITS)
    file = str(home.directory / "recipes" / "all.xml")
    code, out, _err = home.command("graph", file)
    assert code == 0
    assert '-> b  t  (if elmt.type == "z")' in out
    code, out, _err = home.command("graph", file, "--format", "svg", "--recipe", "g.w")
    assert len(ET.fromstring(out).findall(".//{http://www.w3.org/2000/svg}rect")) == 2
    assert home.command("graph", file, "--recipe", "g.nope")[0] == 2
    assert home.command("graph", "/nonexistent")[0] == 2
    journal = home.directory / "j"
    home.run("--recipe", "g.w", "--journal", str(journal))
    code, out, err = home.command("graph", str(journal), "--home", str(home.directory))
    assert code == 0, err
    assert "plan 1 g.w: running, waits" in out
    assert "not empty; go on from it with `narval resume`" in home.refused("--journal", str(journal))
    assert "wait-condition" in out or "wait-step" in out


def command(home: HomeOnDisk, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "narval_engine", *arguments, "--home", str(home.directory)]


def test_killed_and_resumed(home: HomeOnDisk) -> None:
    home.module("M", MODULE + "\n\nimport time\n\ndef slow(inputs):\n    time.sleep(30)\n")
    text = (home.directory / "modules" / "M.py").read_text()
    home.module("M", text.replace("</module>", '<action name="slow" func="slow"/></module>'))
    parts = [step("a", "M.mkx"), step("b", "M.slow"), step("c", "M.handler"), link("t", "a", "b"), link("u", "!b", "c")]
    home.recipes(recipe("r", *parts))
    journal = home.directory / "data" / "journal.sqlite"
    arguments = command(home, "run", "--recipe", "g.r", "--journal", str(journal))
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    wal = Path(f"{journal}-wal")
    while time.monotonic() < deadline and not (
        wal.exists() and b"step_started" in wal.read_bytes().rpartition(b"mkx")[2]
    ):
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, out, err = home.command("resume", "--home", str(home.directory), "--format", "json")
    assert code == 0, err
    told = json.loads(out)
    assert told["plans"][0]["steps"] == {"a": "history", "b": "failed", "c": "done"}
    assert told["plans"][0]["errors"][0]["type"] == "interrupted"


def test_a_full_disk_stops_it_and_it_goes_on_later(home: HomeOnDisk) -> None:
    steps = [step(f"s{at}", "M.mkx") for at in range(300)]
    home.recipes(recipe("r", *steps, *[link(f"t{at}", f"s{at}", f"s{at + 1}") for at in range(299)]))
    journal = home.directory / "data" / "journal.sqlite"
    program = (
        "import resource, signal, sys; from narval_engine.cli import main; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["run", "--home", str(home.directory), "--recipe", "g.r", "--journal", str(journal)]
    full = [sys.executable, "-c", program, *arguments]
    died = subprocess.run(full, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert died.returncode == 1
    assert "the journal cannot be written" in died.stderr
    assert "Traceback" not in died.stderr
    code, out, err = home.command("resume", "--home", str(home.directory), "--format", "json")
    told = json.loads(out)
    assert told["plans"][0]["steps"]["s0"] == "history"
    assert code in {0, 1}, err
    made = [element for element in told["memory"] if element["type"] == "x"]
    assert len(made) == list(told["plans"][0]["steps"].values()).count("history") + (code == 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_in_order(home: HomeOnDisk, number: signal.Signals, code: int) -> None:
    home.module(
        "S",
        "from narval_engine import action, running\nimport threading\n\n@action\ndef slow(inputs):\n"
        "    told = threading.Event()\n    running().on_cancel(told.set)\n    print('begun', flush=True)\n"
        "    told.wait(30)\n",
    )
    home.recipes(recipe("r", step("a", "S.slow")))
    arguments = [*command(home, "run", "--recipe", "g.r", "--format", "json")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "begun" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        out, _err = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(out)["plans"][0]["errors"][-1]["type"] == "cancelled"


def test_watched_lines_come_one_after_the_other(home: HomeOnDisk) -> None:
    inputs = '<input id="i" use="yes"><match>elmt.type == "x"</match></input>'
    inputs += '<input id="k"><match>elmt.type == "z"</match></input>'
    text = MODULE.replace("</module>", f'<action name="xz" func="noop">{inputs}</action></module>')
    home.module("M", text)
    home.recipes(recipe("r", step("a", "M.xz")))
    lines = ["<x/>", '<start-plan recipe="g.r"/>', "<z/>", '<start-plan recipe="g.r"/>', '<start-plan recipe="g.r"/>']
    answer = subprocess.run(
        command(home, "run", "--watch", "--format", "json"),
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [plan["state"] for plan in json.loads(answer.stdout)["plans"]] == ["failed", "done", "failed"]


def test_watch_takes_elements_from_standard_input(home: HomeOnDisk) -> None:
    home.recipes(WAITS, recipe("r", step("a", "M.x")))
    lines = ["<z/>", "not xml", "", '<start-plan recipe="g.r"><x v="5"/></start-plan>']
    answer = subprocess.run(
        command(home, "run", "--recipe", "g.w", "--watch", "--format", "json"),
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert answer.returncode == 0, answer.stderr
    assert "standard input:2: is not well-formed XML" in answer.stderr
    assert [(plan["recipe"], plan["state"]) for plan in json.loads(answer.stdout)["plans"]] == [
        ("g.w", "done"),
        ("g.r", "done"),
    ]
