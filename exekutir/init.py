"""A new job that works, as a start for one's own: ``exekutir init``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kommandir import atomic
from kommandir.errors import UsageError

_KOMMANDIR_VARS = """\
---
# Variables of this job. They hold for every host and outrank inventory/group_vars and inventory/host_vars;
# exekutir_vars.yml in the workspace and -e on the command line outrank them.
# All that exekutir knows: docs/reference/variables.md. Where a value comes from: exekutir explain VARIABLE

# Hours after which a forgotten peon may be destroyed by `exekutir reap`.
peon_preservation: 4

# A variable of your own; the playbooks below use it.
greeting: hello from exekutir
"""

_PEONS = """\
# The peons of this job, throw-away hosts on which it works. Each joins the groups in its peon_groups; the one that
# has the name of a provider (namespace, podman, qemu, existing) says where the peon comes from.
[peons]
one peon_groups='["namespace"]'
two peon_groups='["namespace"]'
"""

_SETUP = """\
---
# The context setup: afterwards the peons are there and ready to be tested.
- name: Create the peons
  ansible.builtin.import_playbook: peon_creation.yml

- name: Prepare the peons
  ansible.builtin.import_playbook: peon_setup.yml

- name: Deploy what is to be tested
  hosts: peons
  gather_facts: false
  vars_files: [kommandir_vars.yml]
  roles:
    - role: common
  tasks:
    - name: The greeting is there
      ansible.builtin.copy:
        dest: /var/tmp/greeting.txt
        content: "{{ greeting }}\\n"
        mode: "0644"
"""

_RUN = """\
---
# The context run: the tests, on all peons in parallel. A task that fails here means that the tests said no.
- name: Test the peons
  hosts: peons
  gather_facts: false
  vars_files: [kommandir_vars.yml]
  roles:
    - role: common
  tasks:
    - name: The greeting is read
      ansible.builtin.command: cat /var/tmp/greeting.txt
      register: greeting_read
      changed_when: false

    - name: The greeting is the right one
      ansible.builtin.assert:
        that: greeting_read.stdout == greeting
        fail_msg: "found {{ greeting_read.stdout }}"
"""

_CLEANUP = """\
---
# The context cleanup: what the job itself has to put away, then the peons. It runs whatever happened before, so that
# nothing here may rely on an earlier step. Peons that are left are destroyed afterwards in any case.
- name: Destroy the peons
  hosts: peons
  gather_facts: false
  vars_files: [kommandir_vars.yml]
  roles:
    - role: common
    - role: peon_destroyed
      when: cleanup | bool
"""

_README = """\
# {name}

A job for exekutir: two peons get a file, a test reads it.

    exekutir all --workspace /tmp/{name} --job .

| file | what it is |
|---|---|
| `kommandir_vars.yml` | variables of the job |
| `inventory/peons` | its peons and where they come from |
| `setup.yml` | makes the peons and prepares them |
| `run.yml` | tests them |
| `cleanup.yml` | puts everything away |

Without a `job.xn` that says otherwise, each context runs the playbook of its name.

    exekutir validate .                # every mistake, with file and line
    exekutir explain greeting --job .  # the value of a variable, and every place that sets it
"""

_FILES: Mapping[str, str] = {
    "README.md": _README,
    "kommandir_vars.yml": _KOMMANDIR_VARS,
    "inventory/peons": _PEONS,
    "setup.yml": _SETUP,
    "run.yml": _RUN,
    "cleanup.yml": _CLEANUP,
}


def create_job(folder: Path) -> list[Path]:
    """Write a small, commented job that works into ``folder`` (made if need be); the files come back, in order.

    Raises UsageError when there is anything in it already, or when it can't be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is not empty" if folder.is_dir() else "is a file"
            raise UsageError(f"{folder} {what}; a new job needs a folder of its own", hint="name another folder")
        written = []
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, text.replace("{name}", folder.absolute().name), durable=False)
            written.append(path)
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror}", hint="name another folder") from error
    return written
