"""The environment of child processes: an allow-list, what a variable names, and our own marks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping

#: Tag of every process that belongs to a job; cleanup finds strays by it.
JOB_TAG = "EXEKUTIR_JOB"

#: Names that pass to children, as ADEPT has them.
ADEPT_ALLOWED = frozenset(
    {
        "HOME",
        "EDITOR",
        "TERM",
        "PATH",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "ANSIBLE_CONFIG",
        "ANSIBLE_LIBRARY",
        "ANSIBLE_INVENTORY",
        "SSH_AUTH_SOCK",
        "SSH_CONNECTION",
        "SSH_TTY",
        "TZ",
        "USER",
        "SHELL",
        "ANSIBLE_HOST_KEY_CHECKING",
        "ANSIBLE_ROLES_PATH",
        "ANSIBLE_PRIVATE_KEY_FILE",
        "ANSIBLE_VAULT_PASSWORD_FILE",
        "ANSIBLE_FORCE_COLOR",
        "DISPLAY_SKIPPED_HOSTS",
    }
)
#: What terminals, locales and our own folders need besides.
ALLOWED = ADEPT_ALLOWED | {
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "COLUMNS",
    "LINES",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "EXEKUTIR_STATE",
    "EXEKUTIR_CACHE",
    "EXEKUTIR_EVENTS",
    "EXEKUTIR_RUN",
    "CONTAINERS_CONF",
    "ANSIBLE_STRATEGY",
    "ANSIBLE_STRATEGY_PLUGINS",
}


def filtered(source: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """Those variables of ``source`` that are allowed or named in ``also`` and not empty."""
    named = frozenset(also)
    return {
        name: value
        for name, value in source.items()
        if value and (name in ALLOWED or name in named or name.startswith("LC_"))
    }


def of_job(uuid: str, *, also: Iterable[str] = (), source: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process of the job ``uuid``: filtered, tagged, without Python's own settings of ours.

    ``HOSTNAME`` is the short name of this host, as ADEPT has it.
    """
    environment = filtered(os.environ if source is None else source, also)
    environment["HOSTNAME"] = socket.gethostname().split(".", 1)[0]
    if uuid:
        environment[JOB_TAG] = uuid
    return environment
