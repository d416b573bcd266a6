"""mitogen's strategy: several times as fast on peons, used where it is installed and nobody names another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.journal import FILE_NAME, Journal
from kommandir.playbook.configuration import defaults

#: The variable of a job that says ``never`` or ``auto``.
VARIABLE = "mitogen"
NAME = "mitogen_linear"
#: The oldest mitogen that works with the ansible-core that we depend on.
OLDEST = (0, 3, 54)
#: Seconds for a connection. Ansible's 10 are for SSH alone; mitogen also starts a Python in them, which a peon may have
#: to read from its disk first.
TIMEOUT = "60"


def environment(workspace: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What makes Ansible use mitogen, or nothing: where it is not to be had or wanted, or there is no peon yet.

    ``given`` is the environment of the playbook. A play that names a strategy has its own in any case.
    """
    if "ANSIBLE_STRATEGY" in given or not _has_peons(workspace) or _wanted(workspace, given) == "never":
        return {}
    configured = defaults(given.get("ANSIBLE_CONFIG"))
    plugins = None if "strategy" in configured else _plugins()
    if plugins is None:
        return {}
    paths = [given["ANSIBLE_STRATEGY_PLUGINS"]] if given.get("ANSIBLE_STRATEGY_PLUGINS") else []
    found = {"ANSIBLE_STRATEGY": NAME, "ANSIBLE_STRATEGY_PLUGINS": ":".join([*paths, str(plugins)])}
    return found if "timeout" in configured or "ANSIBLE_TIMEOUT" in given else {**found, "ANSIBLE_TIMEOUT": TIMEOUT}


def _has_peons(workspace: Path) -> bool:
    """Whether peons exist already.

    On this host alone mitogen costs more than it saves. While peons are only being made, its first connection was seen
    to time out again and again on a busy machine, where Ansible's own was had.
    """
    return any(peon.may_exist for peon in Journal(workspace / FILE_NAME).peons().values())


def _wanted(workspace: Path, given: Mapping[str, str]) -> str:
    """What the variable says, in ``job.xn`` or among those of the job."""
    if VARIABLE in given:
        return given[VARIABLE]
    try:
        return str(yamlfile.mapping(workspace / "kommandir_vars.yml").value.get(VARIABLE, "auto"))
    except UsageError:
        return "auto"  # a file that is missing or broken is not for us to tell of: Ansible reads it too


def _plugins() -> Path | None:
    """Where mitogen's strategies lie, or None where it is missing or too old."""
    from importlib import metadata
    from importlib.util import find_spec

    found = find_spec("ansible_mitogen")
    if found is None or not found.submodule_search_locations:
        return None
    try:
        version = metadata.version("mitogen")
    except metadata.PackageNotFoundError:
        return None
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < OLDEST:
        return None
    plugins = Path(found.submodule_search_locations[0], "plugins", "strategy")
    return plugins if plugins.is_dir() else None
