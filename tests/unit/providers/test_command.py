"""The command line of providers: what is understood, what is refused, and that the output is YAML."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kommandir.providers import command, existing_host, namespace_peon, qemu_vm
from kommandir.providers.command import Option
from kommandir.providers.faults import ProviderUsageError

_LEASE = ["--uuid", "u1", "--expires", "10", "--public-key", "key.pub"]


def test_a_creation_is_understood_with_defaults() -> None:
    request = command.parse(namespace_peon, ["create", "web", *_LEASE, "--memory=512", "--uplink"])
    assert (request.action, request.name, request.uuid) == ("create", "web", "u1")
    assert request.number("memory") == 512
    assert request.number("processes") == 4096
    assert request.options["uplink"] is True
    assert request.host_name == "web"


@pytest.mark.parametrize(
    ("name", "host_name"),
    [("web_1-abc", "web-1-abc"), ("a" * 70, "a" * 64), ("a" * 63 + "-b", "a" * 63)],
)
def test_a_host_name_is_one_that_linux_takes(name: str, host_name: str) -> None:
    assert command.parse(namespace_peon, ["create", name, *_LEASE]).host_name == host_name


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["list", "x"],
        ["create"],
        ["create", "a", "b", *_LEASE],
        ["create", "", *_LEASE],
        ["create", ".hidden", *_LEASE],
        ["create", "a/b", *_LEASE],
        ["create", "a" * 201, *_LEASE],
        ["create", "a", *_LEASE, "--memory", "-5"],
        ["create", "a", *_LEASE, "--memory"],
        ["create", "a", *_LEASE, "--uplink=perhaps"],
        ["create", "a", "--uuid", "../u", *_LEASE[2:]],
        ["destroy", "a", "--uuid", ""],
        ["renew", "a", "--uuid", "u1", "--expires", "inf"],
    ],
)
def test_mistakes_are_refused(words: list[str]) -> None:
    with pytest.raises(ProviderUsageError):
        command.parse(namespace_peon, words)


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_are_understood_or_refused(words: list[str]) -> None:
    try:
        request = command.parse(existing_host, words)
    except ProviderUsageError:
        return
    assert request.action in command.ACTIONS


#: Bare words that YAML takes for something else; no variable of ours has such a name.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(_NAMES.filter(lambda word: word not in _WORDS), _VALUES))
def test_what_is_printed_is_yaml_and_the_same(value: dict[str, object]) -> None:
    assert yaml.safe_load(command.as_yaml(value)) == (value or None)


@given(st.lists(st.dictionaries(_NAMES, _VALUES, max_size=3), max_size=3))
def test_a_printed_list_is_yaml_and_the_same(entries: list[dict[str, object]]) -> None:
    assert yaml.safe_load(command.as_yaml_list(entries)) == entries


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(namespace_peon, ["--help"]) == 0
    told = capsys.readouterr().out
    for option in (*command.CREATION, *namespace_peon.options):
        assert f"--{option.name} " in told


def test_options_have_a_kind_that_is_understood() -> None:
    options: tuple[Option, ...] = (*namespace_peon.options, *existing_host.options, *qemu_vm.options)
    assert {option.kind for option in options} <= {"text", "number", "switch"}
