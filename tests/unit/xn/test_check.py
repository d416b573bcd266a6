"""A ``job.xn`` is checked whole: every mistake at once, with file and line; nothing that a user writes crashes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kommandir import xn
from kommandir.xn.reading import read
from kommandir.xn.schema import KINDS


def mistakes(text: str) -> list[str]:
    return [str(mistake).removeprefix("standard input:") for mistake in xn.check(None, text)]


def test_all_mistakes_are_named_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "job.xn"
    file.write_text(
        "---\n"
        "- comand:\n"
        "    filepath: x\n"
        "- command:\n"
        "    filepth: y\n"
        "    contexts: setup\n"
        "    arguments: -c 'foo\n"
        "- variable: {name: 1a, value: 1.5}\n"
    )
    found = [str(mistake).removeprefix(f"{file}:") for mistake in xn.check(file, None)]
    assert [text[: text.index(" (")] for text in found] == [
        "2: unknown item `comand`, did you mean `command`?",
        "4: `command` lacks `filepath`",
        "5: unknown key `filepth`, did you mean `filepath`?",
        "6: `contexts` must be a list, found a text",
        "7: `arguments`: the quote ' in line 1 of the text is not closed",
        "8: `1a` is no name of a variable",
        "8: `value` must be a text, found a number",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: 1", "1: expected a list of items, found a mapping"),
        ("hello", "1: expected a list of items, found a text (`hello`)"),
        ("- hello", "1: expected an item, found a text (`hello`)"),
        ("- recipe: {}", "1: unknown item `recipe` (a recipe is a mapping of its own"),
        ("- command:", "1: `command` needs keys, found nothing"),
        ("- command: ls", "1: `command` needs keys, found a text (`ls`)"),
        ("- command: {filepath: ''}", "1: `filepath` is empty"),
        ("- command: {filepath: x, contexts: [a b]}", "1: `a b` is no context"),
        ("- command: {filepath: x, contexts: [1]}", "1: `1` is no context"),
        ("- command: {filepath: x, stdoutfile: [a]}", "1: `stdoutfile` must be a text, found a list"),
        ("- command: {filepath: x, exitfile: '-'}", "1: `exitfile` can't be `-`"),
        ("- command: {filepath: x, value: y}", "1: unknown key `value`"),
        ("- command: {filepath: x, 5: y}", "1: unknown key `5`"),
        ("- command: {filepath: \"a\\0b\"}", "1: `filepath` has a NUL character"),
        ("- playbook: {filepath: x, arguments: y}", "1: unknown key `arguments` (only commands have it"),
        ("- playbook: {filepath: x, skip-tags: y}", "1: unknown key `skip-tags` (it is written `skip_tags`)"),
        ("- playbook: {filepath: x, invntory: y}", "1: unknown key `invntory`, did you mean `inventory`?"),
        ("- variable: {value: x}", "1: `variable` lacks `name`"),
        ("- variable: {name: x, value: y, from_env: Z}", "1: only one of `value`, `from_env` may stand here"),
        ("- variable: {name: x, from_env: 'a b'}", "1: `a b` is no name of a variable"),
        ("- variable: {name: x, value: true}", "1: `value` must be a text, found a switch (`True`) (put it in quotes)"),
        ("- variable: {name: x}\n- [", "3:1: not valid YAML"),
        ("---\n- variable: {name: x}\n---\n- vriable: {}", "4: unknown item `vriable`, did you mean `variable`?"),
    ],
)  # fmt: skip
def test_each_mistake_says_what_is_allowed(text: str, mistake: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(mistake)


@pytest.mark.parametrize("context", ["a b", "", "se/tup", "-", "ö!"])
def test_a_context_is_one_word(context: str) -> None:
    assert "context: " in str(xn.check(None, "", context=context)[0])


@pytest.mark.parametrize("name", ["missing.xn", "folder", "latin.xn"])
def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.xn").write_bytes("- größe".encode("latin-1"))
    (found,) = xn.check(tmp_path / name, None)
    assert found.place == str(tmp_path / name)
    assert found.message


@pytest.mark.parametrize("text", ["", "---\n", "---\n---\n", "[]", "- \n-\n", "# nothing\n"])
def test_a_file_without_items_is_good(text: str) -> None:
    assert xn.check(None, text) == []


#: The shapes that ADEPT's own files have: block scalars, quoted and flow-style items, several keys an item.
OF_ADEPT = """
---
# a comment

- command:
    contexts:
        - setup
    filepath: "/bin/bash"
    arguments: |
        -c 'set -e;
            [ -d "$WORKSPACE" ] || exit 1;
            # Dont use apostrophes here
            cat << EOF > "$WORKSPACE/made.yml";
        ---
        uuid: "x$RANDOM"
        EOF
            '
- variable:
    name: "ANSIBLE_PRIVATE_KEY_FILE"
    value: "$WORKSPACE/ssh/exekutir_key"
- variable: {"name":"OS_PASSWORD","from_env":"OS_PASSWORD","default":""}
- playbook:
    contexts:
        - setup
        - run
    filepath: "${WORKSPACE}/${ADEPT_CONTEXT}_before_job.yml"
    inventory: "${WORKSPACE}/inventory"
    varsfile: "${WORKSPACE}/variables.yml"
    exitfile: "${WORKSPACE}/before.exit"
    skip_tags: "results"
- variable:
    contexts: [cleanup]
    name: "BEFORE_EXIT"
    from_file: "$WORKSPACE/before.exit"
    default: "0"
- command:
    filepath: /usr/bin/docker
    stdoutfile: $WORKSPACE/build.stdout
    stderrfile: "-"
    arguments: >
        run --rm
            # TODO: an option for later
            --volume $WORKSPACE:/var/lib/workspace:Z
            $ADEPT_OPTIONAL
"""


def test_files_of_adept_are_accepted() -> None:
    reading = read(None, OF_ADEPT, context="setup")
    assert reading.mistakes == ()
    assert [item.kind.name for item in reading.items] == [
        "command", "variable", "variable", "playbook", "variable", "command"
    ]  # fmt: skip
    assert [item.index for item in reading.items if item.is_for("cleanup")] == [2, 3, 5, 6]
    assert reading.items[0].place == "standard input:5"


def test_an_entry_may_hold_several_items() -> None:
    reading = read(None, "- variable: {name: a, value: '1'}\n  command: {filepath: /bin/true}\n")
    assert [item.kind.name for item in reading.items] == ["variable", "command"]


KEYS = sorted({key for kind in KINDS.values() for key in kind.keys} | {"contexts", "nonsense"})
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["-", "'", "x"])
)
ITEMS = st.dictionaries(
    st.sampled_from([*KINDS, "recipe", "", 1, None]),
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), VALUES | st.lists(VALUES, max_size=2)) | VALUES,
    max_size=2,
)


@given(st.lists(ITEMS | VALUES, max_size=4), st.text(max_size=4) | st.sampled_from(["run", "setup"]))
def test_whatever_a_user_writes_is_good_or_named_with_its_line(items: list[object], context: str) -> None:
    text = yaml.safe_dump(items, allow_unicode=True)
    reading = read(None, text, context=context)
    for mistake in reading.mistakes:
        assert mistake.message
        assert mistake.place == "context" or mistake.place.startswith("standard input:")
    if not reading.mistakes:
        assert all(item.title and item.place for item in reading.items)


@given(st.text(alphabet="-: {}[]ab'\"\n|>#&*!variablecommand", max_size=80))
def test_any_text_is_checked(text: str) -> None:
    xn.check(None, text)
