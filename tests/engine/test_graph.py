"""``narval graph``: every notation, jobs' own keys, plans of a journal, and pictures in which nothing is hidden."""

from __future__ import annotations

import itertools
import re
import sqlite3
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narval_engine import Element, Engine, ErrorElement, Input, Recipe, Registry, Step, Transition, layout
from narval_engine.drawings import Drawing, as_text
from narval_engine.journal import SqliteJournal
from narval_engine.layout import WIDE
from narval_engine.svg import as_svg
from tests.engine.homes import HomeOnDisk

SVG = "{http://www.w3.org/2000/svg}"
MAPPING = """
recipe:
  group: job
  name: main
  steps:
    peons: {target: peon.list}
    run: {target: peon.pipelines, contexts: [setup, run]}
    end: {target: peon.destroy, contexts: [cleanup], foreach: peon}
  transitions:
    - {in: peons, out: run}
    - {in: run, out: end}
"""
AS_XML = """<cookbook><recipe group="job" name="main">
<step id="peons" type="action" target="peon.list"/>
<step id="run" type="action" target="peon.pipelines" contexts="setup run"/>
<step id="end" type="action" target="peon.destroy" contexts="cleanup" foreach="peon"/>
<transition id="transition 1"><in idref="peons"/><out idref="run"/></transition>
<transition id="transition 2"><in idref="run"/><out idref="end"/></transition>
</recipe></cookbook>"""
LIST = """
- variable: {name: SUITE, value: smoke}
- command: {filepath: /bin/true, contexts: [setup]}
  playbook: {filepath: $WORKSPACE/run.yml, contexts: [run, cleanup]}
---
- command: {filepath: last}
"""
#: As a picture of the recipe above in text.
TEXT = """job.main
  [ ] peons (peon.list)
        -> run  transition 1
  [ ] run (peon.pipelines)  contexts: setup run
        -> end  transition 2
  [ ] end (peon.destroy)  contexts: cleanup
"""


@pytest.mark.parametrize("text", [MAPPING, AS_XML, "\ufeff" + AS_XML])
def test_recipes_of_jobs_are_drawn_with_their_contexts(home: HomeOnDisk, text: str) -> None:
    file = home.directory / "job.xn"
    file.write_text(text)
    assert home.command("graph", str(file))[:2] == (0, TEXT)
    code, out, _ = home.command("graph", str(file), "--format", "svg")
    texts = [node.text for node in ET.fromstring(out).iter(f"{SVG}text")]
    assert code == 0
    assert {"contexts: setup run", "for each peon, contexts: cleanup"} <= set(texts)


def test_a_list_is_drawn_as_a_line(home: HomeOnDisk) -> None:
    file = home.directory / "job.xn"
    file.write_text(LIST)
    code, out, _ = home.command("graph", str(file))
    assert code == 0
    assert [line.strip() for line in out.splitlines() if "[ ]" in line] == [
        "[ ] 01-variable (SUITE)",
        "[ ] 02-command (true)  contexts: setup",
        "[ ] 03-playbook (run.yml)  contexts: run cleanup",
        "[ ] 04-command (last)",
    ]
    assert out.count("->") == 3


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "job.xn:1: is empty"),
        ("- 5\n", "job.xn:1: an item is a mapping"),
        ("- command: x\n", "job.xn:1: the item 'command' is a mapping"),
        ("just words\n", "job.xn:1: a file without recipes is a list"),
        ("recipe: {group: g, name: n, steps: {a: {target: x.y, contxts: [run]}}}\n", "job.xn:1: unknown key 'contxts'"),
        ("- a: [\n", "job.xn:2: is no YAML"),
        ("<recipe", "job.xn:1: is not well-formed XML"),
        ("<memory/>", "job.xn:1: <memory> is no recipe"),
    ],
)
def test_what_can_not_be_drawn_says_why(home: HomeOnDisk, text: str, mistake: str) -> None:
    file = home.directory / "job.xn"
    file.write_text(text)
    code, _, err = home.command("graph", str(file))
    assert code == 2
    assert mistake in err
    assert "Traceback" not in err


def test_a_home_refuses_the_keys_of_jobs(home: HomeOnDisk) -> None:
    home.recipes(AS_XML.removeprefix("<cookbook>").removesuffix("</cookbook>"))
    assert "unknown attribute 'contexts' of <step>" in home.refused()


def _registry() -> Registry:
    registry = Registry()
    registry.register("t.good", lambda _inputs: {}, inputs=(Input("peon", ("elmt.type == 'peon'",), optional=True),))
    registry.register("t.bad", lambda _inputs: {"error": ErrorElement("no", "kind")})
    return registry


PLAN = Recipe(
    "g",
    "plan",
    (Step("a", "t.good"), Step("b", "t.bad"), Step("c", "t.good"), Step("d", "t.good"), Step("e", "t.good")),
    (
        Transition("t1", ("a",), ("b",)),
        Transition("t2", ("b",), ("e",)),
        Transition("t3", (), ("c",), ("b",)),
        Transition("t4", ("c",), ("d",), conditions=()),
        Transition("t5", ("d",), ("e",)),
    ),
)


def test_plans_are_drawn_from_a_journal_alone_while_it_is_written(home: HomeOnDisk) -> None:
    file = home.directory / "private" / "job.sqlite"
    with Engine(_registry(), journal=SqliteJournal(file)) as engine:
        engine.add_recipe(PLAN)
        engine.start_plan("g.plan", [Element("peon", name="amber")])
        engine.run()
        for place in (file, home.directory):
            code, out, err = home.command("graph", str(place))
            assert code == 0, err
            assert "plan 1 g.plan of peon amber: done" in out
            assert "[!] b (t.bad)  error" in out
            assert "-> c  on error t3  (fired)" in out
        # The one of the kommandir is found below the workspace of the exekutir too.
        (home.directory / "kommandir_workspace").symlink_to(".")
        assert home.command("graph", str(home.directory), "--recipe", "g.plan")[0] == 0
    assert home.command("graph", str(home.directory / "modules"))[0] == 2


def test_a_journal_that_is_none_says_so(home: HomeOnDisk) -> None:
    file = home.directory / "j.sqlite"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    code, _, err = home.command("graph", str(file))
    assert code == 2
    assert str(file) in err
    assert "Traceback" not in err


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any steps and transitions, cycles and links to nothing among them."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 9)))]
    known = st.sampled_from([*names, "nowhere"])
    ways = st.lists(known, max_size=3, unique=True).map(tuple)
    transitions = [
        Transition(f"t{number}", draw(ways), draw(ways), draw(ways)) for number in range(draw(st.integers(0, 9)))
    ]
    return Recipe("g", "n", tuple(Step(name, "t.good") for name in names), tuple(transitions))


@given(recipes())
def test_in_every_picture_boxes_are_apart_and_links_lead_around_them(recipe: Recipe) -> None:
    found = layout.of(recipe)
    boxes = [node for row in found.rows for node in row if node.step]
    assert sorted(node.step for node in boxes) == sorted(step.id for step in recipe.steps)
    for row in found.rows:
        for left, right in itertools.pairwise(row):
            assert right.x - left.x >= (left.width + right.width) / 2
    cyclic = any(link.way[-1].row <= link.way[0].row for link in found.links)
    for link in found.links:
        # Each row that a link passes has a bend of its own, so no box lies in its way.
        if not cyclic:
            assert [node.row for node in link.way] == list(range(link.way[0].row, link.way[-1].row + 1))
        assert not any(node.step for node in link.way[1:-1])
    ET.fromstring(as_svg([Drawing.of_recipe(recipe)]))
    assert as_text(Drawing.of_recipe(recipe)).count("[ ]") == len(recipe.steps)


def test_texts_of_users_do_not_break_the_picture_and_long_ones_are_cut() -> None:
    step = Step('<a & "b">' + "x" * 90, "t.<good>")
    root = ET.fromstring(as_svg([Drawing.of_recipe(Recipe("g<", "n", (step,)))]))
    shown = [node.text or "" for node in root.iter(f"{SVG}text")]
    assert any(text.startswith("<a & ") and text.endswith("…") for text in shown)
    assert any(title.text and title.text.endswith(f"{'x' * 90}: t.<good>") for title in root.iter(f"{SVG}title"))


def test_many_plans_stand_beside_each_other_and_wrap() -> None:
    recipe = Recipe("g", "n", (Step("a", "t.good"),))
    out = as_svg([Drawing.of_recipe(recipe)] * 30)
    places = {tuple(map(int, match)) for match in re.findall(r"translate\((\d+) (\d+)\)", out)}
    assert len(places) == 30
    assert max(left for left, _ in places) + WIDE < 1500
