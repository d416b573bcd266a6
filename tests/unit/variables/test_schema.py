from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from exekutir.variables import kinds, schema
from exekutir.variables.checking import mistakes_in
from exekutir.variables.schema import KNOWN
from kommandir.yamlfile import Document, VaultValue, parse

#: What Ansible calls a kind of ours.
ANSIBLE_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": kinds.Text,
    "path": kinds.Text,
    "bool": kinds.Boolean,
    "int": kinds.Number,
    "float": kinds.Number,
    "list": kinds.ListOf,
    "dict": (kinds.MappingOf, kinds.Record),
}


def role_options() -> list[Any]:
    roots = Path(__file__).resolve().parents[3] / "roles"
    found = []
    for file in sorted(roots.glob("*/meta/argument_specs.yml")):
        specs = yaml.safe_load(file.read_text())["argument_specs"]
        for spec in specs.values():
            for name, option in spec.get("options", {}).items():
                found.append(pytest.param(file.parts[-3], name, option, id=f"{file.parts[-3]}-{name}"))
    return found


@pytest.mark.parametrize(("role", "name", "option"), role_options())
def test_the_schema_agrees_with_the_roles(role: str, name: str, option: dict[str, Any]) -> None:
    if name.startswith(f"{role}_"):
        return  # the role's own, of no meaning elsewhere
    variable = KNOWN[name]
    assert isinstance(variable.type, ANSIBLE_TYPES[option["type"]])
    if "default" in option and not variable.computed:
        default = list(variable.default) if isinstance(variable.default, tuple) else variable.default
        assert default == option["default"]


@pytest.mark.parametrize("variable", KNOWN.values(), ids=KNOWN)
def test_defaults_fit_their_types_and_meanings_are_sentences(variable: schema.Variable) -> None:
    if not kinds.is_empty(variable.default):
        assert list(variable.type.problems(variable.default)) == []
    assert variable.meaning[0].isupper() or variable.meaning[0] == "`"
    assert variable.meaning.endswith(".")


@pytest.mark.parametrize(
    "name",
    ["uuid", "job_name", "adept_debug", "cleanup", "no_log_synchronize", "some_magic_variable_for_testing"],
)
def test_what_adept_passes_to_the_kommandir_passes(name: str) -> None:
    assert schema.passes(name)


@pytest.mark.parametrize(
    "name",
    [
        "install_rpms",
        "repo_rpms",
        "enable_repos",
        "disable_repos",
        "cleanup_assertions",
        "workspace_keep",
        "extra_workspace_keep",
        "cleanup_globs",
        "compatible_ansible_minimum",
        "compatible_ansible_maximum",
        "compatible_ansible_other",
        "ansible_version",
        "extra_kommandir_setup",
        "extra_exekutir_setup",
        "job_path",
        "kommandir_groups",
        "public_peons",
        "stonith",
        "kommandir_name_prefix",
        "git_cache_args",
        "cloud_provisioning_command",
        "cloud_destruction_command",
        "cloud_environment",
        "cloud_asserts",
    ],
)
def test_what_must_not_pass_does_not(name: str) -> None:
    assert not schema.passes(name)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("peon_group", "peon_groups"),
        ("job_nmae", "job_name"),
        ("cloud_provisionning_command", "cloud_provisioning_command"),
        ("cleanpu", "cleanup"),
        ("job-name", "job_name"),
        ("peon_image2", None),
        ("peon_image_name", None),
        ("job", None),
        ("my_own_variable", None),
        ("ansible_user", None),
        ("uid", None),
        ("greeting", None),
    ],
)
def test_only_near_misses_are_taken_for_misspellings(name: str, known: str | None) -> None:
    assert schema.near_miss(name) == known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cleanup: 'no'", "must be a boolean"),
        ("job_name: yes", "must be a text, but YAML reads a boolean: True"),
        ("job_name: 007", "must be a text, but YAML reads an integer: 7"),
        ("job_name: 2026-11-21", "must be a text, but YAML reads a date"),
        ("job_name: [a]", "must be a text, but YAML reads a list"),
        ("peon_memory: lots", "must be an integer"),
        ("peon_memory: -1", "must be 0 or more"),
        ("peon_memory: true", "must be an integer"),
        ("lock_timeout: soon", "must be a number"),
        ("peon_groups: {a: b}", "must be a list of texts, but is a mapping"),
        ("peon_groups: [a, 1]", "`peon_groups[1]` must be a text"),
        ("kommandir_groups: nocloud", "must be a list of texts, but is a text"),
        ("cloud_provisioning_command: make-a-host", "must be a mapping, but is a text"),
        ("cloud_provisioning_command: {comand: x}", "unknown key `comand`, did you mean `command`?"),
        ("cloud_provisioning_command: {chdir: /}", "key `command` is missing"),
        ("git_cache_args: [{repo: x}]", "`git_cache_args[0]` key `cachepath` is missing"),
        ("git_cache_args: [{repo: x, cachepath: y, branch: z}]", "unknown key `branch`"),
        ("cloud_environment: [A]", "must be a mapping"),
        ("cleanup: '{{ x }}'", "can be neither a template nor encrypted"),
        ("workspace: /tmp", "is set by exekutir itself"),
        ("mitogen: nevr", "must be `auto` or `never`, but is a text: 'nevr', did you mean `never`?"),
        ("mitogen: false", "must be `auto` or `never`, but is a boolean"),
        ("peon_group: [namespace]", "did you mean `peon_groups`?"),
    ],
)
def test_each_wrong_value_is_told_with_its_line(text: str, message: str) -> None:
    found = list(mistakes_in(parse(f"---\n\n{text}\n", "vars.yml")))
    assert any(message in mistake.message for mistake in found), found
    assert {mistake.place for mistake in found} == {"vars.yml:3"}


@pytest.mark.parametrize(
    "text",
    [
        "cleanup:",
        "cleanup: ''",
        "install_rpms: []\nrepo_rpms:\n",
        "peon_memory: '512'",
        "peon_memory: '{{ 2 * 256 }}'",
        "peon_groups: namespace",
        "mitogen: never",
        "peon_preservation: 0.5",
        "cloud_provisioning_command: {command: x, chdir: }",
        "cloud_environment: {TOKEN: 1, EMPTY: }",
        "my_own: {anything: [goes]}",
        "ansible_usr: me",
    ],
)
def test_good_values_are_good_and_empty_ones_are_not_set(text: str) -> None:
    assert list(mistakes_in(parse(text, "vars.yml"))) == []


def test_what_may_be_a_secret_is_not_shown_in_mistakes() -> None:
    document = Document({"cloud_environment": [{"TOKEN": "hunter2"}], "cloud_destruction_command": "x hunter2"}, "v")
    found = list(mistakes_in(document))
    assert len(found) == 2
    assert "hunter2" not in str(found)


def test_encrypted_values_are_taken_wherever_ansible_reads_them() -> None:
    assert list(mistakes_in(Document({"peon_image": VaultValue("x"), "peon_memory": VaultValue("x")}, "v"))) == []
    assert "encrypted" in next(iter(mistakes_in(Document({"cleanup": VaultValue("x")}, "v")))).message
    assert list(mistakes_in(Document({"cleanup": VaultValue("x")}, "v"), of_job=True)) == []


def test_a_default_holds_where_a_value_is_empty() -> None:
    assert schema.value({}, "cloud_timeout") == 600
    assert schema.value({"cloud_timeout": None}, "cloud_timeout") == 600
    assert schema.value({"cloud_timeout": 5}, "cloud_timeout") == 5
    assert schema.value({"cleanup": False}, "cleanup") is False
