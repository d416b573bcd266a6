"""Jobs in the shape that ADEPT's had run unchanged, as far as Ansible itself still accepts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .conftest import Hand

KOMMANDIR_PLAY = """---
- hosts: kommandir
  vars_files:
      - kommandir_vars.yml
  pre_tasks:
    - assert:
        that:
            - 'uuid == "made-up-for-this"'
            - 'install_rpms is undefined'
            - 'some_magic_variable == "its value"'
            - 'adept_context in ["setup", "run", "cleanup"]'
  roles:
    - common
  post_tasks:
    - set_fact:
        result: "The {{ job_name }} job on {{ inventory_hostname }} for the {{ adept_context }} context"
    - lineinfile:
        dest: "{{ workspace }}/results/from_{{ adept_context }}.txt"
        create: true
        insertafter: EOF
        line: "{{ result }}"
"""

PEON_PLAY = """---
- hosts: kommandir
  gather_facts: False
  vars_files:
      - kommandir_vars.yml
  pre_tasks:
    - name: Facts of the kommandir
      setup:
        gather_subset: 'network'
  roles:
    - common

- import_playbook: peon_creation.yml
- import_playbook: peon_setup.yml

- hosts: peons:!nocloud
  gather_facts: False
  vars_files:
      - kommandir_vars.yml
  roles:
    - common
    - peon_common
    - role: rebooted
      vars: {reboot_context: "end"}
      when: needs_reboot | default(False)
  tasks:
    - assert:
        that:
            - 'of_the_topic == "told by its group"'
            - '"topic" in group_names'
            - 'nothing | default() in empty'
            - 'hostvars.kommandir.workspace == workspace'
            - 'kommandir_workspace == workspace'
            - 'hostvars.kommandir.kommandir_workspace == workspace'
            - 'ansible_private_key_file == workspace ~ "/ssh/kommandir_key"'
            - 'hostvarsfile == workspace ~ "/inventory/host_vars/" ~ inventory_hostname ~ ".yml"'
    - copy:
        dest: "{{ hostvars.kommandir.workspace }}/results/{{ inventory_hostname }}/seen.txt"
        content: "{{ ansible_host }} {{ ansible_facts.hostname }} {{ hostvars.kommandir.ansible_date_time.date }}"
      delegate_to: kommandir

- hosts: localhost
  gather_facts: False
  tasks:
    - assert:
        that: ["groups.topic == ['old-one']"]
"""

HOSTS = """---
all:
    hosts:
        old-one:
            peon_groups:
                - "{{ hostvars.kommandir.peon_cloud_group | default('namespace') }}"
                - topic
    children:
        peons:
            hosts:
                old-one:
        topic:
            vars:
                of_the_topic: told by its group
"""


def test_a_job_of_the_kommandir_alone(lay: Any, job: Path) -> None:
    for context in ("setup", "run", "cleanup"):
        (job / f"{context}.yml").write_text(KOMMANDIR_PLAY)
    (job / "kommandir_vars.yml").write_text("uuid: THE_WRONG_VALUE\nsome_magic_variable: its value\n")
    hand: Hand = lay(job, uuid="made-up-for-this")
    for context in ("setup", "run", "cleanup"):
        hand.play(f"{context}.yml", "-e", f"adept_context={context}")
        line = (hand.place / f"results/from_{context}.txt").read_text()
        assert line == f"The job job on kommandir for the {context} context\n"


def test_a_job_with_its_own_hosts_groups_and_plays(lay: Any, job: Path) -> None:
    (job / "inventory/hosts.yml").write_text(HOSTS)
    (job / "setup.yml").write_text(PEON_PLAY)
    (job / "inventory/group_vars/peons").mkdir(parents=True)
    (job / "inventory/group_vars/peons/common_groups.yml").write_text("peon_groups: [never]\n")
    hand: Hand = lay(job, uuid="old-shape")
    hand.play("setup.yml", "-e", "adept_context=setup")
    assert (hand.place / "results/old-one/seen.txt").read_text().startswith("old-one-old-shape old-one 2")
    hand.play("cleanup.yml", "-e", "adept_context=cleanup", "-e", "cleanup=False")
    assert hand.states() == {"old-one": "up"}
    hand.play("cleanup.yml", "-e", "adept_context=cleanup")
    assert hand.states() == {"old-one": "destroyed"}


def test_results_may_come_from_the_jobs_own_templates(lay: Any, job: Path) -> None:
    (job / "inventory/peons").write_text("[peons]\nold-one\n")
    (job / "mine.j2").write_text("{{ this_role }} of {{ job_name }} on {{ inventory_hostname }}\n")
    (job / "run.yml").write_text(
        """---
- hosts: peons
  gather_facts: False
  vars_files: [kommandir_vars.yml]
  roles:
    - common
    - role: failed_peon_result
      vars:
        this_role: installed
        results_filepath: docker_autotest/results.xml
        results_template_filepath: "{{ playbook_dir }}/mine.j2"
    - role: failed_peon_result
      vars: {this_role: services}
"""
    )
    hand: Hand = lay(job, uuid="templates")
    hand.play("peon_creation.yml")
    hand.play("run.yml", "-e", "adept_context=run")
    assert hand.result("old-one", "docker_autotest/results.xml") == "installed of job on old-one\n"
    assert "did not get to the end of the role services in the context run" in hand.result("old-one")
