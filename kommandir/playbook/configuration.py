"""What an ``ansible.cfg`` says, as far as it concerns how we call Ansible."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def defaults(config: str | None) -> Mapping[str, str]:
    """The section ``defaults`` of the file ``config``; empty where it can't be read: Ansible will say so."""
    if config is None:
        return {}
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    return dict(parser["defaults"]) if parser.has_section("defaults") else {}


def callback_plugins(config: str | None) -> list[str]:
    """The directories of callbacks that the file names, absolute: our own in the environment would hide them."""
    try:
        if config is None or "callback_plugins" not in Path(config).read_text(encoding="utf-8"):
            return []
    except (OSError, UnicodeDecodeError):
        return []
    named = defaults(config).get("callback_plugins", "").split(":")
    folder = Path(config).absolute().parent
    return [str(folder / os.path.expandvars(os.path.expanduser(name.strip()))) for name in named if name.strip()]  # noqa: PTH111 -- as Ansible reads it
