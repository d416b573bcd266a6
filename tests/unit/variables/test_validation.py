from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exekutir.variables import playbooks
from exekutir.variables.validation import validate
from kommandir import content
from tests.unit.variables.conftest import Write

GOOD = {
    "inventory/peons": "[peons]\none\ntwo peon_groups='[\"podman\"]'\n",
    "kommandir_vars.yml": "own: 1\n",
    "setup.yml": "---\n- name: Prepare\n  hosts: peons\n  tasks: []\n",
}


@pytest.fixture
def job(tmp_path: Path, write: Write) -> Path:
    return write(tmp_path / "job", GOOD)


def found(job: Path, workspace: Path | None = None, extra: Mapping[str, Any] | None = None) -> list[str]:
    return [str(mistake) for mistake in validate(job, workspace=workspace, extra=extra or {})]


def test_a_good_job_has_no_mistakes(job: Path) -> None:
    assert found(job) == []


@pytest.mark.parametrize("name", content.bundled_jobs())
def test_the_bundled_jobs_have_no_mistakes(name: str) -> None:
    assert found(Path(name)) == []


@pytest.mark.parametrize(
    ("way", "text", "told"),
    [
        ("kommandir_vars.yml", "a: [\n", "kommandir_vars.yml:2:1: not valid YAML"),
        ("kommandir_vars.yml", "- a\n", "kommandir_vars.yml:1: expected a mapping"),
        ("kommandir_vars.yml", "a: 1\na: 2\n", "kommandir_vars.yml:2: key `a` stands here twice"),
        ("kommandir_vars.yml", "\npeon_group: [podman]\n", "kommandir_vars.yml:2: unknown variable `peon_group`"),
        ("kommandir_vars.yml", "cleanup: 'no'\n", "kommandir_vars.yml:1: `cleanup` must be a boolean"),
        (
            "kommandir_vars.yml",
            "cloud_provisioning_command:\n  comand: x\n",
            "kommandir_vars.yml:2: `cloud_provisioning_command.comand` unknown key `comand`, did you mean `command`?",
        ),
        ("kommandir_vars.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "vars.yml:1: is encrypted as a whole"),
        ("inventory/group_vars/podman.yml", "peon_memory: much\n", "podman.yml:1: `peon_memory` must be an integer"),
        ("inventory/group_vars/web/a.yml", "a: b: c\n", "web/a.yml:1:5: not valid YAML"),
        ("inventory/host_vars/one.yml", "peon_uplink: 'maybe'\n", "one.yml:1: `peon_uplink` must be a boolean"),
        ("inventory/hosts.yml", "peons: [one]\n", "hosts.yml:1: group `peons` must be a mapping"),
        ("inventory/more", "[peons:vras]\nx=1\n", "more:1: section [peons:vras] is of an unknown type"),
        ("inventory/host_vars/one.yml", "peon_groups: [nmaespace]\n", "which is no group, did you mean `namespace`?"),
        (
            "inventory/host_vars/one.yml",
            "\npeon_groups: [namespace, podman]\n",
            "one.yml:2: host `one` belongs to 2 providers",
        ),
        ("inventory/host_vars/one.yml", "peon_groups: [peons]\n", "inventory/peons:2: peon `one` has no provider"),
        ("setup.yml", "---\n- hosts: a\n   tasks: []\n", "setup.yml:3:9: not valid YAML"),
        ("setup.yml", "hosts: all\n", "setup.yml:1: a playbook must be a list of plays, but holds a mapping"),
        ("setup.yml", "- hosts: a\n---\n- hosts: b\n", "setup.yml:3: a second document starts here"),
        ("setup.yml", "- hosts: " + "[" * 100_000, "setup.yml:1: too deep to be meant"),
        ("setup.yml", "", "setup.yml:1: a playbook must be a list of plays, but holds nothing"),
        ("setup.yml", "- all\n", "setup.yml:1: a play must be a mapping"),
        ("setup.yml", "- host: all\n", "setup.yml:1: play without `hosts` (there is `host`)"),
        (
            "run.yml",
            "- hosts: all\n  role: [common]\n",
            "run.yml:2: unknown key `role` of a play, did you mean `roles`?",
        ),
        ("run.yml", "- hosts: all\n  tasks: {a: b}\n", "run.yml:2: `tasks` of a play must be a list"),
        ("run.yml", "- import_playbook: gone.yml\n", "run.yml:1: there is no playbook gone.yml to import"),
        ("playbooks/own.yml", "a: b\n", "own.yml:1: a playbook must be a list of plays"),
        ("roles/own/tasks/main.yml", "- a: 'b\n", "tasks/main.yml:2:1: not valid YAML"),
        ("other.yml", "a: [\n", "other.yml:2:1: not valid YAML"),
        ("job.xn", "- playbook:\n    filepath: gone.yml\n", "job.xn:2: there is no playbook gone.yml"),
        (
            "job.xn",
            "- playbook:\n    filepath: ${WORKSPACE}/${ADEPT_CONTEXT}.yaml\n",
            "there is no playbook setup.yaml",
        ),
        ("job.xn", "- playbook:\n    filepath: kommandir_vars.yml\n", "vars.yml:1: a playbook must be a list of plays"),
        (
            "job.xn",
            "- command: {filepath: /bin/true}\n- playbook: {filepath: setpu.yml}\n",
            "job.xn:2: there is no playbook setpu.yml, did you mean `setup.yml`?",
        ),
        (
            "run.yml",
            "- import_playbook: default_gone.yml\n",
            "run.yml:1: there is no playbook default_gone.yml to import",
        ),
        ("job.xn", "- playbok:\n    filepath: setup.yml\n", "job.xn:1"),
        ("job.xn", "- playbook: [\n", "job.xn:2"),
        ("providers/mine", "#!/bin/sh\n", "providers/mine: this provider is not executable"),
    ],
)
def test_each_mistake_is_told_with_file_and_line(job: Path, write: Write, way: str, text: str, told: str) -> None:
    write(job, {way: text})
    assert any(told in mistake for mistake in found(job)), found(job)


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("inventory/host_vars/one.yml", "peon_groups: [own]\ncloud_provisioning_command: {command: x}\n"),
        ("inventory/group_vars/own.yml", "cloud_provisioning_command: {command: x}\npeon_groups: [namespace]\n"),
        ("inventory/host_vars/one.yml", "peon_groups: ['{{ provider }}']\n"),
        ("inventory/group_vars/all.yml", "$ANSIBLE_VAULT;1.1;AES256\n616263\n"),
        ("kommandir_vars.yml", "uuid: THE_WRONG_VALUE\nanything: [!vault abc, !unsafe '{{ x }}']\n"),
        ("kommandir_vars.yml", ""),
        ("clouds.yml", "clouds: !secret {a: b}\n"),
        ("run.yml", "- hosts: all\n  hosts: all\n- ansible.builtin.import_playbook: setup.yml\n"),
        ("run.yml", "- import_playbook: '{{ which }}.yml'\n- import_playbook: some.collection.playbook\n"),
        ("job.xn", "- variable: {name: WHICH, value: x}\n- playbook: {filepath: '${WHICH}.yml'}\n"),
        ("job.xn", "- playbook: {contexts: [setup], filepath: '${WORKSPACE}/${ADEPT_CONTEXT}.yml'}\n"),
        ("other.yml", "a: 1\n---\nb: 2\n"),
        ("job.xn", "- playbook: {filepath: '${WORKSPACE}/cache/fetched/main.yml'}\n"),
        ("job.xn", "- command: {filepath: /bin/make}\n- playbook: {filepath: made/by_that.yml}\n"),
        ("job.xn", "- playbook: {filepath: default_setup.yml}\n"),
        ("run.yml", "- import_playbook: cache/fetched/main.yml\n"),
        ("run.yml", "- import_playbook: default_run.yml\n- import_playbook: playbooks/run.yml\n"),
        ("inventory/hosts.yml", "all:\n  hosts:\n    three:\n  children:\n    peons:\n      hosts:\n        three\n"),
        ("providers/README.md", "not a provider\n"),
    ],
)
def test_what_is_legal_is_no_mistake(job: Path, write: Write, way: str, text: str) -> None:
    files = {way: text}
    if "own" in text:
        files.setdefault("inventory/group_vars/own.yml", "own: 1\n")
    write(job, files)
    assert found(job) == []


def test_a_name_that_the_job_uses_is_no_misspelling(job: Path, write: Write) -> None:
    write(job, {"kommandir_vars.yml": "peon_group: x\n"})
    assert len(found(job)) == 1
    write(job, {"templates/some.j2": "{{ peon_group }}\n"})
    assert found(job) == []


def test_a_group_that_the_jobs_playbooks_use_is_a_group(job: Path, write: Write) -> None:
    write(job, {"inventory/host_vars/one.yml": "peon_groups: [namespace, updated]\n"})
    assert "peon_groups names `updated`, which is no group" in found(job)[0]
    write(job, {"run.yml": "- hosts: updated\n"})
    assert found(job) == []


def test_unknown_names_in_the_exekutirs_file_are_mistakes_unless_the_job_uses_them(
    job: Path, tmp_path: Path, write: Write
) -> None:
    text = "uuid: Wrong\nown: 2\nnobody_reads_me: 3\nused_in_a_play: 4\nansible_user: me\n"
    workspace = write(tmp_path / "workspace", {"exekutir_vars.yml": text})
    write(job, {"run.yml": "- hosts: '{{ used_in_a_play }}'\n"})
    told = found(job, workspace)
    assert [mistake.removeprefix(f"{workspace}/").split("`")[:2] for mistake in told] == [
        ["exekutir_vars.yml:1: ", "uuid"],
        ["exekutir_vars.yml:3: unknown variable ", "nobody_reads_me"],
    ]
    write(workspace, {"exekutir_vars.yml": "a: [\n"})
    assert "exekutir_vars.yml:2" in found(job, workspace)[0]


def test_a_workspace_in_the_jobs_folder_is_no_part_of_the_job(job: Path, write: Write) -> None:
    files = {".exekutir-workspace": "1\n", "exekutir_vars.yml": "nobody_reads_me: 1\n", "broken.yml": "a: [\n"}
    write(job / "ws", files)
    write(job, {"exekutir_vars.yml": "nobody_reads_me: 1\n", "kommandir_workspace/run.yml": "a: b\n"})
    assert ["nobody_reads_me" in mistake for mistake in found(job, job / "ws")] == [True]
    assert ["nobody_reads_me" in mistake for mistake in found(job, job)] == [True]


def test_the_command_line_is_checked_too(job: Path) -> None:
    extra = {"cleanup": "maybe", "clenaup": False, "uuid": "A", "own": 1, "workspace": "/x"}
    told = found(job, extra=extra)
    assert sorted(mistake.split("`")[1] for mistake in told) == ["cleanup", "clenaup", "uuid", "workspace"]
    assert {mistake.split(":")[0] for mistake in told} == {"-e"}
    both = found(job, extra={"peon_groups": ["podman", "namespace"]})
    assert any("-e: host `one` belongs to 2 providers" in mistake for mistake in both)


def test_all_mistakes_come_at_once_sorted_by_file_and_line(job: Path, write: Write) -> None:
    broken = {
        "kommandir_vars.yml": "cleanup: 5\nadept_debug: 6\n",
        "setup.yml": "a: b\n",
        "run.yml": "- [\n",
        "inventory/peons": "[peons]\none x\n",
    }
    write(job, broken)
    places = [mistake.place for mistake in validate(job, workspace=None, extra={})]
    files = [place.removeprefix(f"{job}/").split(":")[0] for place in places]
    assert files == ["inventory/peons", "kommandir_vars.yml", "kommandir_vars.yml", "run.yml", "setup.yml"]


def test_no_job_a_file_and_an_empty_folder(tmp_path: Path, in_tmp: Path) -> None:
    assert "there is no job" in found(tmp_path / "nowhere")[0]
    file = tmp_path / "file"
    file.write_text("")
    assert "is a file, not a folder" in found(file)[0]
    (tmp_path / "empty").mkdir()
    assert "holds nothing of a job" in found(tmp_path / "empty")[0]


def test_what_can_not_be_read_is_a_mistake(job: Path) -> None:
    (job / "kommandir_vars.yml").write_bytes(b"\xff")
    (job / "run.yml").symlink_to("nowhere")
    (job / "cleanup.yml").mkdir()
    (job / "setup.yml").write_bytes(b"- \xff\n")
    told = "\n".join(found(job))
    assert "kommandir_vars.yml: not UTF-8 text" in told
    assert "setup.yml: not UTF-8 text" in told
    assert "run.yml: leads nowhere: there is no nowhere" in told


def test_the_keywords_of_a_play_are_those_of_ansible() -> None:
    from ansible.playbook.play import Play

    attributes = {name for name, field in Play.fattributes.items() if not name.startswith("_")}
    newer_or_older = {"validate_argspec", "user"}
    assert attributes <= playbooks.PLAY <= attributes | newer_or_older


def test_validation_imports_neither_ansible_nor_the_engine(job: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from exekutir.variables.validation import validate\n"
        "assert validate(Path(sys.argv[1]), workspace=None, extra={}) == []\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & {'ansible', 'ansible_runner', 'narval_engine'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(job)], capture_output=True, text=True, env=dict(os.environ))
    assert (ran.stdout.strip(), ran.stderr) == ("", "")
