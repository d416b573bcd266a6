from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exekutir.variables import parse_extra
from exekutir.variables.command_line import words
from kommandir.errors import UsageError
from kommandir.mistakes import MistakesError


def of_ansible(item: str) -> Any:
    from ansible.parsing.splitter import parse_kv

    return parse_kv(item)


@pytest.mark.parametrize(
    "item",
    [
        "a=b c=d",
        "a='x y' b=1",
        "a=\"x 'y' z\"",
        "a={{ b }} c={{ d | default('x y') }}",
        r"a=x\ty",
        "a=b=c",
        "a= b=2",
        r'a="q\"r" b=1',
        r"a='it\'s'",
        "a=x\nb=y",
        "a=yes b=0x1F c=1.0",
    ],
)
def test_assignments_are_read_as_ansible_reads_them(item: str) -> None:
    assert parse_extra([item]) == of_ansible(item)


names = st.from_regex(r"own_[a-z]{1,4}", fullmatch=True)
texts = st.text(st.sampled_from("ab=.,:-/ é"), max_size=8)


@given(st.dictionaries(names, texts, min_size=1), st.sampled_from(["'", '"']))
def test_any_quoted_values_are_read_as_ansible_reads_them(values: dict[str, str], quote: str) -> None:
    item = " ".join(f"{name}={quote}{value}{quote}" for name, value in values.items())
    assert parse_extra([item]) == values == of_ansible(item)


@given(st.text(st.sampled_from("ab ={}%#'\"\\n\n"), max_size=20))
def test_no_text_breaks_the_splitting(text: str) -> None:
    try:
        found = words(text)
    except UsageError:
        return
    assume("\\" not in text)
    assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ('{"own": {"deep": [1, null]}, "cleanup": false}', {"own": {"deep": [1, None]}, "cleanup": False}),
        ("{own: [yes, 1]}", {"own": [True, 1]}),
        ("", {}),
        (
            "cleanup=no adept_debug=Yes lock_timeout=1.5 peon_memory=512",
            {"cleanup": False, "adept_debug": True, "lock_timeout": 1.5, "peon_memory": 512},
        ),
        (
            "kommandir_groups=[nocloud,more] own=[nocloud]",
            {"kommandir_groups": ["nocloud", "more"], "own": "[nocloud]"},
        ),
        ("job_name=1 uuid=1e5", {"job_name": "1", "uuid": "1e5"}),
        ("cleanup={{other}}", {"cleanup": "{{other}}"}),
    ],
)
def test_known_variables_get_their_types_and_others_stay_texts(item: str, expected: dict[str, Any]) -> None:
    assert parse_extra([item]) == expected


def test_later_items_win_and_files_count(tmp_path: Path) -> None:
    file = tmp_path / "more.yml"
    file.write_text("own: file\nother: !unsafe '{{ x }}'\n")
    extra = parse_extra(["own=first", f"@{file}", "third=3"])
    assert extra == {"own": "file", "other": "{{ x }}", "third": "3"}
    assert type(extra["other"]).__name__ == "UnsafeValue"


def test_a_relative_job_is_the_same_in_later_contexts(in_tmp: Path) -> None:
    (in_tmp / "mine").mkdir()
    assert parse_extra(["job_path=mine"]) == {"job_path": f"{in_tmp}/mine"}
    assert parse_extra(["job_path=quickstart"]) == {"job_path": "quickstart"}


def test_every_item_that_can_not_be_read_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("- a\n")
    (tmp_path / "broken.yml").write_text("a: [\n")
    items = [
        "lonely",
        "@/nowhere.yml",
        "/a/file",
        "[1]",
        "{a: ",
        "a='b",
        f"@{tmp_path}/list.yml",
        f"@{tmp_path}/broken.yml",
    ]
    with pytest.raises(MistakesError) as caught:
        parse_extra(items)
    told = str(caught.value)
    assert len(caught.value.mistakes) == len(items)
    for part in ("`lonely` is no KEY=VALUE", "/nowhere.yml", "-e @/a/file", "found a list", "is missing at the end"):
        assert part in told
    assert "broken.yml:2" in told
