from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exekutir.variables import completed, kommandir_variables
from exekutir.variables.checking import uuid_mistakes
from exekutir.variables.completion import made_uuid
from exekutir.variables.schema import KNOWN, of_exekutir_alone, passes
from kommandir.journal import FILE_NAME, Journal
from kommandir.mistakes import MistakesError
from kommandir.yamlfile import Document, UnsafeValue, VaultValue, dump, parse


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "my_job"
    folder.mkdir()
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def user(workspace: Path, text: str = "") -> Document:
    document = parse(text, str(workspace / "exekutir_vars.yml"))
    return Document(document.value or {}, document.source, document.lines)


def mistakes_of(document: Document, extra: dict[str, Any], job: Path | None, workspace: Path) -> str:
    with pytest.raises(MistakesError) as caught:
        completed(document, extra, job=job, workspace=workspace)
    return str(caught.value)


def test_only_what_is_missing_is_put_in(job: Path, workspace: Path) -> None:
    variables = completed(user(workspace, "own: 1\ncleanup:\n"), {}, job=job, workspace=workspace)
    assert variables.keys() == {"own", "cleanup", "uuid", "job_path", "job_name"}
    assert variables["job_path"] == str(job)
    assert variables["job_name"] == "my_job"


def test_a_made_uuid_is_valid_and_read_back_as_a_text() -> None:
    for _ in range(200):
        document = parse(dump({"uuid": made_uuid()}), "vars")
        assert isinstance(document.value["uuid"], str)
        assert list(uuid_mistakes(document)) == []


@pytest.mark.parametrize("text", ["uuid:", "uuid: ''", ""])
def test_an_empty_uuid_is_made_and_then_kept(job: Path, workspace: Path, text: str) -> None:
    first = completed(user(workspace, text), {}, job=job, workspace=workspace)
    Journal(workspace / FILE_NAME).append("context_started", context="setup", uuid=first["uuid"])
    again = completed(user(workspace, text), {}, job=job, workspace=workspace)
    assert again["uuid"] == first["uuid"]


@pytest.mark.parametrize("uuid", ["a", "ci-42", "x" * 32, "a1b2"])
def test_a_valid_uuid_is_kept(job: Path, workspace: Path, uuid: str) -> None:
    document = user(workspace, f"uuid: {uuid}")
    assert completed(document, {}, job=job, workspace=workspace)["uuid"] == uuid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12345678", "YAML reads an integer"),
        ("1e5", "not valid as the name"),
        ("yes", "YAML reads a boolean"),
        ("Upper", "not valid as the name"),
        ("under_score", "not valid as the name"),
        ("-x", "not valid as the name"),
        ("x-", "not valid as the name"),
        ("9lives", "not valid as the name"),
        ("x.y", "not valid as the name"),
        ("'a b'", "not valid as the name"),
        ("'a\n\n'", "not valid as the name"),
        ("x" * 33, "at most 32"),
        ("'{{ lookup }}'", "not valid as the name"),
        ("root", "is taken on every host"),
        ("[a]", "YAML reads a list"),
    ],
)
def test_an_invalid_uuid_is_refused_with_its_line(job: Path, workspace: Path, text: str, message: str) -> None:
    told = mistakes_of(user(workspace, f"---\nuuid: {text}"), {}, job, workspace)
    assert message in told
    assert "exekutir_vars.yml:2" in told


def test_a_changed_uuid_is_refused_wherever_it_is_changed(job: Path, workspace: Path) -> None:
    Journal(workspace / FILE_NAME).append("context_started", context="setup", uuid="first")
    told = mistakes_of(user(workspace, "\nuuid: second"), {}, job, workspace)
    assert "exekutir_vars.yml:2: `uuid` never changes" in told
    told = mistakes_of(user(workspace, "uuid: first"), {"uuid": "second"}, job, workspace)
    assert "-e: `uuid` never changes" in told
    variables = completed(user(workspace, "uuid: second"), {"uuid": "first"}, job=job, workspace=workspace)
    assert variables["uuid"] == "first"


def test_the_job_is_named_by_e_then_the_option_then_the_file(tmp_path: Path, workspace: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    document = user(workspace, "job_path: ../three\n")
    assert completed(document, {}, job=None, workspace=workspace)["job_name"] == "three"
    assert completed(document, {}, job=tmp_path / "two", workspace=workspace)["job_path"] == str(tmp_path / "two")
    extra = {"job_path": str(tmp_path / "one"), "job_name": "mine"}
    variables = completed(document, extra, job=tmp_path / "two", workspace=workspace)
    assert (variables["job_path"], variables["job_name"]) == (str(tmp_path / "one"), "mine")


@pytest.mark.parametrize("text", ["", "job_path:", "job_path: ''"])
def test_no_job_is_a_mistake(workspace: Path, text: str) -> None:
    assert "no job is named" in mistakes_of(user(workspace, text), {}, None, workspace)


def test_a_job_that_is_not_there_or_a_file_is_a_mistake(workspace: Path, tmp_path: Path) -> None:
    assert "there is no job" in mistakes_of(user(workspace), {}, tmp_path / "nowhere", workspace)
    file = tmp_path / "setup.yml"
    file.write_text("")
    assert "is a file, not a folder" in mistakes_of(user(workspace), {}, file, workspace)
    assert "did you mean `quickstart`?" in mistakes_of(user(workspace), {}, Path("quickstrat"), workspace)


def test_a_bundled_job_is_found_by_its_name(in_tmp: Path, workspace: Path, checkout: Path) -> None:
    variables = completed(user(workspace), {}, job=Path("quickstart"), workspace=workspace)
    assert variables["job_path"] == str(checkout / "job_path" / "quickstart")


def test_later_contexts_do_without_the_jobs_folder(workspace: Path, tmp_path: Path) -> None:
    (workspace / "kommandir_workspace").mkdir()
    (workspace / "kommandir_workspace" / "job.xn").write_text("[]")
    variables = completed(user(workspace, f"job_path: {tmp_path}/gone"), {}, job=None, workspace=workspace)
    assert variables["job_path"] == f"{tmp_path}/gone"


def test_everything_that_is_wrong_is_told_at_once(workspace: Path) -> None:
    told = mistakes_of(user(workspace, "uuid: A\nclenaup: no\nlock_timeout: soon\n"), {"cleanup": "x"}, None, workspace)
    for part in ("5 mistakes", ":1: `uuid`", ":2: unknown variable `clenaup`", ":3: `lock_timeout`", "-e: `cleanup`"):
        assert part in told


def test_the_mistakes_of_the_job_come_with_those_of_the_variables(job: Path, workspace: Path) -> None:
    (job / "setup.yml").write_text("hosts: all\n")
    text = "uuid: 5\nnobody_reads_me: 1\nclenaup: no\n"
    (workspace / "exekutir_vars.yml").write_text(text)
    told = mistakes_of(user(workspace, text), {}, job, workspace)
    assert told.startswith("4 mistakes:")
    parts = (
        "setup.yml:1: a playbook must",
        "vars.yml:1: `uuid`",
        ":2: unknown variable `nobody",
        ":3: unknown variable",
    )
    assert [told.index(part) for part in parts] == sorted(told.index(part) for part in parts)


def test_encrypted_and_unsafe_values_stay_what_they_are(job: Path, workspace: Path) -> None:
    text = "secret: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\nraw: !unsafe '{{ not a template }}'\n"
    variables = completed(user(workspace, text), {}, job=job, workspace=workspace)
    merged = kommandir_variables({"secret": "job's"}, variables, {})
    assert isinstance(merged["secret"], VaultValue)
    assert isinstance(merged["raw"], UnsafeValue)
    again = parse(dump(merged), "again").value
    assert again == merged
    assert isinstance(again["secret"], VaultValue)


# -- merging: rules that hold for any variables

names = st.sampled_from([*KNOWN, "own", "other_own", "compatible_ansible_x", "cloud_own"])
variables = st.dictionaries(names, st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)), max_size=6)


@given(job_vars=variables, exekutir_vars=variables, extra=variables)
def test_the_strongest_that_passes_wins(
    job_vars: dict[str, Any], exekutir_vars: dict[str, Any], extra: dict[str, Any]
) -> None:
    merged = kommandir_variables(job_vars, exekutir_vars, extra)
    for name in {*job_vars, *exekutir_vars, *extra}:
        if of_exekutir_alone(name):
            assert name not in merged
        elif name in extra:
            assert merged[name] is extra[name]
        elif passes(name) and exekutir_vars.get(name) is not None:
            assert merged[name] is exekutir_vars[name]
        elif name in job_vars:
            assert merged[name] is job_vars[name]
        else:
            assert name not in merged
    assert merged.keys() <= {*job_vars, *exekutir_vars, *extra}


@given(job_vars=variables, exekutir_vars=variables, extra=variables)
def test_merging_again_changes_nothing(
    job_vars: dict[str, Any], exekutir_vars: dict[str, Any], extra: dict[str, Any]
) -> None:
    once = kommandir_variables(job_vars, exekutir_vars, extra)
    assert kommandir_variables(once, exekutir_vars, extra) == once


def test_the_variables_of_adepts_own_ci_job_come_out_as_it_checks_them() -> None:
    job_vars = {"uuid": "THE_WRONG_VALUE", "some_magic_variable_for_testing": "ANOTHER_WRONG_VALUE"}
    exekutir_vars = {
        "job_path": "/somewhere/ci",
        "job_name": "ci",
        "no_log_synchronize": False,
        "uuid": "made-up-for-ci",
        "kommandir_groups": ["nocloud"],
        "repo_rpms": [],
        "enable_repos": [],
        "disable_repos": [],
        "install_rpms": [],
        "git_cache_args": [],
        "some_magic_variable_for_testing": "THE_WRONG_VALUE",
    }
    extra = {"some_magic_variable_for_testing": "value_for_magic_variable"}
    assert kommandir_variables(job_vars, exekutir_vars, extra) == {
        "uuid": "made-up-for-ci",
        "job_name": "ci",
        "no_log_synchronize": False,
        "some_magic_variable_for_testing": "value_for_magic_variable",
    }
