"""Manual I.1 and II.1.3 to II.3 as black boxes: modules, element classes, interfaces, adapters, memory, expressions."""

from __future__ import annotations

import pytest

from tests.engine.blackbox import Box, check, named
from tests.engine.homes import HomeOnDisk, link, recipe, step

ONE = step("a", "M.noop")


def asked(name: str, match: str, *memory: str, met: bool = True, apart: bool = False, **modules: str) -> Box:
    """A plan whose one transition asks for an element of memory: done if it is ``met``, else it waits."""
    parts = (ONE, step("b", "M.noop"), link("t", "a", "b", f"<condition><match>{match}</match></condition>"))
    return Box(
        name=name,
        recipes=(recipe("r", *parts),),
        memory=(*memory, '<start-plan recipe="g.r"/>'),
        modules=modules,
        code=0 if met else 3,
        apart=apart,
    )


MAIL = """
from narval_engine import Element, Interface, action, adapter, input, output

class IMail(Interface):
    subject = None

class INote(Interface):
    "text"

class ILoud(Interface):
    "loud"

class ILouder(ILoud):
    "louder"

class Mail(Element, type="mail"):
    implements = (IMail,)

class Letter(Element):
    type = "letter"
    __implements__ = IMail
    def __init__(self, subject, sender="me"):
        super().__init__(subject=subject, sender=sender)
    @property
    def short(self):
        return self.subject[:2]

class Airmail(Letter, type="airmail"):
    pass

@adapter(IMail, INote)
class Note:
    def __init__(self, mail):
        self.text = mail.subject

@adapter(INote, ILouder)
def louder(note):
    class Loud:
        loud = note.text.upper()
        louder = loud + "!"
    return Loud()

@adapter("odd", IMail)
def leave(odd):
    raise SystemExit(3)

adapter("call", IMail, lambda call: Mail(subject=call.about))
"""
LATE = "from narval_engine import Interface, adapter\nclass %s(Interface): 'z'\nadapter('k', %s, lambda k: k.v)"
ELEMENTS = [
    asked("an interface", "IMail(elmt).subject == 'hi'", '<mail subject="hi"/>', Mail=MAIL),
    asked("an interface of another", "IMail(elmt).subject == 'hi'", '<other subject="hi"/>', met=False, Mail=MAIL),
    asked("an interface alone", "IMail(elmt)", '<letter subject="hi"/>', Mail=MAIL),
    asked("isinstance of an interface", "isinstance(elmt, IMail)", '<letter subject="hi"/>', Mail=MAIL),
    asked("isinstance does not adapt", "isinstance(elmt, INote)", '<letter subject="hi"/>', met=False, Mail=MAIL),
    asked("isinstance of a class", "isinstance(elmt, Letter)", '<airmail subject="hi"/>', Mail=MAIL),
    asked("isinstance of two", "isinstance(elmt, (Mail, Letter))", '<airmail subject="hi"/>', Mail=MAIL),
    asked("a derived class has the interface", "IMail(elmt).sender == 'me'", '<airmail subject="hi"/>', Mail=MAIL),
    asked("a property", "elmt.short == 'hi'", '<letter subject="hill"/>', Mail=MAIL),
    asked("an adapter", "INote(elmt).text == 'hi'", '<mail subject="hi"/>', Mail=MAIL),
    asked("a chain of adapters", "ILouder(elmt).louder == 'HI!'", '<mail subject="hi"/>', Mail=MAIL),
    asked("a chain to a base interface", "ILoud(elmt).loud == 'HI'", '<mail subject="hi"/>', Mail=MAIL),
    asked("an adapter from a type", "ILoud(elmt).loud == 'HI'", '<call about="hi"/>', Mail=MAIL),
    asked("an adapter that raises", "ILoud(elmt).loud", "<call/>", met=False, Mail=MAIL),
    asked(
        "an attribute that is made when asked for",
        "elmt.v == '7'",
        *(f'<x v="{at}"/>' for at in range(6)),
        "<made/>",
        Made="from narval_engine import Element\nclass Made(Element, type='made'):\n def __getattr__(self, name):\n"
        "  return '7' if name == 'v' else super().__getattr__(name)",
    ),
    asked("an adapter that leaves", "IMail(elmt).subject", "<odd/>", met=False, Mail=MAIL),
    asked("nothing adapts", "ILoud(elmt).loud", "<other/>", met=False, Mail=MAIL),
    asked(
        "a method of an element",
        "elmt.twice() == 'hihi'",
        '<k v="hi"/>',
        K="from narval_engine import Element\nclass K(Element, type='k'):\n def twice(self):\n  return self.v + self.v",
    ),
    asked(
        "a class whose type is its name",
        "elmt.type == 'Note'",
        "<Note/>",
        K="from narval_engine import Element\nclass Note(Element):\n pass",
    ),
    asked(
        "a module that comes later has the interface",
        "IZed(elmt)",
        '<mail subject="hi"/>',
        apart=True,
        Mail=MAIL,
        Zed="from narval_engine import Interface, adapter\nfrom Mail import IMail\nclass IZed(Interface):\n 'z'\n"
        "adapter(IMail, IZed, lambda mail: mail.subject + 'z')",
    ),
    asked(
        "a module that came before has the interface",
        "IMail(elmt).subject == 'HI'",
        "<k v='hi'/>",
        apart=True,
        Mail=MAIL,
        A="from narval_engine import adapter\nfrom Mail import IMail, Mail\n"
        "adapter('k', IMail, lambda k: Mail(subject=k.v.upper()))",
    ),
    Box(
        name="an action that names what a later module has",
        recipes=(recipe("r", step("a", "A.read")),),
        memory=('<k v="hi"/>', '<start-plan recipe="g.r"/>'),
        plans="g.r done",
        modules={
            "B": LATE % ("ILate", "ILate"),
            "A": 'MOD_XML = \'<module><action name="read" func="f"><input id="i"><match>ILate(elmt)</match></input>'
            "</action></module>'\ndef f(inputs): pass",
        },
    ),
    Box(
        name="a decorated action that names what a later module has",
        recipes=(recipe("r", step("a", "A.read")),),
        memory=('<k v="hi"/>', '<start-plan recipe="g.r"/>'),
        plans="g.r done",
        modules={
            "B": LATE % ("ILast", "ILast"),
            "A": "from narval_engine import action, input\n@input('i', 'ILast(elmt)')\n@action\ndef read(i): pass",
        },
    ),
    Box(
        name="a class that refuses what a file says",
        memory=('<letter subjekt="x"/>',),
        modules={"Mail": MAIL},
        code=2,
        says="letter.*subjekt",
    ),
    Box(
        name="a class that takes its text and attributes as text",
        recipes=(recipe("r", step("a", "M.noop")),),
        memory=('<n a="1">2</n>',),
        plans="",
        modules={
            "N": "from narval_engine import Element\n"
            "class N(Element, type='n'):\n def __init__(self, a, text):\n  super().__init__('n', v=a + text)"
        },
        left="n:12",
    ),
]
MODULES = [
    Box(
        name="decorators in any order",
        modules={
            "D": """
from narval_engine import Element, action, input, output
@action
@output("o", type="y", list=True)
@input("i", type="x", use=True)
def one(inputs):
    return {"o": [Element("y", v=inputs["i"].v)]}

@action("other.two", description="two", inputs=[input("i", "elmt.type == 'y'")], outputs=[output("o", type="z")])
async def two(inputs):
    return {"o": Element("z", v=inputs["i"].v)}
"""
        },
        recipes=(recipe("r", step("a", "D.one"), step("b", "other.two"), link("t", "a", "b")),),
        memory=('<start-plan recipe="g.r"><x v="1"/></start-plan>',),
        left="x:1 y:1 z:1",
    ),
    Box(
        name="the same action twice",
        modules={
            "D": "MOD_XML = '''<module>\n<action name='a' func='f'/>\n"
            "<action name='a' func='f'/></module>'''\ndef f(inputs): pass"
        },
        code=2,
        says="D.py:3: .*'D.a'.*twice",
    ),
    Box(
        name="the same action in two ways",
        modules={
            "D": "from narval_engine import action\n"
            'MOD_XML = \'<module><action name="a" func="a"/></module>\'\n@action\ndef a(inputs): pass'
        },
        code=2,
        says="'D.a'.*twice",
    ),
    Box(
        name="the group of a module is its file's",
        modules={"D": 'MOD_XML = \'<module><action name="a" group="E" func="f"/></module>\'\ndef f(inputs): pass'},
        code=2,
        says="'D'",
    ),
    Box(
        name="a description in two languages",
        modules={
            "D": 'MOD_XML = \'\'\'<?xml version="1.0" encoding="utf-8"?>'
            "<module version='1'><action name='a' group='D' eid='9' func='f'><description lang='en'>does</description>"
            "<description lang='de'>ä</description></action></module>'''\ndef f(inputs): pass"
        },
        recipes=(recipe("r", step("a", "D.a")),),
        memory=('<start-plan recipe="g.r"/>',),
        plans="g.r done",
    ),
    Box(
        name="a description without a language",
        modules={
            "D": 'MOD_XML = \'<module><action name="a" func="f">'
            "<description>x</description></action></module>'\ndef f(inputs): pass"
        },
        code=2,
        says="'lang'",
    ),
    Box(
        name="a module that imports what is not there",
        modules={"D": "import nothing_of_this_name"},
        code=2,
        says="D.py:1: .*ModuleNotFoundError",
    ),
    Box(
        name="an expression of a prototype that is none",
        modules={
            "D": "MOD_XML = '''<module>\n<action name='a' "
            "func='f'>\n<input id='i'><match>elmt.</match></input></action></module>'''\ndef f(inputs): pass"
        },
        code=2,
        says="D.py:3: ",
    ),
    Box(
        name="two inputs of one id",
        modules={
            "D": "MOD_XML = '''<module><action name='a' func='f'>"
            "<input id='i'><match>1</match></input><input id='i'><match>1</match></input></action></module>'''\n"
            "def f(inputs): pass"
        },
        code=2,
        says="'i' is there twice",
    ),
    Box(
        name="a decorator that is told nonsense",
        modules={"D": "from narval_engine import input\n\ninput('i', 'x', use='maybe')"},
        code=2,
        says="D.py:3: .*'yes' or 'no'",
    ),
    Box(
        name="a decorated input without a match",
        modules={"D": "from narval_engine import action, input\n@action\n@input('i')\ndef a(inputs): pass"},
        code=2,
        says="D.py:.*no match for i",
    ),
    Box(
        name="an action that stops its thread",
        recipes=(recipe("r", step("a", "D.a")),),
        modules={
            "D": 'MOD_XML = \'<module><action name="a" func="f"/></module>\'\ndef f(inputs): raise KeyboardInterrupt'
        },
        code=1,
        memory=('<start-plan recipe="g.r"/>',),
        errors="a KeyboardInterrupt",
    ),
    Box(
        name="an action that raises what is no exception",
        recipes=(recipe("r", step("a", "D.a")),),
        modules={
            "D": 'class Odd(BaseException): pass\nMOD_XML = \'<module><action name="a" func="f"/><action name="b" '
            'func="f" inline="yes"/></module>\'\ndef f(inputs): raise Odd(\'odd\')'
        },
        code=1,
        memory=('<start-plan recipe="g.r"/>',),
        errors="a Odd",
    ),
    Box(
        name="an inline action that raises what is no exception",
        recipes=(recipe("r", step("a", "D.b")),),
        modules={
            "D": 'class Odd(BaseException): pass\nMOD_XML = \'<module><action name="b" func="f" inline="yes"/>'
            "</module>'\ndef f(inputs): raise Odd('odd')"
        },
        code=1,
        memory=('<start-plan recipe="g.r"/>',),
        errors="a Odd",
    ),
    Box(
        name="an action that exits",
        recipes=(recipe("r", step("a", "D.a")),),
        modules={
            "D": 'import sys\nMOD_XML = \'<module><action name="a" func="f"/></module>\'\ndef f(inputs): sys.exit(3)'
        },
        code=1,
        memory=('<start-plan recipe="g.r"/>',),
        errors="a SystemExit",
    ),
    Box(
        name="an action that runs out of memory",
        recipes=(recipe("r", step("a", "D.a"), ONE.replace('"a"', '"b"'), link("t", "!a", "b")),),
        modules={"D": 'MOD_XML = \'<module><action name="a" func="f"/></module>\'\ndef f(inputs): raise MemoryError'},
        code=1,
        memory=('<start-plan recipe="g.r"/>',),
        steps="a=killed b=impossible",
    ),
    Box(
        name="an action that changes what it was given",
        modules={
            "D": "MOD_XML = '''<module><action name='a' func='f'>"
            "<input id='i' list='yes'><match>elmt.type == \"x\"</match></input></action></module>'''\n"
            "def f(inputs):\n    inputs['i'][0].v = '2'\n    inputs['i'].clear()\n    inputs.clear()"
        },
        recipes=(
            recipe(
                "r",
                step("a", "D.a"),
                step("b", "M.x"),
                link("t", "a", "b", "<condition><match>elmt.v == '2'</match></condition>"),
            ),
        ),
        memory=('<x v="1"/>', '<start-plan recipe="g.r"/>'),
        plans="g.r done",
    ),
    Box(
        name="an action that adds to what an element holds",
        modules={
            "D": "from narval_engine import Element\n"
            "MOD_XML = '''<module><action name='a' func='f'><output id='o'><match>1</match></output></action>"
            "<action name='b' func='g'><input id='i'><match>elmt.type == \"y\"</match></input></action></module>'''\n"
            "def f(inputs): return {'o': Element('y', held=[], deep={'k': []})}\n"
            "def g(inputs): inputs['i'].held.append(1); inputs['i'].deep['k'].append(2)"
        },
        recipes=(
            recipe("r", step("a", "D.a"), step("b", "D.b"), link("t", "a", "b")),
            recipe(
                "w",
                ONE,
                ONE.replace('"a"', '"b"'),
                link("t", "a", "b", "<condition><match>elmt.deep['k'] == [2]</match></condition>"),
            ),
        ),
        memory=('<start-plan recipe="g.w"/>', '<start-plan recipe="g.r"/>'),
        plans="g.w done, g.r done",
    ),
]
MEMORIES = [
    Box(
        name="numbers that are given keep",
        memory=('<x v="1"/>', '<x v="2" eid="1"/>', '<x v="3" eid="7"/>', "<x/>"),
        left="x:1 x:2 x:3 x:",
    ),
    Box(name="nothing", plans="", left=""),
    Box(name="recipes in memory", memory=(recipe("r", ONE), '<start-plan recipe="g.r"/>'), plans="g.r done"),
    Box(name="prefixes and comments", memory=('<!-- no --><n:x xmlns:n="urn:n" v="1"/><?no no?>',), left="x:1"),
    Box(name="an attribute named as a field", memory=('<x type="t" outdated="yes" used_by="u" v="1"/>',), left="x:1"),
    Box(
        name="an unknown start plan", memory=('<start-plan recipe="g.no"/>',), plans="", left="", says="unknown recipe"
    ),
    Box(
        name="many start plans",
        recipes=(recipe("r", step("a", "M.x_use")),),
        memory=('<start-plan recipe="g.r"/>', '<x v="1"/>', '<start-plan recipe="g.r"/>', '<x v="2"/>'),
        plans="g.r done, g.r done",
        calls="a(i=x:1) a(i=x:2)",
    ),
    Box(name="a start plan below another element", memory=('<y><start-plan recipe="g.no"/></y>',), plans=""),
    Box(
        name="a computed argument",
        recipes=(recipe("r", step("a", "M.x_list")),),
        memory=("<start-plan recipe=\"g.r\"><eval>Element('x', v=1 + 1)</eval></start-plan>",),
        calls="a(i=[x:2])",
    ),
    Box(
        name="a computed argument that raises",
        recipes=(recipe("r", step("a", "M.noop")),),
        code=1,
        calls="",
        memory=('<start-plan recipe="g.r"><eval>1/0</eval></start-plan>',),
        errors="None ZeroDivisionError",
    ),
    Box(
        name="a computed argument that is none",
        recipes=(recipe("r", step("a", "M.noop", "<arguments>\n<eval>1 +</eval></arguments>")),),
        code=2,
        says="all.xml:3: ",
    ),
    Box(
        name="plans as elements",
        recipes=(
            recipe(
                "r",
                ONE,
                ONE.replace('"a"', '"b"'),
                link(
                    "t",
                    "a",
                    "b",
                    "<condition><match>elmt.type == 'plan' and elmt.recipename == 'g.q'</match>"
                    "<match>elmt.state == 'done'</match></condition>",
                ),
            ),
            recipe("q", ONE),
        ),
        memory=('<start-plan recipe="g.q"/>', '<start-plan recipe="g.r"/>'),
        plans="g.q done, g.r done",
    ),
    Box(
        name="recipes as elements",
        recipes=(
            recipe(
                "r",
                ONE,
                ONE.replace('"a"', '"b"'),
                link("t", "a", "b", "<condition><match>elmt.type == 'recipe' and elmt.name == 'r'</match></condition>"),
            ),
        ),
        memory=('<start-plan recipe="g.r"/>',),
        plans="g.r done",
    ),
]

PLAN = '<plan recipename="g.r" start_step="a" end_step="b" %s><step id="a"/><elements/></plan>'
CHAIN = (recipe("r", ONE, step("b", "M.noop"), link("t", "a", "b")),)
PLANS = [
    Box(name="a plan that is ready", recipes=CHAIN, memory=(PLAN % 'state="ready" eid="7"', "<x/>"), plans="g.r done"),
    Box(name="a plan that says nothing", recipes=CHAIN, memory=(PLAN % "",), calls="a() b()"),
    Box(name="a plan that is done", recipes=CHAIN, memory=(PLAN % 'state="done" eid="7"',), calls=""),
    Box(name="a plan in no state", recipes=CHAIN, memory=(PLAN % 'state="odd"',), code=2, says="ready, running, fa"),
    Box(name="a plan of no recipe", memory=(PLAN % "",), code=2, says="no recipe 'g.r'"),
    Box(
        name="a plan with the number of an element",
        recipes=CHAIN,
        memory=(PLAN % 'eid="7"', '<x eid="7"/>'),
        code=2,
        says="eid 7",
    ),
]


@named([*ELEMENTS, *MODULES, *MEMORIES, *PLANS])
def test_homes(case: Box, home: HomeOnDisk) -> None:
    check(case, home)


def test_recipes_of_narval_share(home: HomeOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    share = home.directory / "share"
    (share / "recipes").mkdir(parents=True)
    (share / "recipes" / "s.xml").write_text(recipe("s", ONE))
    monkeypatch.setenv("NARVAL_SHARE", str(share))
    monkeypatch.setenv("NARVAL_HOME", str(home.directory))
    code, out, err = home.command("run", "--recipe", "g.s")
    assert code == 0, err
    assert "g.s: done" in out


def test_transformations_stand_where_modules_or_recipes_do(home: HomeOnDisk) -> None:
    for folder in ("transforms", "recipes"):
        (home.directory / folder).mkdir(exist_ok=True)
        (home.directory / folder / f"{folder}.make.xsl").write_text(
            '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">\n'
            '<prototype><output id="o"><match>elmt.type == "x"</match></output></prototype>\n'
            f'<xsl:template match="/"><x v="{folder}"/></xsl:template></xsl:stylesheet>'
        )
    home.recipes(recipe("r", step("a", "transforms.make"), step("b", "recipes.make"), link("t", "a", "b")))
    code, told, err = home.told("--recipe", "g.r")
    assert code == 0, err
    assert told is not None
    assert [each["attributes"]["v"] for each in told["memory"]] == ["transforms", "recipes"]


def test_numbers_of_arguments_are_not_those_of_memory(home: HomeOnDisk) -> None:
    home.recipes(recipe("r", step("a", "M.x", '<arguments><x eid="1" v="arg"/></arguments>')))
    home.memory('<x eid="1" v="mem"/>', *['<start-plan recipe="g.r"><x eid="1" v="plan"/></start-plan>'] * 2)
    code, told, err = home.told()
    assert code == 0, err
    assert told is not None
    assert sorted(each["attributes"]["v"] for each in told["memory"]) == ["arg", "arg", "mem", "plan", "plan"]
