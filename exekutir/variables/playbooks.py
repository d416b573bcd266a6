"""What is wrong with the YAML of a job's playbooks, roles and transition file, as far as that shows without Ansible."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from exekutir.variables.overlay import Overlay
from exekutir.variables.variable_files import ENCRYPTED, as_mistake
from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.mistakes import Mistake
from kommandir.yamlfile import did_you_mean

#: Playbooks that the defaults run; a job's own of these names replace them.
DEFAULTS = ("setup.yml", "run.yml", "cleanup.yml", "peon_creation.yml", "peon_setup.yml")
#: Keywords of a play that runs on hosts, as Ansible's documentation lists them.
PLAY = frozenset(
    re.findall(
        r"\w+",
        """any_errors_fatal become become_exe become_flags become_method become_user check_mode collections connection
    debugger diff environment fact_path force_handlers gather_facts gather_subset gather_timeout handlers hosts
    ignore_errors ignore_unreachable max_fail_percentage module_defaults name no_log order port post_tasks pre_tasks
    remote_user roles run_once serial strategy tags tasks throttle timeout user validate_argspec vars vars_files
    vars_prompt""",
    )
)
#: Keys that bring in another playbook.
IMPORTS = ("import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook")
#: Folders of a workspace that are filled when the job runs.
MADE_LATER = ("cache/", "results/")
_LISTS = ("tasks", "pre_tasks", "post_tasks", "handlers", "roles", "vars_files")


def yaml_mistakes(path: Path) -> list[Mistake]:
    """What keeps a file from being YAML."""
    try:
        yamlfile.nodes(path)
    except UsageError as error:
        return [as_mistake(error, path)]
    return []


def mistakes(path: Path, overlay: Overlay) -> Iterator[Mistake]:
    """Everything that is wrong with a playbook: its YAML, its plays, and playbooks it brings in that are not there."""
    try:
        nodes = yamlfile.nodes(path)
    except UsageError as error:
        yield as_mistake(error, path)
        return
    node = nodes[0] if nodes else None
    if isinstance(node, yaml.ScalarNode) and node.value.startswith(ENCRYPTED):
        return
    if not isinstance(node, yaml.SequenceNode):
        found = "nothing" if node is None else "a mapping" if isinstance(node, yaml.MappingNode) else "a text"
        place = f"{path}:{1 if node is None else node.start_mark.line + 1}"
        yield Mistake(place, f"a playbook must be a list of plays, but holds {found}", "start it with `- hosts: ...`")
        return
    if len(nodes) > 1:
        yield Mistake(_place(path, nodes[1]), "a second document starts here", "keep one document in a file")
    for play in node.value:
        yield from _play(path, play, overlay)


def _play(path: Path, node: yaml.Node, overlay: Overlay) -> Iterator[Mistake]:
    if not isinstance(node, yaml.MappingNode):
        yield Mistake(_place(path, node), "a play must be a mapping", "write `- hosts: ...`")
        return
    keys = {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    imported = next((name for name in IMPORTS if name in keys), None)
    if imported:
        yield from _imported(path, keys[imported][1], overlay)
        return
    if "hosts" not in keys:
        yield Mistake(_place(path, node), "play without `hosts`" + _near("hosts", keys))
    for name, (key, value) in keys.items():
        if name not in PLAY and name != "<<":
            yield Mistake(_place(path, key), f"unknown key `{name}` of a play{did_you_mean(name, PLAY)}")
        elif name in _LISTS and isinstance(value, yaml.MappingNode):
            yield Mistake(_place(path, key), f"`{name}` of a play must be a list", "start each item with `- `")


def _near(wanted: str, keys: Mapping[str, Any]) -> str:
    return next((f" (there is `{key}`)" for key in keys if did_you_mean(key, [wanted])), "")


def _imported(path: Path, node: yaml.Node, overlay: Overlay) -> Iterator[Mistake]:
    name = node.value if isinstance(node, yaml.ScalarNode) else ""
    base = next((folder for folder in reversed(overlay.folders) if path.is_relative_to(folder)), path.parent)
    way = os.path.normpath(path.parent.relative_to(base) / name)
    if "{{" in name or way.startswith(("..", "/", *MADE_LATER)) or PurePosixPath(way).suffix not in (".yml", ".yaml"):
        return
    if overlay.file(way) is None:
        yield Mistake(_place(path, node), f"there is no playbook {name} to import")


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
