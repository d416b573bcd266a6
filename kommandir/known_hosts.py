"""The workspace's ``ssh/known_hosts``: the keys of the peons, by the names that ssh looks them up with."""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kommandir import atomic
from kommandir.errors import ProvisioningError

_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa|rsa)-[A-Za-z0-9@.-]+")
_NAME = re.compile(r"[A-Za-z0-9_.:\[\]%-]+")
_ALIAS = re.compile(r"HostKeyAlias[ =]+(.+)", re.IGNORECASE)
_DEFAULT_PORT = 22


def path(workspace: Path) -> Path:
    """The file."""
    return workspace / "ssh" / "known_hosts"


def add(workspace: Path, names: Iterable[str], keys: Iterable[str]) -> None:
    """Make ``keys`` the only ones of each of ``names``; several processes may do so at once.

    Raises OSError when it can't be written.
    """
    wanted = sorted(set(names))
    file = path(workspace)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    with _held(file):
        lines = file.read_text().splitlines() if file.exists() else []
        other = [line for line in lines if line.split(" ", 1)[0] not in wanted]
        ours = [f"{name} {key}" for name in wanted for key in keys]
        if other + ours != lines:
            atomic.write(file, "\n".join([*other, *ours]) + "\n", mode=0o600)


@contextmanager
def _held(file: Path) -> Iterator[None]:
    handle = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def keys_of(told: Mapping[str, Any], host: str) -> list[str]:
    """The host keys in ``ssh_host_key`` (a text of one or more lines, or a list), each ``TYPE BASE64``.

    Raises ProvisioningError when one is no public key.
    """
    value = told.get("ssh_host_key")
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if value and not texts:
        raise ProvisioningError(f"ssh_host_key must be a text, but is a {type(value).__name__}", host=host)
    return [_key(line, host) for text in texts for line in str(text).splitlines() if line.strip()]


def _key(line: str, host: str) -> str:
    kind, _, rest = line.strip().partition(" ")
    encoded = rest.split(" ", 1)[0]
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not _TYPE.fullmatch(kind) or kind.encode() not in data[: len(kind) + 4]:
        raise ProvisioningError(
            f"ssh_host_key is no public key: {line.strip()[:60]}",
            host=host,
            hint="print what stands in the host's /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return f"{kind} {encoded}"


def names_of(told: Mapping[str, Any], host: str) -> list[str]:
    """The names by which ssh, called by Ansible with these host variables, looks the host's key up.

    Raises ProvisioningError when one holds what known_hosts would take for a pattern or a separator.
    """
    address = str(told.get("ansible_host") or told.get("ansible_ssh_host") or host)
    port = int(told.get("ansible_port") or told.get("ansible_ssh_port") or _DEFAULT_PORT)
    names = [address if port == _DEFAULT_PORT else f"[{address}]:{port}", *_aliases(told)]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ProvisioningError(f"`{name}` can't be the name of a host", host=host)
    return names


def _aliases(told: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
        words = shlex.split(str(told.get(variable) or ""))
        for before, word in zip(["", *words], words, strict=False):
            found = _ALIAS.fullmatch(word.removeprefix("-o"))
            if found and (before == "-o" or word.startswith("-o")):
                yield found[1]
