"""Names, numbers and values that nobody expects, as black boxes: they are as good as any, or are refused in words."""

from __future__ import annotations

import pytest

from tests.engine.blackbox import Box, box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step


def seeing(match: str) -> str:
    """Two steps; the second one comes after something is matched."""
    return (
        step("a", "M.noop") + step("b", "M.x") + link("t", "a", "b", f"<condition><match>{match}</match></condition>")
    )


def module(code: str, described: str) -> str:
    return f"from narval_engine import Element\nMOD_XML = '''<module>{described}</module>'''\n{code}\n"


ATTRIBUTES = [
    *("attributes", "copied", "private", "implements", "claimed_type", "cls", "self", "name", "kind", "message"),
    *("children", "text", "elements", "recipe", "state", "key", "source"),
]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_may_be_called(name: str, home: HomeOnDisk) -> None:
    """By every way that leads an element through a plan, and into a saved memory and back."""
    element = f'<x v="1" {name}="q"/>'
    home.recipes(
        recipe("r", seeing(f'elmt.{name} == "q"')), recipe("s", step("x", "M.x", f"<arguments>{element}</arguments>"))
    )
    home.memory(element, '<start-plan recipe="g.r"/>', '<start-plan recipe="g.s"/>')
    saved = home.directory / "saved.xml"
    code, told, err = home.told("--save", str(saved))
    assert code == 0, err
    assert told is not None
    assert [each["attributes"] for each in told["memory"]] == [{"v": "1", name: "q"}] * 2
    assert home.command("run", "--home", str(home.directory))[0] == 0
    saved.replace(home.directory / "data" / "memory.xml")
    code, again, err = home.told()
    assert code == 0, err
    assert again is not None
    assert again["memory"] == told["memory"]


UP = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><prototype>'
    '<input id="i"><match>{wants}</match></input><output id="o"><match>elmt.type == "y"{more}</match></output>'
    '</prototype><xsl:template match="/"><y v="{{//input/*/@{attribute}}}"/></xsl:template></xsl:stylesheet>'
)


def up(wants: str = 'elmt.type == "x"', more: str = "", attribute: str = "v", name: str = "T.up") -> dict[str, str]:
    return {f"transforms/{name}.xsl": UP.format(wants=wants, more=more, attribute=attribute)}


CLASS = (
    "from narval_engine import Element\nclass Q{0}(Element, type='q{0}'):\n    def __init__(self, a):\n        {1}\n"
)
BOXES = [
    box(
        "a transformation of an error whose type is no name in XML",
        step("a", "M.x"),
        step("t", "T.up"),
        step("b", "M.noop"),
        link("1", "a", "b"),
        link("2", "!a", "t"),
        link("3", "t", "b"),
        files=up("isinstance(elmt, ErrorElement)", attribute="input"),
        left="y:i",
        steps="a=failed t=history b=done",
    ),
    box(
        "a transformation of what XML cannot hold",
        step("a", "O.odd"),
        step("t", "T.up"),
        link("1", "a", "t"),
        modules={
            "O": module(
                "def odd(inputs):\n    return {'o': Element('x', v='a\\x01b', **{'my attribute': 1})}",
                '<action name="odd" func="odd"><output id="o"><match>elmt.type == "x"</match></output></action>',
            )
        },
        files=up(),
        left="x:a\x01b y:a?b",
    ),
    box(
        "an output of a transformation that an input decides",
        step("t", "T.up"),
        given='<x v="1"/>',
        files=up(more=" and elmt.v == i.v"),
        left="x:1 y:1",
    ),
    box(
        "a transformation called as an action",
        step("a", "M.noop"),
        files=up(name="M.noop"),
        code=2,
        says="M.noop.*twice",
    ),
    box(
        "an element that its class refuses in its own way",
        step("a", "M.noop"),
        modules={"C": CLASS.format("refused", "raise RuntimeError('ouch')")},
        memory=('<qrefused a="1"/>',),
        code=2,
        says=r"memory\.xml:2.*RuntimeError: ouch",
    ),
    box(
        "a text in a start-plan",
        step("a", "M.noop"),
        memory=('<start-plan recipe="g.r">hello</start-plan>',),
        code=2,
        says=r"memory\.xml:2.*'hello'",
    ),
    box(
        "files of editors",
        step("a", "M.noop"),
        files={"recipes/.all.xml": "<bad", "modules/.M.py": "1/0"},
        plans="g.r done",
    ),
    box(
        "priorities that only differ in the last digit",
        *(step(name, "M.noop") for name in "abcd"),
        link("1", "a", "b", priority="9007199254740992"),
        link("2", "a", "c", priority="9007199254740993"),
        link("3", "b", "d"),
        link("4", "c", "d"),
        steps="a=history b=impossible c=history d=done",
    ),
    box("a long priority", step("a", "M.noop"), step("b", "M.noop"), link("1", "a", "b", priority="1" + "0" * 400)),
    box(
        "digits that are not ours",
        step("a", "M.noop"),
        step("b", "M.noop"),
        link("1", "a", "b", '<time seconds="\u0663"/>'),
        code=2,
        says="seconds takes",
    ),
    box(
        "an input called elmt",
        step("a", "O.two"),
        modules={
            "O": module(
                "def two(inputs):\n    pass",
                '<action name="two" func="two"><input id="elmt"><match>elmt.v == "1"</match></input>'
                '<input id="i"><match>elmt.v == "2"</match></input></action>',
            )
        },
        given='<x v="1"/><x v="2"/>',
        plans="g.r done",
    ),
    box(
        "an element that holds itself",
        step("a", "O.loop"),
        modules={
            "O": module(
                "class Raising:\n    def __str__(self):\n        raise RuntimeError\n\n"
                "def loop(inputs):\n    made = Element('x', v='1', long=10 ** 5000, odd=Raising())\n"
                "    made.me = [made]\n    return {'o': made}",
                '<action name="loop" func="loop"><output id="o"><match>True</match></output></action>',
            )
        },
        left="x:1",
    ),
    box(
        "a failure that was forgotten",
        step("a", "M.err"),
        attributes={"decay": "0"},
        code=1,
        plans="",
    ),
    box(
        "a plan that waits for the end of another one",
        seeing('elmt.type == "plan" and elmt.recipename == "g.c" and elmt.state == "done"').replace("M.x", "M.noop"),
        others=(recipe("c", step("s", "M.noop"), step("e", "M.noop"), link("t", "s", "e")),),
        then=('<start-plan recipe="g.c"/>',),
        plans="g.r done, g.c done",
    ),
    box(
        "a plan that waits for another one",
        seeing('elmt.type == "plan" and elmt.start_step == "s" and elmt.end_step == "e"').replace("M.x", "M.noop"),
        others=(recipe("c", step("s", "M.noop"), step("e", "M.noop"), link("t", "s", "e")),),
        then=('<start-plan recipe="g.c"/>',),
        plans="g.r done, g.c done",
    ),
]


@named(BOXES)
def test_box(case: Box, home: HomeOnDisk) -> None:
    check(case, home)


YAML = """
recipe:
  group: g
  name: r
  steps: {{no: {{target: M.noop}}, on: {{target: M.noop}}}}
  transitions: [{{in: "no", out: "on"{more}}}]
"""


@named(
    [
        Box(
            name="ids that YAML takes for truth values",
            files={"recipes/r.yml": YAML.format(more="")},
            memory=('<start-plan recipe="g.r"/>',),
            steps="no=history on=done",
        ),
        Box(
            name="half a priority",
            files={"recipes/r.yml": YAML.format(more=", priority: 1.5")},
            code=2,
            says=r"r\.yml:6.*whole number",
        ),
    ]
)
def test_yaml(case: Box, home: HomeOnDisk) -> None:
    check(case, home)
