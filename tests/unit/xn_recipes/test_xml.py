"""Recipes in the manual's XML: the same checks, actions and contexts as the mapping form, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exekutir.variables import validation
from kommandir import content, xn
from kommandir.errors import ExitCode
from kommandir.xn.reading import read
from narval_engine import recipewriting
from tests.unit.xn_recipes.conftest import Runs

JOB = """<?xml version="1.0"?>
<!-- A prefix, or none. -->
<al:cookbook xmlns:al="http://logilab.org/namespaces/Narval/1.2">
  <al:recipe group="job" name="main">
    <al:step id="say" type="action" target="variable.set">
      <al:arguments><variable name="WORD" value="hello"/></al:arguments>
    </al:step>
    <al:step id="write" type="action" target="command.run" contexts="setup run">
      <al:arguments><command filepath="/bin/sh" arguments="-c 'echo $WORD &gt;&gt; said'"/></al:arguments>
    </al:step>
    <al:step id="call" type="recipe" target="job.other" contexts="run"/>
    <al:transition id="t1"><al:in idref="say"/><al:out idref="write"/></al:transition>
    <al:transition id="t2"><al:in idref="write"/><al:out idref="call"/></al:transition>
  </al:recipe>
  <al:recipe group="job" name="other" end_step="end">
    <al:step id="no" type="action" target="command.run">
      <al:arguments><command filepath="/bin/false"/></al:arguments>
    </al:step>
    <al:step id="fail" type="action" target="job.fail"/>
    <al:step id="end" type="action" target="job.nothing"/>
    <al:transition id="good"><al:in idref="no"/><al:out idref="end"/></al:transition>
    <al:transition id="bad">
      <al:in idref="no" on_error="yes"/><al:out idref="fail"/>
      <al:condition><al:match>elmt.type == "tests_failed"</al:match></al:condition>
    </al:transition>
    <al:transition id="last"><al:in idref="fail"/><al:out idref="end"/></al:transition>
  </al:recipe>
</al:cookbook>
"""


def test_it_runs_as_the_mapping_form_does_and_contexts_filter_its_steps(runs: Runs) -> None:
    assert runs(JOB, context="setup").outcome == ExitCode.GOOD
    assert runs.ended() == [("say", "ok"), ("write", "ok")]
    assert runs(JOB, context="cleanup").outcome == ExitCode.GOOD
    assert runs.ended() == [("say", "ok")]
    result = runs(JOB, context="run")
    assert (result.exit_code, result.outcome) == (1, ExitCode.TESTS_FAILED)
    assert runs.ended()[:3] == [("say", "ok"), ("write", "ok"), ("no", "swallowed")]
    assert (runs.workspace / "said").read_text() == "hello\nhello\n"


def test_a_preview_names_the_steps_of_a_context_and_their_lines(runs: Runs) -> None:
    runs(JOB, context="setup", check=True)
    told = [line.split(" ", 1)[1] for line in runs.lines()]
    assert "variable.set: WORD (standard input:6)" in told
    assert "command.run: sh (standard input:9)" in told
    assert not (runs.workspace / "said").exists()


HEAD = '<recipe group="g" name="n">\n'
STEP = '<step id="a" type="action" target="{}" {}><arguments>{}</arguments></step>\n'


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("<recipe group='g'", "1: is not well-formed XML"),
        ("<!DOCTYPE x [<!ENTITY e 'x'>]><recipe>&e;</recipe>", "1: cannot be read as XML: entities"),
        ("<memory/>", "1: <memory> is no recipe"),
        ('<recipe group="g">\n<step id="a" type="action" target="job.nothing"/></recipe>', "1: <recipe> needs the"),
        (HEAD + STEP.format("comand.run", "", "") + "</recipe>", "2: step 'a': there is no action 'comand.run' (did"),
        (HEAD + STEP.format("job.nothing", 'contxts="run"', "") + "</recipe>", "2: unknown attribute 'contxts' of"),
        (HEAD + STEP.format("job.nothing", 'contexts="a,b"', "") + "</recipe>", "2: `a,b` is no context"),
        (HEAD + STEP.format("job.nothing", 'memory="5"', "") + "</recipe>", "2: `memory` can't limit a step of a job"),
        (HEAD + STEP.format("command.run", "", "\n<command filepth='x'/>") + "</recipe>", "3: `command` lacks"),
        (HEAD + STEP.format("command.run", "", "\n<command filepth='x'/>") + "</recipe>", "3: unknown key `filepth`"),
        (HEAD + STEP.format("command.run", "", "<command filepath='x'>y</command>") + "</recipe>", "2: unknown key"),
        (HEAD + STEP.format("command.run", "", "<comand filepath='x'/>") + "</recipe>", "2: unknown argument `comand`"),
        (HEAD + STEP.format("peon.pipelines", "", "\n<pipeline recipe='g.m'/>") + "</recipe>", "3: there is no recipe"),
        (HEAD + STEP.format("job.nothing", "", "") + '<transition id="t"><in idref="b"/></transition></recipe>', "3: "),
    ],
)
def test_each_mistake_says_where_and_what(text: str, mistake: str, tmp_path: Path) -> None:
    found = [str(each).removeprefix("standard input:") for each in xn.check(None, text)]
    assert any(line.startswith(mistake) for line in found), found
    (tmp_path / "job.xn").write_text(text)
    told = [str(each).removeprefix(f"{tmp_path / 'job.xn'}:") for each in xn.check(tmp_path / "job.xn", None)]
    assert told == found


def test_validate_looks_for_the_playbooks_that_it_names(tmp_path: Path) -> None:
    step = STEP.format("ansible.playbook", 'contexts="run"', "\n<playbook filepath='runn.yml'/>")
    (tmp_path / "job.xn").write_text(HEAD + step + "</recipe>")
    found = [str(mistake) for mistake in validation.validate(tmp_path, workspace=None, extra={})]
    assert len(found) == 1
    assert "job.xn:3: there is no playbook runn.yml, did you mean `run.yml`?" in found[0]


def test_the_encoding_that_it_declares_holds(tmp_path: Path) -> None:
    file = tmp_path / "job.xn"
    step = STEP.format("variable.set", "", "<variable name='WHO' value='Jos\u00e9'/>")
    for encoding in ("iso-8859-1", "utf-16", "utf-8-sig"):
        declared = encoding.removesuffix("-sig")
        file.write_bytes(f'<?xml version="1.0" encoding="{declared}"?>{HEAD}{step}</recipe>'.encode(encoding))
        reading = read(file, None)
        assert reading.mistakes == ()
        assert reading.items[0].keys["value"] == "Jos\u00e9"


def test_the_bundled_pipeline_says_the_same_in_xml() -> None:
    of_yaml = read(content.jobs() / "pipeline" / "job.xn", None).recipes
    assert of_yaml is not None
    text = "\n".join(recipewriting.written(recipe) for recipe in of_yaml.recipes)
    for name, contexts in of_yaml.contexts.items():
        text = text.replace(f'<step id="{name[1]}"', f'<step id="{name[1]}" contexts="{" ".join(contexts)}"', 1)
    for line in {line for line in text.splitlines() if " place=" in line}:
        text = text.replace(line, line.partition(" place=")[0] + "/>")
    of_xml = read(None, f"<cookbook>{text}</cookbook>")
    assert of_xml.mistakes == ()
    assert of_xml.recipes is not None
    assert of_xml.recipes.contexts == of_yaml.contexts
    assert [(item.operation, dict(item.keys)) for item in of_xml.recipes.items] == [
        (item.operation, dict(item.keys)) for item in of_yaml.items
    ]


TAGS = ["recipe", "cookbook", "step", "arguments", "transition", "command", "in", "out", "input", "eval", "match"]
NAMES = ["id", "type", "target", "group", "name", "contexts", "filepath", "idref", "foreach", "eid", "memory"]


@given(st.recursive(
    st.sampled_from(["", "a", "command.run", "&lt;"]),
    lambda inner: st.builds(
        lambda tag, given, inside: (
            f"<{tag} " + " ".join(f"{name}='{value}'" for name, value in given.items()) + f">{''.join(inside)}</{tag}>"
        ),
        st.sampled_from(TAGS),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["a", "1", "action", "command.run", "run", ""])),
        st.lists(inner, max_size=3),
    ),
    max_leaves=25,
))  # fmt: skip
def test_nothing_that_a_user_writes_crashes_it(inside: str) -> None:
    xn.check(None, f"<recipe group='g' name='n'>{inside}</recipe>")
    xn.check(None, f"<cookbook>{inside}</cookbook>")


def test_the_example_of_the_reference_is_good(checkout: Path) -> None:
    page = (checkout / "docs" / "reference" / "xn-recipes.md").read_text()
    example = page[page.index("```xml\n") + 7 :].partition("```")[0]
    reading = read(None, example)
    assert reading.mistakes == ()
    assert [item.description for item in reading.items if item.is_for("setup")] == [
        "peon.list",
        "peon.create",
        "peon.playbook run.yml",
    ]
