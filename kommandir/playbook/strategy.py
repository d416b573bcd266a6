"""mitogen's strategy: several times as fast on peons, used where it is installed and nobody names another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kommandir.journal import FILE_NAME, Journal

#: The variable of a job that says ``never`` or ``auto``.
VARIABLE = "mitogen"
NAME = "mitogen_linear"
#: The oldest mitogen that works with the ansible-core that we depend on.
OLDEST = (0, 3, 54)


def environment(workspace: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What makes Ansible use mitogen, or nothing: where it is not to be had or wanted, or there is no peon yet.

    ``given`` is the environment of the playbook. A play that names a strategy has its own in any case.
    """
    if given.get(VARIABLE, "auto") == "never" or "ANSIBLE_STRATEGY" in given:
        return {}
    if not _has_peons(workspace) or _names_strategy(given.get("ANSIBLE_CONFIG")):
        return {}
    plugins = _plugins()
    if plugins is None:
        return {}
    paths = [given["ANSIBLE_STRATEGY_PLUGINS"]] if given.get("ANSIBLE_STRATEGY_PLUGINS") else []
    return {"ANSIBLE_STRATEGY": NAME, "ANSIBLE_STRATEGY_PLUGINS": ":".join([*paths, str(plugins)])}


def _has_peons(workspace: Path) -> bool:
    """On this host alone mitogen costs more than it saves."""
    peons = Journal(workspace / FILE_NAME).peons().values()
    return any(peon.may_exist for peon in peons)


def _names_strategy(config: str | None) -> bool:
    if config is None:
        return False
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return True  # Ansible will say what is wrong with it
    return parser.has_option("defaults", "strategy")


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
