"""What the templates of a variable evaluate to on a host, by asking Ansible."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from exekutir.variables.kinds import has_template

if TYPE_CHECKING:
    from exekutir.variables.explanation import Explanation

#: Seconds; Ansible starts within two on a busy machine.
_LIMIT = 60.0


def rendered(explanation: Explanation, workspace: Path | None) -> Explanation:
    """The explanation with what its templates evaluate to, or with why that can't be told.

    Runs Ansible's ``debug`` on the kommandir's workspace; connects to no host.
    """
    if not has_template(explanation.value):
        return explanation
    laid = workspace / "kommandir_workspace" if workspace else None
    if laid is None or not (laid / "inventory").is_dir():
        return replace(explanation, not_rendered="the job is not set up yet")
    if explanation.host is None:
        return replace(explanation, not_rendered="name a host with --host")
    return _asked(explanation, laid)


def _asked(explanation: Explanation, laid: Path) -> Explanation:
    import os
    import tempfile

    from kommandir import environment, process
    from kommandir.deadline import Deadline

    with tempfile.TemporaryDirectory(prefix="exekutir-explain-") as name:
        folder = Path(name)
        command = _command(explanation, laid, folder)
        settings = {"ANSIBLE_STDOUT_CALLBACK": "minimal", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0"}
        if (laid / "ansible.cfg").exists():
            settings["ANSIBLE_CONFIG"] = str(laid / "ansible.cfg")
        known = environment.filtered(os.environ)
        outcome = process.run(
            command,
            environment={**known, **settings, "ANSIBLE_LOCAL_TEMP": name},
            folder=laid,
            deadline=Deadline.after(_LIMIT),
            doing="asking Ansible",
        )
    return _told(explanation, outcome.stdout, outcome.stderr)


def _command(explanation: Explanation, laid: Path, folder: Path) -> list[str]:
    for adjacent in ("group_vars", "host_vars"):
        if (laid / adjacent).is_dir():
            (folder / adjacent).symlink_to(laid / adjacent)
    files = [str(laid / file) for file in ("kommandir_vars.yml",) if (laid / file).exists()]
    play = {
        "hosts": explanation.host,
        "gather_facts": False,
        "vars_files": files,
        "tasks": [
            {"ansible.builtin.group_by": {"key": "{{ item }}"}, "loop": "{{ peon_groups | default([]) }}"},
            {"ansible.builtin.debug": {"var": explanation.name}},
        ],
    }
    playbook = folder / "explain.yml"
    playbook.write_text(json.dumps([play]))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(laid / "inventory"), str(playbook)]
    command += ["-e", json.dumps({"workspace": str(laid), "adept_context": "setup", "adept_path": str(laid)})]
    extra = laid / "private" / "extra_vars.yml"
    return [*command, "-e", f"@{extra}"] if extra.exists() else command


def _told(explanation: Explanation, stdout: str, stderr: str) -> Explanation:
    decoder = json.JSONDecoder()
    for at in (match.end() for match in re.finditer(r" => (?=\{)", stdout)):
        try:
            told, _ = decoder.raw_decode(stdout, at)
        except ValueError:
            continue
        if explanation.name in told:
            return replace(explanation, rendered=told[explanation.name])
        if "msg" in told and "FAILED" in stdout[:at].splitlines()[-1]:
            return replace(explanation, not_rendered=str(told["msg"]))
    return replace(explanation, not_rendered=(stderr or stdout).strip()[-500:])
