"""Secrets are seen nowhere: not on a command line, not in a log, an event or a file that stays."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kommandir import process
from kommandir.environment import JOB_TAG

from .conftest import Job

SECRET = "correct-horse-battery"


def command_lines(uuid: str) -> str:
    """Those of all processes of the job, at this moment."""
    found = []
    for pid in process.tagged(JOB_TAG, uuid):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_secrets_of_variables_and_files_are_seen_nowhere(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEKUTIR_TEST_CLOUD", SECRET)
    extra = job.write("private/extra.yml", f"api_token: {SECRET}-extra\n")
    varsfile = job.write("vars.yml", f"database: {{db_password: {SECRET}-file}}\n")
    play = job.write(
        "play.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: '{{ database.db_password }} {{ api_token }}'}\n"
        "    - ansible.builtin.shell: 'echo $OS_PASSWORD; sleep 1; exit 4'\n",
    )
    seen = []
    job_uuid = job.uuid

    def look(_event: object) -> None:
        seen.append(command_lines(job_uuid))

    result = job.run(
        "- variable: {name: OS_PASSWORD, from_env: EXEKUTIR_TEST_CLOUD}\n"
        "- command: {filepath: /bin/sh, arguments: '-c \"echo it is \\$OS_PASSWORD\"'}\n"
        "- playbook: {filepath: play.yml, inventory: inventory, varsfile: vars.yml, stdoutfile: out}",
        extra_vars=extra,
        on_event=look,
    )
    assert result.exit_code == 2
    for source in (extra, varsfile, play):
        source.unlink()
    assert "ansible-playbook" in "\n".join(seen)
    assert SECRET not in "\n".join(seen)
    assert SECRET not in job.everything_written()
    assert "[redacted]" in job.everything_written()
    assert SECRET not in str(result)
    assert SECRET not in str(job.told)


def test_the_command_line_of_ansible_has_files_only(job: Job) -> None:
    job.write("play.yml", "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.pause: {seconds: 30}}]\n")
    job.write("job.xn", "- playbook: {filepath: play.yml, inventory: inventory}")
    running = job.start("run", "job.xn", "--diff")
    found = ""
    for _ in range(600):
        found = next((line for line in command_lines(job.uuid).splitlines() if "ansible-playbook" in line), "")
        if found:
            break
        time.sleep(0.05)
    running.terminate()
    running.communicate(timeout=60)
    words = found.split("\0")
    assert words[words.index("--extra-vars") + 1].startswith(f"@{job.workspace}/private/")
    assert "--diff" in words


def test_a_vault_is_opened_by_the_file_that_the_environment_names(job: Job) -> None:
    job.write("password", SECRET).chmod(0o600)
    vault = Path(sys.executable).parent / "ansible-vault"
    told = [
        str(vault),
        "encrypt_string",
        "--vault-password-file",
        str(job.workspace / "password"),
        "inner",
        "--name",
        "x",
    ]
    encrypted = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    job.write("vars.yml", encrypted)
    job.write(
        "play.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.assert: {that: [x | length == 5]}\n",
    )
    result = job.run(
        "- variable: {name: ANSIBLE_VAULT_PASSWORD_FILE, value: $WORKSPACE/password}\n"
        "- playbook: {filepath: play.yml, inventory: inventory, varsfile: vars.yml}"
    )
    (job.workspace / "password").unlink()
    assert result.exit_code == 0, result
    assert SECRET not in job.everything_written()
