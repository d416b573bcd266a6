"""Whatever stands in the files of a job, the answer is a list of mistakes or an explanation."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exekutir.variables.explanation import explain
from exekutir.variables.validation import validate
from kommandir.errors import ExekutirError

FILES = """\
kommandir_vars.yml setup.yml run.yml job.xn inventory/peons inventory/hosts.yml inventory/group_vars/all.yml
inventory/host_vars/one.yml group_vars/peons.yml roles/a/defaults/main.yml playbooks/x.yml exekutir_vars.yml"""

LINES = [
    *(
        "peon_groups: [namespace]",
        "peon_groups: {a: b}",
        "peon_groups: 5",
        "cleanup: yes",
        "{{ x }}",
        "uuid: [",
        "a: b: c",
    ),
    *("- hosts: peons", "  tasks: []", "- hosts: [", "- import_playbook: ../../x.yml", "- import_playbook: {a: b}"),
    *("a: &x [1]", "b: *x", "<<: *y", "? [a]: b", "!!python/object:os.system x", "!vault |", "  abc", "\t x", "\x00"),
    *(
        "- playbook:",
        "    filepath: ${WORKSPACE}/x.yml",
        "    contexts: setup",
        "    contexts: [a, {b: c}]",
        "- a: [*b]",
    ),
    *("[peons]", "one", "one peon_groups=5", "peons: {hosts: {one: {peon_groups: {a: 1}}}}", "[one:children]"),
    *("~: 1", "1: 2", "true: x", "2026-01-01: x", "...", "---", "é: ü", "$ANSIBLE_VAULT;1.1", "<recipe/>"),
    *("cloud_provisioning_command: {command: [1]}", "git_cache_args: {a: 1}", "recipe: {steps: 5}", "workspace: x"),
]

texts = st.lists(st.sampled_from(LINES), max_size=6).map(lambda lines: "\n".join(lines) + "\n")


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(FILES.split()), texts, min_size=1, max_size=4))
def test_any_job_is_answered(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job"
        for way, text in files.items():
            path = job / way
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for mistake in validate(job, workspace=job, extra={}):
            assert mistake.place
            assert mistake.message
        for host in (None, "one", "exekutir"):
            with contextlib.suppress(ExekutirError):
                assert list(explain("peon_groups", workspace=None, job=job, extra={}, host=host).lines())
