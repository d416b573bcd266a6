from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exekutir.variables import explanation, kommandir_variables
from exekutir.variables.explanation import Explanation
from kommandir import yamlfile
from kommandir.errors import UsageError
from tests.unit.variables.conftest import Write

JOB = {
    "inventory/peons": '[peons]\none peon_groups=\'["namespace", "web"]\'\ntwo\n[peons:vars]\npeon_memory=100\n',
    "inventory/group_vars/peons.yml": "peon_memory: 200\npeon_groups: [namespace]\nmine: peons\n",
    "inventory/group_vars/web/a.yml": "peon_memory: 300\nmine: web\n",
    "inventory/host_vars/two.yml": "peon_memory: 400\n",
    "kommandir_vars.yml": "# comment\nmine: kommandir_vars\npeon_preservation: 4\ntoken: hunter2\n",
    "setup.yml": "- hosts: all\n",
    "roles/tested/defaults/main.yml": "mine: role\nof_role: '{{ mine }} role'\n",
}


@pytest.fixture
def job(tmp_path: Path, write: Write) -> Path:
    return write(tmp_path / "job", JOB)


def explain(
    name: str, job: Path | None, host: str | None = None, extra: Mapping[str, Any] | None = None, **more: Any
) -> Explanation:
    workspace = more.pop("workspace", None)
    return explanation.explain(name, workspace=workspace, job=job, extra=extra or {}, host=host, **more)


def places(explained: Explanation, below: Path) -> list[str]:
    return [
        source.place.removeprefix(f"{below}/") for source in explained.sources if source.place.startswith(str(below))
    ]


def test_every_place_is_told_with_its_line_the_winner_first(job: Path) -> None:
    explained = explain("peon_memory", job, "one")
    assert explained.value == 300
    assert places(explained, job) == [
        "inventory/group_vars/web/a.yml:1",
        "inventory/group_vars/peons.yml:1",
        "inventory/peons:5",
    ]
    assert explain("peon_memory", job, "two").value == 400


def test_the_files_of_the_job_and_the_exekutir_outrank_the_inventory(job: Path, tmp_path: Path, write: Write) -> None:
    workspace = write(tmp_path / "workspace", {"exekutir_vars.yml": f"job_path: {job}\n\nmine: exekutir_vars\n"})
    explained = explain("mine", None, "one", {"mine": "extra"}, workspace=workspace)
    levels = [source.level for source in explained.sources]
    assert levels == [
        "-e",
        "exekutir_vars.yml",
        "kommandir_vars.yml",
        "group_vars/web",
        "group_vars/peons",
        "role defaults",
    ]
    assert explained.sources[1].place == f"{workspace}/exekutir_vars.yml:3"
    assert explained.value == "extra"


def test_without_a_host_what_holds_for_some_only_does_not_count(job: Path) -> None:
    explained = explain("peon_memory", job)
    assert explained.value is None
    reasons = {source.passed_over for source in explained.sources}
    assert "it holds on host two alone" in reasons
    assert "it holds in group web alone" in reasons
    assert explain("mine", job).value == "kommandir_vars"


def test_what_does_not_pass_is_shown_and_does_not_count(job: Path, tmp_path: Path, write: Write) -> None:
    workspace = write(
        tmp_path / "workspace", {"exekutir_vars.yml": f"job_path: {job}\ncloud_asserts: [false]\nmine:\n"}
    )
    explained = explain("cloud_asserts", None, "one", workspace=workspace)
    assert explained.value == []
    assert explained.sources[-1].passed_over == "it does not pass from the exekutir to the kommandir"
    assert explain("cloud_asserts", None, "exekutir", workspace=workspace).value == [False]
    assert explain("mine", None, "one", workspace=workspace).value == "kommandir_vars"


def test_a_known_variable_that_nothing_sets_has_its_default_and_meaning(job: Path) -> None:
    explained = explain("lock_timeout", job)
    assert explained.value is None
    assert explained.sources == ()
    assert "How long to wait for a lock" in "\n".join(explained.lines())
    assert explain("kommandir_groups", job).value == ["nocloud"]


@pytest.mark.parametrize("name", ["token", "mine", "all_of_it"])
def test_secrets_are_never_shown(job: Path, name: str) -> None:
    with (job / "kommandir_vars.yml").open("a") as file:
        file.write("all_of_it: {password: swordfish, plain: has hunter2 inside, deep: [{api_key: abcd1234}]}\n")
        file.write("vaulted: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61626364\n")
    for shown in (explain(name, job), explain("vaulted", job)):
        told = "\n".join(shown.lines()) + repr(shown)
        assert not [secret for secret in ("hunter2", "swordfish", "abcd1234", "61626364") if secret in told]
    assert explain("vaulted", job).value == "[redacted]"
    assert "plain: has [redacted] inside" in "\n".join(explain("all_of_it", job).lines())


@pytest.mark.parametrize(
    ("name", "host", "message"),
    [
        ("min", None, "nothing sets or knows a variable `min`, did you mean `mine`?"),
        ("cleanupp", None, "did you mean `cleanup`?"),
        ("mine", "onne", "there is no host `onne` in the inventory, did you mean `one`?"),
    ],
)
def test_unknown_names_get_a_hint(job: Path, name: str, host: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        explain(name, job, host)
    assert message in str(caught.value)


def test_a_job_that_is_not_there_and_broken_files_are_users_mistakes(job: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no job"):
        explain("mine", tmp_path / "nowhere")
    (job / "inventory/group_vars/web/a.yml").write_text("a: [\n")
    with pytest.raises(UsageError, match=r"a\.yml:2"):
        explain("mine", job, "one")


# -- the same as Ansible, through a play as jobs have it


def laid(job: Path, folder: Path, extra: Mapping[str, Any], write: Write) -> Path:
    """A workspace as ``setup`` lays it, from the job alone."""
    target = folder / "kommandir_workspace"
    write(target, {way: (job / way).read_text() for way in JOB})
    own = yamlfile.mapping(job / "kommandir_vars.yml").value
    user = yamlfile.mapping(folder / "exekutir_vars.yml").value
    (target / "kommandir_vars.yml").write_text(yamlfile.dump(kommandir_variables(own, user, extra)))
    return target


PLAY = """\
- hosts: peons
  gather_facts: false
  vars_files: [kommandir_vars.yml]
  tasks:
    - ansible.builtin.group_by: {key: "{{ item }}"}
      loop: "{{ peon_groups }}"
    - ansible.builtin.copy:
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
        content: "{{ dict(names | zip(names | map('extract', vars))) }}"
        mode: "0644"
      delegate_to: localhost
      vars:
        ansible_connection: local
        names: [mine, peon_memory, peon_preservation, cleanup]
"""


def test_a_play_of_the_job_sees_what_is_explained(job: Path, tmp_path: Path, write: Write) -> None:
    extra = {"cleanup": False}
    text = f"job_path: {job}\npeon_preservation: 7\ncloud_timeout: 3\n"
    workspace = write(tmp_path / "workspace", {"exekutir_vars.yml": text})
    target = laid(job, workspace, extra, write)
    (target / "play.yml").write_text(PLAY)
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory", "play.yml", "-e", json.dumps(extra)]
    python = {"ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "0"}
    ran = subprocess.run(command, cwd=target, env={**os.environ, **python}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for host in ("one", "two"):
        seen = json.loads((target / f"{host}.json").read_text())
        for name, value in seen.items():
            assert explain(name, None, host, extra, workspace=workspace).value == value, (host, name)


def test_what_was_changed_after_setup_does_not_count_until_the_next(job: Path, tmp_path: Path, write: Write) -> None:
    workspace = write(tmp_path / "workspace", {"exekutir_vars.yml": f"job_path: {job}\npeon_preservation: 7\n"})
    target = laid(job, workspace, {}, write)
    (job / "kommandir_vars.yml").write_text("mine: changed\nfresh: 1\npeon_preservation: 9\n")
    explained = explain("mine", None, "one", workspace=workspace)
    assert explained.value == "kommandir_vars"
    assert explained.sources[0].place.startswith(f"{target}/kommandir_vars.yml:")
    assert explained.sources[-1].passed_over == "the last setup was before it"
    assert explain("fresh", None, "one", workspace=workspace).value is None
    explained = explain("peon_preservation", None, "one", workspace=workspace)
    assert (explained.value, explained.sources[0].level) == (7, "exekutir_vars.yml")


def test_templates_are_evaluated_on_request(job: Path, tmp_path: Path, write: Write) -> None:
    with (job / "kommandir_vars.yml").open("a") as file:
        file.write("greeting: 'hello {{ inventory_hostname }} of {{ peon_memory }}'\nbroken: '{{ nowhere.at.all }}'\n")
    workspace = write(tmp_path / "workspace", {"exekutir_vars.yml": f"job_path: {job}\n"})
    laid(job, workspace, {}, write)
    explained = explain("greeting", None, "one", workspace=workspace, render=True)
    assert explained.value == "hello {{ inventory_hostname }} of {{ peon_memory }}"
    assert explained.rendered == "hello one of 300"
    assert "evaluates to: hello one of 300" in "\n".join(explained.lines())
    assert "nowhere" in explain("broken", None, "one", workspace=workspace, render=True).rendered
    assert explain("greeting", job, "one", render=True).not_rendered == "the job is not set up yet"
