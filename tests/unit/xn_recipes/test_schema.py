"""The mapping form is checked whole: ours and the engine's mistakes at once, with file and line; nothing crashes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exekutir.variables import validation
from kommandir import content, xn
from kommandir.recipes.schema import OPERATIONS, reference

HEAD = "recipe:\n  group: g\n  name: n\n  steps:\n"


def mistakes(text: str) -> list[str]:
    return [str(mistake).removeprefix("standard input:") for mistake in xn.check(None, text)]


def test_all_mistakes_are_named_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "job.xn"
    file.write_text(
        "recipe:\n"
        "  group: g\n"
        "  name: n\n"
        "  steps:\n"
        "    one: {target: command.ran, arguments: []}\n"
        "    two: {target: command.run, contexts: run, arguments: [{command: {filepth: x}}]}\n"
        "    three: {target: ansible.playbook, argumets: []}\n"
        "    four: {target: peon.playbook, arguments: [{playbok: {filepath: x}}]}\n"
        "  transitions:\n"
        "    - {in: one, out: tow}\n"
        "    - {in: two, out: three, when: 'elmt.type =='}\n"
        "    - {in: three, out: four}\n"
    )
    found = [str(mistake).removeprefix(f"{file}:") for mistake in xn.check(file, None)]
    wanted = [
        "6: `contexts` must be a list, found a text",
        "6: `command` lacks `filepath`",
        "6: unknown key `filepth`, did you mean `filepath`?",
        "7: unknown key 'argumets' of a step",
        "8: unknown argument `playbok` of `peon.playbook`, did you mean `playbook`?",
    ]
    assert all(any(line.startswith(text) for line in found) for text in wanted), found
    assert [int(line.split(":")[0]) for line in found] == sorted(int(line.split(":")[0]) for line in found)


EMPTY = "    a: {target: job.nothing}\n"
PAIR = EMPTY + "    b: {target: job.nothing}\n"
RUN = "    a: {target: command.run, arguments: [{command: {filepath: x, %s}}]}\n"


@pytest.mark.parametrize(
    ("steps", "mistake"),
    [
        ("    a: {target: comand.run}\n", "5: step 'a': there is no action 'comand.run' (did you mean"),
        ("    a: {target: job.nothing, type: recipe}\n", "5: step 'a': there is no recipe 'job.nothing'"),
        (
            PAIR + "  transitions: [{in: a, out: c}, {in: a, out: b}]\n",
            "7: transition 'transition 1': out names the unknown step 'c'",
        ),
        (PAIR + "  transitions: [{in: a, out: b}, {in: b, out: a}]\n", "2: g.n: initial step is missing"),
        ("    a: {target: peon.playbook, arguments: [{playbook: {limit: x, filepath: y}}]}\n", "5: unknown key"),
        ("    a: {target: peon.destroy, foreach: pean}\n", "5: step 'a': foreach names 'pean'"),
        ("    a: {target: peon.destroy, arguments: [{command: {filepath: x}}]}\n", "5: unknown argument"),
        ("    a: {target: job.nothing, memory: 5}\n", "5: `memory` can't limit a step of a job"),
        (RUN % "contexts: [run]", "5: `contexts` stands in an argument"),
        (RUN % 'arguments: "\'"', "5: `arguments`: the quote"),
        ("    a: {target: job.nothing, contexts: [a b]}\n", "5: `a b` is no context"),
        ("    a: {target: peon.pipelines, arguments: [{pipeline: {recipe: g.m}}]}\n", "5: there is no recipe `g.m`"),
        (EMPTY + "bla: 1\n", "6: unknown key 'bla' of a recipe file"),
        (EMPTY + "---\n- command: {filepath: x}\n", "7: a second document starts here"),
        ("    a: {target: job.nothing, deadline: 0}\n", "5: step 'a': attempts are 1 or more"),
        (
            EMPTY + "recipes:\n- {group: g, name: n, steps: {a: {target: job.nothing}}}\n",
            "2: there are two recipes `g.n`",
        ),
    ],
)
def test_each_mistake_in_a_recipe_says_where_and_what(steps: str, mistake: str) -> None:
    test_each_mistake_says_where_and_what(HEAD + steps, mistake)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("recipe: {name: n, steps: {a: {target: job.nothing}}}\n", "1: a recipe needs the key 'group'"),
        ("recipe: 5\n", "1: a recipe is a mapping"),
        ("steps: {a: {target: job.nothing}}\n", "1: `steps` stands outside of a recipe"),
        ("recipes: []\n", "1: there is no recipe"),
    ],
)
def test_each_mistake_says_where_and_what(text: str, mistake: str) -> None:
    found = mistakes(text)
    assert any(line.startswith(mistake) for line in found), found


def test_the_bundled_recipe_is_good_and_validate_looks_into_recipes(tmp_path: Path) -> None:
    assert xn.check(content.jobs() / "pipeline" / "job.xn", None) == []
    (tmp_path / "job.xn").write_text(HEAD + "    a: {target: peon.playbok, arguments: []}\n")
    found = [str(mistake) for mistake in validation.validate(tmp_path, workspace=None, extra={})]
    assert len(found) == 1
    assert "job.xn:5: step 'a': there is no action 'peon.playbok' (did you mean 'peon.playbook'" in found[0]
    (tmp_path / "job.xn").write_text(
        HEAD + "    a: {target: peon.playbook, arguments: [{playbook: {filepath: no.yml}}]}\n"
    )
    found = [str(mistake) for mistake in validation.validate(tmp_path, workspace=None, extra={})]
    assert "job.xn:5: there is no playbook no.yml" in found[0]


def test_everything_that_the_notation_allows_is_good() -> None:
    text = """
recipe:
  group: g
  name: n
  restart: false
  decay: 10
  start_step: a
  end_step: c
  steps:
    - {id: a, target: command.run, attempts: 2, backoff: 0.5, deadline: 9, arguments: [{command: {filepath: x}}]}
    - id: b
      target: peon.playbook
      foreach: peon
      contexts: [run, cleanup]
      inputs: {peon: {match: [elmt.type == "peon", "'slow' in elmt.groups"], use: true}}
      arguments: [{playbook: {filepath: x.yml}}]
    - {id: c, target: g.m, type: recipe}
  transitions:
    t: {in: a, out: [b], when: {match: elmt.type == "stage", from_context: memory}, priority: 2}
    u: {in: [b], out: c, time: {minutes: "0,30"}}
    v: {in: {error: a}, out: c}
recipes:
  - {group: g, name: m, steps: {only: {target: job.nothing}}}
"""
    assert mistakes(text) == []


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "command.run", "peon", "run", "elmt.x", ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["recipe", "recipes", "group", "name", "steps", "transitions", "in", "out", "error", "when",
                         "target", "type", "arguments", "contexts", "command", "filepath", "foreach", "inputs", "match",
                         "time", "id", "eval", "a", "deadline", "attempts"]),
        inner, max_size=5),
    max_leaves=40,
))  # fmt: skip
def test_nothing_that_a_user_writes_crashes_it(value: object) -> None:
    xn.check(None, yaml.safe_dump({"recipe": value}))
    xn.check(None, yaml.safe_dump({"recipes": value}))


def test_the_reference_page_has_the_tables_of_the_schema(checkout: Path) -> None:
    page = (checkout / "docs" / "reference" / "xn-recipes.md").read_text()
    start, end = "<!-- made from kommandir/recipes/schema.py; a test compares it -->\n\n", "\n<!-- end -->"
    assert page[page.index(start) + len(start) : page.index(end)].strip() == reference().strip()
    assert len(OPERATIONS) == reference().count("\n### ") + 1
