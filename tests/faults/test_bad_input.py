"""Every mistake of a user is named with its place, ends with 2, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calls import Calls


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    for context in ("setup", "run", "cleanup"):
        (folder / f"{context}.yml").write_text("- hosts: localhost\n  gather_facts: false\n  tasks: []\n")
    return folder


def mistake(calls: Calls, *said: str, arguments: tuple[str, ...] = ()) -> str:
    """`setup` ends with 2 and says all of ``said``."""
    ended = calls("setup", *arguments, code=2)
    for text in said:
        assert text in ended.stderr, ended.stderr
    assert not list(calls.workspace.glob("kommandir_workspace/private/*"))
    return ended.stderr


def test_a_job_that_is_not_there(calls: Calls, tmp_path: Path) -> None:
    calls.job = tmp_path / "nowhere"
    mistake(calls, "nowhere")


def test_a_bundled_job_that_is_misspelt(calls: Calls) -> None:
    calls.job = "quickstrat"
    mistake(calls, "quickstrat", "quickstart")


def test_a_workspace_that_is_the_folder_of_the_job(calls: Calls, job: Path) -> None:
    calls.job = calls.workspace = job
    mistake(calls, f"{job} is the folder of the job")


def test_a_file_as_job(calls: Calls, tmp_path: Path) -> None:
    calls.job = tmp_path / "file"
    calls.job.write_text("")
    mistake(calls, str(calls.job), "folder")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("kommandir_vars.yml", "a: [1\n", ["kommandir_vars.yml:", "not valid YAML"]),
        ("kommandir_vars.yml", "- a\n", ["kommandir_vars.yml:1", "mapping"]),
        ("kommandir_vars.yml", "a: 1\na: 2\n", ["kommandir_vars.yml:2", "`a`", "twice"]),
        ("kommandir_vars.yml", "x: 1\npeon_preservaton: 3\n", ["kommandir_vars.yml:2", "peon_preservation"]),
        ("kommandir_vars.yml", "peon_preservation: long\n", ["kommandir_vars.yml:1", "peon_preservation"]),
        ("inventory/group_vars/peons.yml", "b: {\n", ["peons.yml", "not valid YAML"]),
        ("run.yml", "- hosts: [\n", ["run.yml", "not valid YAML"]),
        ("job.xn", "- comand: {}\n", ["job.xn:1", "comand", "command"]),
        ("job.xn", '- command:\n    filepath: /bin/true\n    arguments: "it\'s"\n', ["job.xn:3", "arguments"]),
        ("job.xn", "- playbook:\n    contexts: [setup]\n", ["job.xn:", "filepath"]),
    ],
)
def test_mistakes_in_the_files_of_a_job(calls: Calls, job: Path, file: str, content: str, said: list[str]) -> None:
    (job / file).parent.mkdir(parents=True, exist_ok=True)
    (job / file).write_text(content)
    calls.job = job
    mistake(calls, *said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("uuid: Not_A Name!\n", ["exekutir_vars.yml:1", "uuid"]),
        ("# mine\nkommandir_group: [nocloud]\n", ["exekutir_vars.yml:2", "kommandir_groups"]),
        ("kommandir_groups: nowhere\n", ["kommandir_groups"]),
        ("cleanup: perhaps\n", ["exekutir_vars.yml:1", "cleanup"]),
        ("lock_timeout: [1]\n", ["exekutir_vars.yml:1", "lock_timeout"]),
        ("a: [\n", ["exekutir_vars.yml:", "not valid YAML"]),
    ],
)
def test_mistakes_in_the_users_variables(calls: Calls, job: Path, content: str, said: list[str]) -> None:
    calls.workspace.mkdir()
    (calls.workspace / "exekutir_vars.yml").write_text(content)
    calls.job = job
    mistake(calls, *said)
    (calls.workspace / "exekutir_vars.yml").unlink()


@pytest.mark.parametrize("extra", ["novalue", "{broken", "@/nonexistent.yml", "uuid=Not_A"])
def test_mistakes_on_the_command_line(calls: Calls, job: Path, extra: str) -> None:
    calls.job = job
    mistake(calls, "-e", arguments=("-e", extra))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("podmn", ["`podmn` defines no cloud_provisioning_command", "did you mean `podman`"]),
        ("namespace", ["too small a host for a kommandir", "podman, qemu or existing"]),
        ("existing", ["nothing says which", "kommandir_address"]),
        ("nocloud,podmn", ["podmn"]),
    ],
)
def test_groups_that_give_no_kommandir(calls: Calls, job: Path, groups: str, said: list[str]) -> None:
    calls.job = job
    ended = calls("setup", "-e", f"kommandir_groups=[{groups}]", code=2)
    assert all(text in ended.stderr for text in said), ended.stderr
    assert not list((calls.state / "locks").glob("*/generations.json"))
    assert "nothing is left" in calls("cleanup", "-e", f"kommandir_groups=[{groups}]").stdout


def test_all_mistakes_are_shown_at_once(calls: Calls, job: Path) -> None:
    (job / "kommandir_vars.yml").write_text("peon_preservation: long\nadept_debug: perhaps\n")
    (job / "job.xn").write_text("- comand: {}\n- playbook: {}\n")
    calls.job = job
    said = mistake(calls, "kommandir_vars.yml:1", "kommandir_vars.yml:2", "job.xn:1", "job.xn:2")
    assert "mistakes:" in said


def test_run_without_setup_is_refused(calls: Calls, job: Path) -> None:
    calls.job = job
    calls.workspace.mkdir()
    (calls.workspace / "exekutir_vars.yml").write_text(f"job_path: {job}\n")
    assert "exekutir setup" in calls("run", code=2).stderr


def test_a_uuid_that_changed_is_refused(calls: Calls, job: Path) -> None:
    calls.job = job
    calls("setup")
    assert "uuid" in calls("run", "-e", "uuid=other1", code=2).stderr


def test_a_workspace_of_another_version_is_refused(calls: Calls, job: Path) -> None:
    calls.job = job
    calls("setup")
    mark = calls.workspace / ".exekutir-workspace"
    mark.write_text("99\n")
    assert "layout '99'" in calls("run", code=2).stderr
    mark.write_text("1\n")
