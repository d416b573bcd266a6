"""Everything of a job works by hand: `ansible-playbook` in a workspace, on real peons."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from kommandir import content, process, provisioning
from tests.patience import until

from .conftest import BIN, HAND_TAG, Hand

CONTEXTS = ("setup", "run", "cleanup")


def failures(junit: str) -> dict[str, int]:
    suites = ElementTree.fromstring(junit)
    return {case.get("name") or "": len(case) for case in suites.iter("testcase")}


def test_the_job_quickstart_goes_through_all_contexts(lay: Any) -> None:
    hand: Hand = lay(content.jobs() / "quickstart")
    for context in CONTEXTS:
        hand.play(f"{context}.yml", "-e", f"adept_context={context}")
    for peon in ("alpha", "beta"):
        assert sum(failures(hand.result(peon, "junit.xml")).values()) == 0
        assert len(failures(hand.result(peon, "junit.xml"))) == 5
        assert f"The peon {peon} did well in the context run of the job quickstart" in hand.result(peon)
        assert json.loads(hand.result(peon, "facts.json"))["hostname"] == peon
        assert yaml.safe_load(hand.result(peon, "destruction_result.yml"))["outcome"] == "good"
    assert set(hand.states().values()) == {"destroyed"}


def test_the_job_broken_fails_on_one_peon_and_tests_the_others_to_the_end(lay: Any) -> None:
    hand: Hand = lay(content.jobs() / "broken")
    hand.play("setup.yml", "-e", "adept_context=setup")
    hand.play("run.yml", "-e", "adept_context=run", code=2)
    bad = hand.result("bad")
    assert "role:    unittests_run" in bad
    assert "(roles/unittests_run/tasks/main.yml:" in bad
    assert "test_it_is_friendly: failure: 'go away' != 'good day'" in bad
    assert failures(hand.result("bad", "junit.xml")) == {"test_it_is_friendly": 1, "test_it_is_one_line": 0}
    for peon in ("good", "fine"):
        assert "did well" in hand.result(peon)
        assert sum(failures(hand.result(peon, "junit.xml")).values()) == 0


def test_the_job_ci_checks_its_variables_without_any_peon(lay: Any) -> None:
    hand: Hand = lay(content.jobs() / "ci")
    for context in CONTEXTS:
        output = hand.play("check_variables.yml", "-e", f"adept_context={context}", "-e", "adept_debug=true")
        assert f'"adept_context": "{context}"' in output
        assert (hand.place / f"results/checked_in_{context}.txt").exists()
    hand.play("check_variables.yml", "-e", "adept_context=sutep", code=2)
    assert hand.states() == {}


def test_a_job_without_peons_needs_nothing_of_its_own(lay: Any, job: Path) -> None:
    hand: Hand = lay(job)
    for context in CONTEXTS:
        hand.play(f"{context}.yml")
    assert hand.states() == {}


def peons(job: Path, *names: str, **variables: Any) -> None:
    (job / "inventory/peons").write_text("[peons]\n" + "\n".join(names) + "\n")
    if variables:
        (job / "inventory/group_vars").mkdir(exist_ok=True)
        (job / "inventory/group_vars/namespace.yml").write_text(yaml.safe_dump(variables))


def test_playbooks_work_from_their_own_folder_too_and_repeatedly(lay: Any, job: Path) -> None:
    peons(job, "one")
    hand: Hand = lay(job)
    hand.play("-i", "inventory", "playbooks/peon_creation.yml")
    first = hand.host_vars("one")
    hand.play("-i", "inventory", "playbooks/setup.yml")
    assert hand.host_vars("one")["ssh_host_key"] == first["ssh_host_key"]
    hand.play("-i", "inventory", "playbooks/run.yml")
    hand.play("-i", "inventory", "playbooks/cleanup.yml")
    hand.play("-i", "inventory", "playbooks/cleanup.yml")
    assert hand.states() == {"one": "destroyed"}


def test_one_peon_that_cant_be_created_stops_no_other(lay: Any, job: Path) -> None:
    peons(job, "one", "two", "three")
    (job / "inventory/host_vars").mkdir()
    bad = {"cloud_provisioning_command": {"command": "echo no quota >&2; exit 3"}}
    (job / "inventory/host_vars/two.yml").write_text(yaml.safe_dump(bad))
    hand: Hand = lay(job)
    output = hand.play("setup.yml", "-e", "adept_context=setup", code=2)
    assert "its provisioning command failed: exit code 3" in output
    result = hand.result("two")
    assert "role:    peon_created" in result
    assert "stderr: no quota" in result
    assert "results/two/creation_result.yml" in result
    assert hand.states() == {"one": "up", "two": "failed", "three": "up"}
    assert (hand.place / "results/three/facts.json").exists()


def test_a_peon_that_never_answers_is_unreachable_and_says_why(lay: Any, job: Path) -> None:
    peons(job, "one", "two wait_for_timeout=2")
    (job / "inventory/host_vars").mkdir()
    dead = {"cloud_provisioning_command": {"command": "echo 'ansible_host: 127.0.0.1'; echo 'ansible_port: 9'"}}
    (job / "inventory/host_vars/two.yml").write_text(yaml.safe_dump(dead))
    hand: Hand = lay(job)
    output = hand.play("setup.yml", "-e", "adept_context=setup", code=4)
    assert "did not answer within 2 s" in output
    assert "unreachable=1" in output
    assert "role:    peon_up" in hand.result("two")
    assert "Connection refused" in hand.result("two")
    assert hand.states() == {"one": "up", "two": "created"}


def test_a_peon_with_another_host_key_is_not_talked_to(lay: Any, job: Path) -> None:
    peons(job, "one wait_for_timeout=2")
    hand: Hand = lay(job)
    hand.play("peon_creation.yml")
    known = hand.place / "ssh/known_hosts"
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIHUBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
    known.write_text(" ".join([*known.read_text().split()[:2], other]) + "\n")
    # The connection of the play before may still be open, and is not checked anew.
    output = hand.play("run.yml", "-e", "ansible_control_path=none", code=4)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in output


def test_a_peon_without_a_provider_is_a_mistake_with_a_hint(lay: Any, job: Path) -> None:
    peons(job, "one peon_groups=[]")
    output = lay(job).play("setup.yml", code=2)
    assert "no group of it defines cloud_provisioning_command" in output
    assert "peon_groups: [namespace]" in output


def test_cloud_asserts_hold_before_anything_starts(lay: Any, job: Path) -> None:
    command = {"command": "touch started; echo a{{ cloud_account }}"}
    asserts = ["uuid | length > 0", "cloud_account is defined"]
    peons(job, "one", cloud_provisioning_command=command, cloud_asserts=asserts)
    hand: Hand = lay(job)
    output = hand.play("setup.yml", code=2)
    assert "cloud_asserts: this does not hold: cloud_account is defined" in output
    assert not (hand.place / "started").exists()
    assert hand.states() == {}


def test_a_peon_comes_back_the_same_after_a_reboot(lay: Any, job: Path) -> None:
    peons(job, "one")
    (job / "reboot.yml").write_text(
        """
- hosts: peons
  gather_facts: false
  vars_files: [kommandir_vars.yml]
  roles: [common]
  tasks:
    - ansible.builtin.copy: {dest: /root/kept, content: kept, mode: "0600"}
    - ansible.builtin.copy: {dest: /run/lost, content: lost, mode: "0600"}
    - ansible.builtin.include_role: {name: rebooted}
      vars: {needs_reboot: true}
    - ansible.builtin.stat: {path: "{{ item }}"}
      loop: [/root/kept, /run/lost]
      register: seen
    - ansible.builtin.assert:
        that:
          - seen.results[0].stat.exists
          - not seen.results[1].stat.exists
"""
    )
    hand: Hand = lay(job)
    hand.play("peon_creation.yml")
    before = hand.host_vars("one")
    hand.play("reboot.yml")
    after = hand.host_vars("one")
    assert after["ssh_host_key"] == before["ssh_host_key"]
    assert after["host_name"] == before["host_name"]
    assert hand.states() == {"one": "rebooted"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_provisioning_command_as_well(lay: Any, job: Path, number: signal.Signals) -> None:
    peons(job, "one", cloud_provisioning_command={"command": "touch started; sleep 3600"})
    hand: Hand = lay(job, uuid=f"signal-{number}")
    started = hand.start("setup.yml")
    while not (hand.place / "started").exists():
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(number)
    assert started.communicate(timeout=60)[0]
    assert started.returncode != 0
    # Ansible does not wait for its workers; the one that ran the command has still to write down what became of it.
    until(lambda: not list(process.tagged(HAND_TAG, str(hand.place))), 60)
    assert list(process.tagged("EXEKUTIR_JOB", hand.uuid)) == []
    assert hand.states()["one"] in ("intent", "failed")


def test_caches_are_filled_once_and_brought_to_the_peons(lay: Any, job: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for command in (
        ["init", "-q", str(repository)],
        ["-C", str(repository), "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
        subprocess.run(["git", *identity, *command], check=True)
    peons(job, "one")
    hand: Hand = lay(job, git_cache_args=[{"repo": f"file://{repository}", "cachepath": "tool"}])
    hand.play("playbooks/caches_filled.yml")
    assert (hand.place / "cache/tool/.git/HEAD").exists()
    hand.play("setup.yml", "-e", "adept_context=setup")
    (hand.place / "look.yml").write_text(
        "- hosts: peons\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.command: cat /var/cache/exekutir/tool/.git/HEAD\n"
    )
    hand.play("look.yml")


def test_a_peon_that_dies_in_its_tests_is_unreachable_and_its_result_says_where(lay: Any, job: Path) -> None:
    peons(job, "one", 'two peon_groups=\'["namespace", "debian"]\'')
    (job / "tests").mkdir()
    (job / "tests/test_death.py").write_text(
        "import os, signal, time, unittest\n\n\nclass Death(unittest.TestCase):\n    def test_it(self):\n"
        "        if os.uname().nodename == 'one':\n"
        "            open('/run/begun', 'w').close()\n            time.sleep(600)\n"
    )
    (job / "run.yml").write_text((content.jobs() / "broken/run.yml").read_text())
    hand: Hand = lay(job, broken_greeting="")
    assert "test -x /usr/bin/python3" in hand.play("setup.yml", "-v", "-e", "adept_context=setup")
    run = hand.start("run.yml", "-e", "adept_context=run")
    wait_for(hand, "one", "/run/begun")
    provisioning.destroy(hand.place, "one")
    output = run.communicate(timeout=120)[0]
    assert run.returncode == 4, output
    assert "unreachable=1" in output
    assert "The peon one did not get to the end of the role unittests_run in the context run" in hand.result("one")
    assert "did well" in hand.result("two")


def wait_for(hand: Hand, peon: str, path: str) -> None:
    """Wait until a file is there on a peon."""
    look = ["-m", "ansible.builtin.raw", "-a", f"test -e {path}"]
    for _ in range(100):
        command = [str(BIN / "ansible"), peon, *look]
        if (
            subprocess.run(command, cwd=hand.place, env=hand.environment, check=False, capture_output=True).returncode
            == 0
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} never came on {peon}")


def test_what_comes_out_of_a_vault_is_in_no_result_and_no_output(lay: Any, job: Path, tmp_path: Path) -> None:
    password = tmp_path / "vault_password"
    password.write_text("of the vault\n")
    vault = [str(BIN / "ansible-vault"), "encrypt_string", "--vault-password-file", str(password), "--name", "of_cloud"]
    encrypted = subprocess.run([*vault, "valueFromVault"], check=True, capture_output=True, text=True).stdout
    (job / "kommandir_vars.yml").write_text(f"---\n{encrypted}")
    command = {"command": 'echo "$HARMLESS" >&2; echo "note: $HARMLESS"; exit 3'}
    peons(job, "one", cloud_provisioning_command=command, cloud_environment={"HARMLESS": "{{ of_cloud }}"})
    hand: Hand = lay(job)
    output = hand.play("setup.yml", "--vault-password-file", str(password), code=2)
    assert "stderr: [redacted]" in output
    seen = output + hand.result("one") + hand.result("one", "creation_result.yml")
    assert "valueFromVault" not in seen
