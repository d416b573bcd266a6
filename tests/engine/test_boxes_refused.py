"""What the command refuses, as black boxes: exit code 2, the file and the line, and what is allowed there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.engine.homes import HomeOnDisk, link, recipe, step

TWO = (step("a", "M.noop"), step("b", "M.noop"))
T = link("t", "a", "b")


def book(*parts: str, **attributes: str) -> str:
    """A recipe whose parts stand a line each, the first on line 3."""
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return "<cookbook>\n" + f'<recipe group="g" name="r"{more}>\n' + "\n".join(parts) + "\n</recipe>\n</cookbook>"


def between(inside: str) -> str:
    return book(*TWO, link("t", "a", "b", "\n" + inside))


def matching(expression: str) -> str:
    return between(f"<condition><match>{expression}</match></condition>")


#: name, the recipe file, the line that is blamed, and a part of what is said.
XML = [
    ("a recipe without steps", book(), 2, "no elements"),
    ("an unknown tag", book(*TWO, T, "<stepp/>"), 6, "allowed are <step>, <transition>"),
    ("an unknown tag in a step", book(step("a", "M.noop", "<inputs/>")), 3, "allowed are"),
    ("an unknown tag in a transition", between("<when/>"), 6, "allowed are"),
    ("an unknown tag in a condition", between("<condition><mach/></condition>"), 6, "allowed are <match>"),
    ("an unknown attribute of a step", book(step("a", "M.noop", tarket="x")), 3, "did you mean 'target'"),
    ("an unknown attribute of an input", book(step("a", "M.x", '<input id="i" uses="yes"/>')), 3, "did you mean 'use'"),
    ("an unknown attribute of a transition", book(*TWO, link("t", "a", "b", prio="1")), 5, "'prio'"),
    ("an unknown attribute of a link", book(*TWO, T.replace('idref="a"', 'idref="a" onerror="yes"')), 5, "on_error"),
    ("an unknown attribute of an out", book(*TWO, T.replace('idref="b"', 'idref="b" on_error="yes"')), 5, "on_error"),
    ("an unknown attribute of a condition", between('<condition list="yes"><match>1</match></condition>'), 6, "'list'"),
    ("an unknown attribute of a match", between('<condition><match x="1">1</match></condition>'), 6, "'x'"),
    ("an unknown attribute of a cookbook", book(*TWO, T).replace("<cookbook", "<cookbook x='1'", 1), 1, "'x'"),
    ("an unknown attribute of arguments", book(step("a", "M.x", "<arguments id='1'/>")), 3, "'id'"),
    ("the state of a transition is a plan's", book(*TWO, link("t", "a", "b", state="fired")), 5, "'state'"),
    ("no name", book(*TWO, T).replace(' name="r"', ""), 2, "'name'"),
    ("no group", book(*TWO, T).replace(' group="g"', ""), 2, "'group'"),
    ("no id of a step", book('<step type="action" target="M.noop"/>'), 3, "'id'"),
    ("no type of a step", book('<step id="a" target="M.noop"/>'), 3, "'type'"),
    ("no target of a step", book('<step id="a" type="action"/>'), 3, "'target'"),
    ("no id of a transition", book(*TWO, T.replace(' id="t"', "")), 5, "'id'"),
    ("no id of an input", book(step("a", "M.x", "<input/>")), 3, "'id'"),
    ("no idref", book(*TWO, T.replace(' idref="b"', "")), 5, "'idref'"),
    ("another type", book(step("a", "M.noop", type="transform")), 3, "'action' or 'recipe'"),
    ("two steps of one id", book(step("a", "M.noop"), step("a", "M.noop")), 4, "'a'"),
    ("two transitions of one id", book(*TWO, step("c", "M.noop"), T, link("t", "b", "c")), 7, "'t'"),
    ("two inputs of one id", book(step("a", "M.x", '<input id="i"/><input id="i"/>')), 3, "twice"),
    ("two recipes of one name", book(*TWO, T).replace("</cookbook>", recipe("r", TWO[0]) + "</cookbook>"), 7, "twice"),
    ("no in", book(*TWO, '<transition id="t"><out idref="b"/></transition>'), 5, "no in step"),
    ("no out", book(*TWO, '<transition id="t"><in idref="b"/></transition>'), 5, "no out step"),
    (
        "an out that is not there on a line of its own",
        book(*TWO, T.replace("<out", "\n<out").replace('"b"', '"c"')),
        6,
        "unknown step 'c'",
    ),
    (
        "a match on a line of its own",
        between("<condition>\n<match>1</match>\n<match>elmt.</match></condition>"),
        8,
        "no Python expression",
    ),
    ("an in that is not there", book(*TWO, link("t", "aa", "b")), 5, "did you mean 'a'"),
    ("an out that is not there", book(*TWO, link("t", "a", "c")), 5, "unknown step 'c'"),
    ("a condition without a match", between("<condition/>"), 6, "at least one match"),
    ("an empty match", matching(" "), 6, "is empty"),
    ("a context that is none", between('<condition to_context="world"><match>1</match></condition>'), 6, "memory"),
    (
        "contexts the wrong way",
        book(step("a", "M.x", '<input id="i" from_context="plan" to_context="step"/>')),
        3,
        "beyond",
    ),
    ("an action that is not there", book(step("a", "M.noopp")), 3, "did you mean 'M.noop'"),
    ("a recipe for an action", book(step("a", "g.r")), 3, "no action"),
    ("an action for a recipe", book(step("a", "M.noop", type="recipe")), 3, "no recipe"),
    ("start and end are missing", book(*TWO), 2, "initial step is missing"),
    ("a start that is not there", book(*TWO, T, start_step="z"), 2, "no step 'z'"),
    ("an end that is not there", book(*TWO, T, end_step="z"), 2, "no step 'z'"),
    ("start and end with nothing between", book(*TWO, start_step="a", end_step="b"), 3, "no outgoing"),
    ("a loose step", book(*TWO, T, step("c", "M.noop"), start_step="a", end_step="b"), 6, "'c' has no incoming"),
    ("a loop", book(*TWO, T, link("u", "b", "a")), 2, "cycle [a, b]"),
    ("a loop with a way out", book(*TWO, step("c", "M.noop"), T, link("u", "b", "a"), link("v", "b", "c")), 2, "cycle"),
    ("a loop of one", book(step("a", "M.noop"), link("t", "a", "a"), start_step="a", end_step="a"), 2, "cycle [a]"),
    (
        "steps that nothing leads to",
        book(*TWO, T, step("c", "M.noop"), step("d", "M.noop"), link("u", "c d", "b"), start_step="a", end_step="b"),
        6,
        "no incoming",
    ),
    ("a restart that is none", book(*TWO, T, restart="true"), 2, "'yes' or 'no'"),
    ("a decay that is none", book(*TWO, T, decay="soon"), 2, "a number"),
    ("a decay below zero", book(*TWO, T, decay="-1"), 2, "not less than 0"),
    ("a priority that is none", book(*TWO, link("t", "a", "b", priority="1.5")), 5, "whole number"),
    ("an on_error that is none", book(*TWO, T.replace('idref="a"', 'idref="a" on_error="1"')), 5, "'yes' or 'no'"),
    *(
        (f"time {name}={value}", between(f'<time {name}="{value}"/>'), 6, f"{name} takes")
        for name, value in (
            ("seconds", "60"),
            ("minutes", "-1"),
            ("hours", "24"),
            ("monthdays", "0"),
            ("months", "13"),
            ("years", "10001"),
            ("yeardays", "367"),
            ("weekdays", "7"),
            ("seconds", "5-3"),
            ("minutes", "*/5"),
            ("hours", "1,,2"),
            ("hours", ""),
            ("weekdays", "mon"),
        )
    ),
    ("text where none is wanted", book("hello", *TWO, T), 2, "unexpected text"),
    ("something in a time", between("<time><x/></time>"), 6, "it is empty"),
    *(
        (f"expression {text}", matching(text), 6, "match")
        for text in (
            "import os",
            "x = 1",
            "elmt.v = 1",
            "__import__('os')",
            "elmt.__class__",
            "elmt._begin('x')",
            "().__class__",
            "lambda: 1",
            "9**9**9",
            "'a' * 10 ** 10",
            "1 &lt;&lt; 999999",
            "open('/etc/passwd')",
            "eval('1')",
            "print(1)",
            "getattr(elmt, '__class__').mro",
            "type(elmt)",
            "globals()",
            "vars(elmt)",
            "f'{elmt}'",
            "(y := 1)",
            "[x for x in elmt.a for y in elmt.b for z in elmt.c]",
            "elmt..v",
            "elmt.v ==",
            "yield 1",
            "await elmt",
            "other.v == 1",
            "(" * 500,
            "-" * 500 + "1",
            "elmt.v" + ".v" * 400,
        )
    ),
    ("not well-formed", "<cookbook>\n<recipe>\n</cookbook>", 3, "not well-formed"),
    ("an empty file", "", 1, "not well-formed"),
    ("an entity of its own", "<!DOCTYPE a [<!ENTITY b 'c'>]>\n<cookbook/>", 1, "entities"),
    (
        "an external entity",
        "<!DOCTYPE a [\n<!ENTITY b SYSTEM 'file:///etc/passwd'>]>\n<cookbook>&b;</cookbook>",
        2,
        "entities",
    ),
    ("a bomb", "<!DOCTYPE a [<!ENTITY a 'aaa'>\n<!ENTITY b '&a;&a;'>]><cookbook>&b;</cookbook>", 1, "entities"),
    ("very deep", "<cookbook>" * 5000, 1, "nested deeper"),
    ("another root", "<memory/>", 1, "<cookbook> is wanted"),
]


@pytest.mark.parametrize(("text", "line", "part"), [case[1:] for case in XML], ids=[case[0][:50] for case in XML])
def test_recipes_that_are_refused(text: str, line: int, part: str, home: HomeOnDisk) -> None:
    path = home.directory / "recipes" / "r.xml"
    path.write_text(text)
    home.memory('<start-plan recipe="g.r"/>')
    said = home.refused()
    assert "noise" not in said
    assert any(each.startswith(f"{path}:{line}: ") and part in each for each in said.splitlines()), said


#: name, a file of the home, the line that is blamed, and a part of what is said.
FILES = [
    ("memory that is a folder", "data/memory.xml/x", "", 1, "cannot be read"),
    ("a recipe that is a folder", "recipes/r.xml/x", "", 1, "cannot be read"),
    ("a module that is a folder", "modules/N.py/x", "", 1, "N.py"),
    ("YAML with two of a key", "recipes/r.yml", "recipe:\n  group: g\n  group: h\n  name: r\n", 3, "twice"),
    ("YAML with tabs", "recipes/r.yml", "recipe:\n\tgroup: g\n", 2, "YAML"),
    ("YAML with a tag", "recipes/r.yml", "recipe: !!python/object/apply:os.system [id]\n", 1, "r.yml"),
    ("YAML that is a list", "recipes/r.yml", "- 1\n", 1, "mapping"),
    ("YAML that is nothing", "recipes/r.yml", "", 1, "recipe"),
    (
        "YAML with a wrong expression",
        "recipes/r.yml",
        (
            "recipe:\n  group: g\n  name: r\n  steps: {a: {target: M.noop}, "
            "b: {target: M.noop}}\n  transitions:\n    - in: a\n      out: b\n      when: elmt..v\n"
        ),
        8,
        "elmt..v",
    ),
    (
        "YAML with a wrong time",
        "recipes/r.yml",
        (
            "recipe:\n  group: g\n  name: r\n  steps: {a: {target: M.noop}, "
            "b: {target: M.noop}}\n  transitions:\n    - in: a\n      out: b\n      time: {hours: 24}\n"
        ),
        8,
        "hours takes",
    ),
    (
        "YAML with a wrong flag",
        "recipes/r.yml",
        "recipe:\n  group: g\n  name: r\n  restart: perhaps\n  steps: {a: {target: M.noop}}\n",
        4,
        "restart",
    ),
    ("a module that does not parse", "modules/N.py", "def f(:\n", 1, "SyntaxError"),
    ("a module that is no text", "modules/N.py", "\x00", 1, "N.py"),
    ("a module that nothing ends", "modules/N.py", "MOD_XML = '''<module>\n<action>'''", 2, "well-formed"),
    (
        "a function that is not there",
        "modules/N.py",
        "MOD_XML = '''<module>\n\n<action name='a' func='g'/></module>'''",
        3,
        "'g'",
    ),
    ("a tag that is not one of a module", "modules/N.py", "MOD_XML = '<module><axtion/></module>'", 1, "<axtion>"),
    (
        "a tag that is not one of an action",
        "modules/N.py",
        'MOD_XML = \'<module><action name="a" func="f"><in/></action></module>\'\ndef f(i): pass',
        1,
        "<in>",
    ),
]


@pytest.mark.parametrize(
    ("file", "text", "line", "part"), [case[1:] for case in FILES], ids=[each[0] for each in FILES]
)
def test_files_that_are_refused(file: str, text: str, line: int, part: str, home: HomeOnDisk) -> None:
    path = home.directory / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    blamed = path if path.name != "x" else path.parent
    said = home.refused()
    assert any(each.startswith(f"{blamed}:{line}: ") and part in each for each in said.splitlines()), said


def test_links_that_lead_nowhere_are_refused(home: HomeOnDisk) -> None:
    for file in ("recipes/r.xml", "data/memory.xml", "modules/N.py"):
        (home.directory / file).symlink_to("nothing")
    said = home.refused()
    for file in ("recipes/r.xml", "data/memory.xml", "modules/N.py"):
        assert f"{home.directory / file}:1: " in said, said


def test_bytes_that_are_no_text_are_refused(home: HomeOnDisk) -> None:
    (home.directory / "recipes" / "r.xml").write_bytes(b"<cookbook>\xff\xfe</cookbook>")
    (home.directory / "recipes" / "r.yml").write_bytes(b"recipe: \xff\xfe")
    (home.directory / "data" / "memory.xml").write_bytes(b"\x89PNG")
    (home.directory / "modules" / "N.py").write_bytes(b"x = '\xff'\n")
    said = home.refused()
    for file in ("recipes/r.xml", "recipes/r.yml", "data/memory.xml", "modules/N.py"):
        assert re.search(re.escape(f"{home.directory / file}:") + r"\d+: ", said), said


def test_every_mistake_of_every_file_is_told_once_by_place(home: HomeOnDisk) -> None:
    home.module("N", 'MOD_XML = \'<module><action name="a" func="g"/></module>\'')
    (home.directory / "recipes" / "a.xml").write_text(book(step("a", "M.nope"), *TWO, T, decay="x"))
    (home.directory / "recipes" / "b.yml").write_text("recipe: {group: g, name: q, steps: {a: {target: M.nix}}}\n")
    (home.directory / "data" / "memory.xml").write_text("<memory>\n<start-plan/>\n<x eid='q'/>\n</memory>")
    said = home.refused("--recipe", "g.none").splitlines()
    for part in ("N.py:1: ", "'M.nope'", "decay", "'M.nix'", "'recipe'", "'q'", "g.none"):
        assert sum(part in each for each in said) >= 1, (part, said)
    assert len(said) == len(set(said))
    assert re.fullmatch(r"nothing was run: \d+ mistakes", said[-1])


def test_what_may_be_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = HomeOnDisk(tmp_path, capfd)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert home.told() == (0, {"plans": [], "memory": []}, "")
