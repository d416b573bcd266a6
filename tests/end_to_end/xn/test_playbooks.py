"""Playbooks of ``job.xn`` through the real Ansible: what they get, what is told of them, whose fault a failure is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kommandir import content
from kommandir.errors import ExitCode
from kommandir.mistakes import MistakesError

from .conftest import Job

LOCAL = "- hosts: localhost\n  gather_facts: false\n"


def tasks(*lines: str) -> str:
    return f"{LOCAL}  tasks:\n" + "".join(f"    {line}\n" for line in lines)


def shows(**values: str) -> str:
    """A playbook that writes what variables and lookups give, as JSON, beside itself."""
    pairs = ", ".join(f"'{name}': {expression}" for name, expression in values.items())
    copied = f'- ansible.builtin.copy: {{dest: shown, mode: "0600", content: "{{{{ {{{pairs}}} | to_json }}}}"}}'
    return tasks(copied)


def shown(job: Job, name: str = "shown") -> dict[str, Any]:
    found = json.loads(job.read(name))
    assert isinstance(found, dict)
    return found


def test_a_playbook_gets_our_variables_and_runs_in_its_own_directory(job: Job) -> None:
    job.write("ansible.cfg", "[defaults]\n")
    job.write("deep/er/play.yml", shows(
        workspace="workspace", context="adept_context", path="adept_path", optional="adept_optional | default('none')",
        config="lookup('env', 'ANSIBLE_CONFIG')", mine="lookup('env', 'MINE')",
        cwd="lookup('pipe', 'pwd')", marked="lookup('env', 'EXEKUTIR_JOB')",
        checking="lookup('config', 'HOST_KEY_CHECKING')", retry="lookup('env', 'ANSIBLE_HOST_KEY_CHECKING')",
    ))  # fmt: skip
    result = job.run(
        "- variable: {name: MINE, value: my own}\n"
        "- playbook: {filepath: '${WORKSPACE}/deep/er/play.yml', inventory: $WORKSPACE/inventory}"
    )
    assert result.exit_code == 0, result
    found = shown(job, "deep/er/shown")
    assert found["workspace"] == str(job.workspace)
    assert (found["context"], found["path"], found["optional"]) == ("run", str(content.root()), "none")
    assert (found["config"], found["mine"]) == (str(job.workspace / "ansible.cfg"), "my own")
    assert (found["cwd"], found["marked"]) == (str(job.workspace / "deep/er"), job.uuid)
    assert found["checking"] is True
    assert found["retry"] == ""


def test_later_variables_win_and_those_of_the_command_line_over_all(job: Job) -> None:
    job.write("vars.yml", "a: file\nb: file\nc: file\nworkspace: no\n")
    job.write("extra.yml", "c: extra\n")
    job.write("play.yml", shows(a="a", b="b", c="c", workspace="workspace", optional="adept_optional"))
    result = job.run(
        "- playbook: {filepath: play.yml, inventory: inventory, varsfile: vars.yml}",
        optional=("-e", "b=argument", "-e", "c=argument"),
        extra_vars=job.workspace / "extra.yml",
    )
    assert result.exit_code == 0, result
    assert shown(job) == {
        "a": "file", "b": "argument", "c": "extra", "workspace": str(job.workspace),
        "optional": "-e b=argument -e c=argument",
    }  # fmt: skip


def test_a_varsfile_that_is_not_there_is_passed_over(job: Job) -> None:
    job.write("play.yml", tasks("- ansible.builtin.debug: {msg: hi}"))
    assert job.run("- playbook: {filepath: play.yml, inventory: inventory, varsfile: nope.yml}").exit_code == 0


def test_limit_tags_config_and_the_configuration_that_a_variable_names(job: Job) -> None:
    job.write("inventory", job.read("inventory") + "other ansible_connection=local\n")
    job.write("one.cfg", "[defaults]\nnocows = True\n")
    job.write(
        "play.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: \"{{ lookup('env', 'ANSIBLE_CONFIG') }}\"}\n      tags: [yes-it-is]\n"
        "    - ansible.builtin.debug: {msg: never}\n      tags: [yes-it-is, not-it]\n"
        "    - ansible.builtin.debug: {msg: untagged}\n",
    )
    keys = "filepath: play.yml, inventory: inventory, limit: localhost, tags: yes-it-is, skip_tags: not-it"
    assert job.run(f"- playbook: {{{keys}, config: one.cfg}}").exit_code == 0
    assert [(item["host"], item["message"]) for item in job.of("task_result")] == [
        ("localhost", str(job.workspace / "one.cfg"))
    ]
    assert job.run(
        f"- variable: {{name: ANSIBLE_CONFIG, value: $WORKSPACE/one.cfg}}\n- playbook: {{{keys}}}", limit="other"
    ).exit_code == 0  # fmt: skip
    assert [(item["host"], item["message"]) for item in job.of("task_result")] == [
        ("other", str(job.workspace / "one.cfg"))
    ]


def test_output_goes_into_files_and_the_exit_code_too(job: Job) -> None:
    result = job.play(
        tasks("- ansible.builtin.debug: {msg: said}", "- ansible.builtin.fail: {msg: on purpose}"),
        "inventory: inventory, stdoutfile: out, stderrfile: err, exitfile: code",
    )
    assert (result.exit_code, job.read("code")) == (0, "2")
    assert '"msg": "said"' in job.read("out")
    assert "PLAY RECAP" in job.read("out")
    assert [item["outcome"] for item in job.of("step_finished")] == ["swallowed"]


def test_every_result_is_told_with_its_real_reason(job: Job) -> None:
    result = job.play(
        tasks(
            "- name: Good\n      ansible.builtin.debug: {msg: hi}",
            "- name: Changed\n      ansible.builtin.command: echo said",
            "- name: Skipped\n      ansible.builtin.debug: {msg: hi}\n      when: false",
            "- name: Ignored\n      ansible.builtin.command: ls /nope\n      ignore_errors: true",
            "- block:\n        - name: Rescued\n          ansible.builtin.fail: {msg: to be rescued}\n"
            "      rescue:\n        - name: Rescue\n          ansible.builtin.debug: {msg: rescue}\n"
            "      always:\n        - name: Always\n          ansible.builtin.debug: {msg: always}",
            "- name: Loop\n      ansible.builtin.command: ls {{ item }}\n      loop: [/, /nope1, /nope2]\n"
            "      ignore_errors: true",
            "- name: Hidden\n      ansible.builtin.command: ls /secret\n      no_log: true\n      ignore_errors: true",
            "- name: Assertion\n      ansible.builtin.assert: {that: [1 == 2], fail_msg: one is not two}\n"
            "      ignore_errors: true",
            "- name: Last\n      ansible.builtin.shell: echo out; echo err >&2; exit 3",
        )
    )
    assert (result.exit_code, result.outcome) == (2, ExitCode.TESTS_FAILED)
    assert job.results() == [
        ("Good", "ok"), ("Changed", "changed"), ("Skipped", "skipped"), ("Ignored", "ignored"), ("Rescued", "rescued"),
        ("Rescue", "ok"), ("Always", "ok"), ("Loop", "ignored"), ("Hidden", "ignored"), ("Assertion", "ignored"),
        ("Last", "failed"),
    ]  # fmt: skip
    told = {item["task"]: item for item in job.of("task_result")}
    assert told["Good"]["message"] == "hi"
    assert told["Changed"]["stdout"] == "said"
    assert told["Ignored"]["message"].startswith("exit code 2\nls: cannot access '/nope'")
    assert told["Rescued"]["message"] == "to be rescued"
    assert "item /nope1: exit code 2" in told["Loop"]["message"]
    assert "item /nope2: ls: cannot access '/nope2'" in told["Loop"]["message"]
    assert (told["Hidden"]["message"], told["Hidden"]["stderr"]) == ("the output is hidden by no_log", "")
    assert told["Assertion"]["message"] == "one is not two\nassertion: 1 == 2"
    assert told["Last"]["path"] == "play.yml:34"
    assert told["Last"]["seconds"] > 0
    (failure,) = result.failures
    assert (failure.host, failure.task, failure.message) == ("localhost", "Last", "exit code 3\nerr")
    assert failure.log == "results/logs/run-stdin-01-playbook.log"
    assert "/secret" not in json.dumps(job.of("task_result"))
    assert [item["play"] for item in job.of("play_started")] == ["localhost"]
    assert job.of("task_started")[0]["task"] == "Good"


def test_a_rescue_far_away_counts_and_one_beside_does_not(job: Job) -> None:
    job.write("included.yml", "- name: Far\n  ansible.builtin.fail: {msg: far}\n")
    job.write("roles/own/tasks/main.yml", "- name: In role\n  ansible.builtin.fail: {msg: role}\n")
    result = job.play(
        tasks(
            "- block:\n        - ansible.builtin.include_tasks: included.yml\n"
            "      rescue:\n        - block:\n            - ansible.builtin.include_role: {name: own}\n"
            "          rescue:\n            - name: In rescue\n              ansible.builtin.fail: {msg: not rescued}\n"
            "          always:\n            - name: In always\n              ansible.builtin.debug: {msg: always}",
        ),
        context="setup",
    )
    outcomes = [pair for pair in job.results() if not pair[0].startswith("ansible.builtin.include")]
    assert outcomes == [
        ("Far", "rescued"), ("In role", "rescued"), ("In rescue", "failed"), ("In always", "ok")
    ]  # fmt: skip
    assert [failure.task for failure in result.failures] == ["In rescue"]
    assert result.outcome == ExitCode.JOB_FAILED


def test_one_host_that_fails_does_not_stop_the_others(job: Job) -> None:
    job.write("inventory", "".join(f"{name} {job.read('inventory').partition(' ')[2]}" for name in ("a", "b", "c")))
    result = job.play(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.fail: {msg: only b}\n      when: inventory_hostname == 'b'\n"
        "    - name: After\n      ansible.builtin.debug: {msg: after}\n"
    )
    assert sorted(item["host"] for item in job.of("task_result") if item["task"] == "After") == ["a", "c"]
    assert [failure.host for failure in result.failures] == ["b"]


FAR = "far ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh\n"


@pytest.mark.parametrize(
    ("role", "inventory", "context", "code"),
    [
        (None, FAR, "run", ExitCode.UNREACHABLE),
        ("peon_created", "", "setup", ExitCode.PROVISIONING_FAILED),
        ("mine", "", "setup", ExitCode.JOB_FAILED),
        ("mine", "", "run", ExitCode.TESTS_FAILED),
        ("mine", FAR, "run", ExitCode.UNREACHABLE),
    ],
)
def test_whose_fault_it_was(job: Job, role: str | None, inventory: str, context: str, code: ExitCode) -> None:
    job.write("inventory", (job.read("inventory") if role else "") + inventory)
    if role:
        job.write(f"roles/{role}/tasks/main.yml", "- name: Fail\n  ansible.builtin.command: 'false'\n")
    roles = f"  roles: [{role}]\n" if role else "  tasks: [{ansible.builtin.command: ls}]\n"
    result = job.play(f"- hosts: all\n  gather_facts: false\n{roles}", context=context)
    assert result.outcome == code
    assert result.exit_code in (2, 4)
    assert [failure.role for failure in result.failures if failure.host == "localhost"] == ([role] if role else [])
    if inventory:
        far = next(item for item in job.of("task_result") if item["host"] == "far")
        assert far["outcome"] == "unreachable"
        assert "Connection refused" in far["message"]


def test_an_unreachable_host_may_be_ignored(job: Job) -> None:
    job.write("inventory", FAR)
    result = job.play(
        "- hosts: all\n  gather_facts: false\n  ignore_unreachable: true\n"
        "  tasks: [{name: Call, ansible.builtin.command: ls}]\n"
    )
    assert result.exit_code == 0
    assert job.results() == [("Call", "ignored")]


@pytest.mark.parametrize(
    ("playbook", "why"),
    [
        ("- hosts: localhost\n  tasks:\n    - debug: {msg: hi\n", "play.yml:4:1"),
        ("- hosts: localhost\n  gather_facst: false\n", "'gather_facst' is not a valid attribute"),
        (LOCAL + "  tasks:\n    - nosuch.collection.at_all: {}\n", "play.yml:4:7"),
        (LOCAL + "  roles: [nosuch]\n", "the role 'nosuch' was not found"),
        ("- nonsense\n", "playbook entries must be either valid plays"),
        ("", "Empty playbook"),
    ],
)
def test_a_broken_playbook_is_the_users_mistake_with_its_place(job: Job, playbook: str, why: str) -> None:
    result = job.play(playbook)
    assert result.outcome == ExitCode.USAGE
    assert why in result.failures[0].message
    assert result.failures[0].log == "results/logs/run-stdin-01-playbook.log"


@pytest.mark.parametrize(
    ("keys", "more", "why"),
    [
        ("filepath: nope.yml", {}, "there is no playbook"),
        ("filepath: play.yml, inventory: inventory, limit: nobody", {}, "leaves us with no hosts to target"),
        (
            "filepath: play.yml, inventory: inventory",
            {"optional": ("--nonsense",)},
            "arguments: --nonsense",
        ),
        ("filepath: play.yml, config: nope.cfg", {}, "nope.cfg"),
    ],
)
def test_what_ansible_cannot_start_with_is_the_users_mistake(
    job: Job, keys: str, more: dict[str, Any], why: str
) -> None:
    job.write("play.yml", tasks("- ansible.builtin.debug: {msg: hi}"))
    result = job.run(f"- playbook: {{{keys}}}", **more)
    assert result.outcome == ExitCode.USAGE
    assert why in result.failures[0].message


def test_an_ansible_that_is_not_there_or_is_killed_is_the_kommandirs_failure(job: Job) -> None:
    job.write("play.yml", tasks("- ansible.builtin.debug: {msg: hi}"))
    text = "- variable: {{name: ANSIBLE_PLAYBOOK, value: {}}}\n- playbook: {{filepath: play.yml}}"
    missing = job.run(text.format("/no/such/ansible-playbook"))
    assert missing.outcome == ExitCode.KOMMANDIR_FAILED
    assert "/no/such/ansible-playbook" in missing.failures[0].message
    job.write("suicide", "#!/bin/sh\nkill -9 $$\n").chmod(0o755)
    killed = job.run(text.format(job.workspace / "suicide"))
    assert (killed.outcome, killed.exit_code) == (ExitCode.KOMMANDIR_FAILED, 137)
    assert "killed by signal 9" in killed.failures[0].message


def test_the_ansible_of_our_own_interpreter_is_used(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.write("path/ansible-playbook", "#!/bin/sh\nexit 99\n").chmod(0o755)
    monkeypatch.setenv("PATH", str(job.workspace / "path"), prepend=":")
    assert job.play(tasks("- ansible.builtin.debug: {msg: hi}")).exit_code == 0


def test_a_workspace_may_have_any_name(tmp_path: Path) -> None:
    job = Job(tmp_path / "it's a wörkspace")
    job.write("ansible.cfg", "[defaults]\n")
    job.write("play.yml", shows(workspace="workspace", config="lookup('env', 'ANSIBLE_CONFIG')"))
    result = job.run(
        "- command: {filepath: /usr/bin/touch, arguments: '\"$WORKSPACE/one file\"'}\n"
        "- playbook: {filepath: $WORKSPACE/play.yml, inventory: $WORKSPACE/inventory, exitfile: $WORKSPACE/code}"
    )
    assert result.exit_code == 0, result
    assert shown(job) == {"workspace": str(job.workspace), "config": str(job.workspace / "ansible.cfg")}
    assert (job.workspace / "one file").exists()
    assert job.read("code") == "0"


@pytest.mark.parametrize(
    "kind",
    [
        "command: {filepath: /bin/sh, arguments: -c 'echo x; sleep 200'",
        "playbook: {filepath: play.yml, inventory: inventory",
    ],
)
def test_a_full_disk_under_an_output_file_is_the_kommandirs_failure(job: Job, kind: str) -> None:
    job.write("play.yml", tasks("- ansible.builtin.pause: {seconds: 200}"))
    result = job.run(f"- {kind}, stdoutfile: /dev/full}}\n- command: {{filepath: /bin/true}}")
    assert result.outcome == ExitCode.KOMMANDIR_FAILED
    assert "the output can't be written to /dev/full: No space left on device" in result.failures[0].message
    assert len(job.of("step_started")) == 1


CALLBACK = """
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = "{name: own, type: notification, short_description: x, description: [x], options: {}}"


class CallbackModule(CallbackBase):
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "own"

    def v2_playbook_on_stats(self, stats):
        open("own-was-here", "w").close()
"""


def test_callbacks_of_the_job_are_called(job: Job) -> None:
    job.write("plugins/own.py", CALLBACK)
    job.write("ansible.cfg", "[defaults]\ncallback_plugins = nowhere:plugins ; a comment\n")
    result = job.play(tasks("- ansible.builtin.debug: {msg: hi}"))
    assert result.exit_code == 0, result
    assert (job.workspace / "own-was-here").exists()


def test_a_prompt_waits_for_nobody(job: Job) -> None:
    result = job.play(
        "- hosts: localhost\n  gather_facts: false\n  vars_prompt: [{name: answer, prompt: Say, default: nothing}]\n"
        "  tasks:\n    - ansible.builtin.pause: {prompt: Wait}\n    - ansible.builtin.debug: {msg: '{{ answer }}'}\n",
        timeout=120,
    )
    assert result.exit_code == 0, result
    assert job.of("task_result")[-1]["message"] == "nothing"


def test_nothing_but_the_log_and_the_events_is_kept(job: Job) -> None:
    job.play(tasks("- ansible.builtin.debug: {msg: hi}"))
    kept = {str(path.relative_to(job.workspace)) for path in job.workspace.rglob("*") if path.is_file()}
    assert kept == {
        "inventory", "kommandir_vars.yml", "play.yml", "events.jsonl", "results/logs/run-stdin-01-playbook.log"
    }  # fmt: skip
    assert (job.workspace / "private").stat().st_mode & 0o777 == 0o700


def test_what_a_killed_run_left_is_removed_at_the_next_start(job: Job) -> None:
    left: Path = job.workspace / "private" / "ansible-left"
    left.mkdir(parents=True)
    (left / "command").write_text("secret")
    with pytest.raises(MistakesError):
        job.run("- broken")
    assert not left.exists()
