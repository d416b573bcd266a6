"""Hosts of the provider ``existing``: adopted when they answer SSH with the key they are known by; never destroyed."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time

from kommandir.providers import records
from kommandir.providers.command import Option, Request
from kommandir.providers.faults import ProviderError, ProviderUsageError, UnableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kommandir.providers.records import Record

name = "existing"
summary = "a host that is there already and answers SSH; it is leased, never destroyed"
options: tuple[Option, ...] = (
    Option("address", "text", "", "host name or IP address; default: NAME"),
    Option("port", "number", 22, "port of its SSH server (default 22)"),
    Option("user", "text", "root", "who logs in (default root)"),
    Option("host-key", "text", "", "its public host key, `ssh-ed25519 AAAA...`; default: the one in known_hosts"),
    Option("known-hosts", "text", "", "file that pins its host key (default ~/.ssh/known_hosts)"),
    Option("python", "text", "", "its Python for Ansible; default: Ansible looks for it"),
    Option("shared", "switch", False, "let other jobs that say so too adopt it at the same time"),
)
_RECORDS = records.Records(name)
#: Held while it is decided who may adopt what.
_ADOPTION = ".adoption"
#: Seconds for a host to show its key, or to take a connection when it is listed.
_PATIENCE = 10
_GLANCE = 1.0


def create(request: Request) -> Mapping[str, object]:
    """Adopt the host, or renew the adoption; its host variables."""
    address = request.text("address") or request.name
    port = request.number("port")
    _check_address(address, port)
    pinned = _pinned(request, address, port)
    with _RECORDS.held(_ADOPTION), _RECORDS.held(request.name):
        known = _RECORDS.owned(request.name, request.uuid)
        _demand_free(request, address, port)
        _demand_key(address, port, pinned)
        record: Record = {
            "provider": name,
            "name": request.name,
            "uuid": request.uuid,
            "created": (known or {}).get("created", int(time.time())),
            "expires": request.number("expires"),
            "address": address,
            "port": port,
            "shared": bool(request.options["shared"]),
        }
        directory = _RECORDS.path(request.name)
        if known is None:
            directory = _RECORDS.form(request.name, record)
        _write_known_hosts(f"{directory}/known_hosts", request.name, pinned)
        _RECORDS.write(request.name, record)
    return _variables(request, address, port, pinned)


def _check_address(address: str, port: int) -> None:
    if address.startswith("-") or not address or set(address) & set(" \t\n,;'\"`$|&<>"):
        raise ProviderUsageError(f"--address {address!r} is no host name or IP address")
    if not 0 < port < 65536:
        raise ProviderUsageError(f"--port {port} is no port: 1 to 65535")


def _pinned(request: Request, address: str, port: int) -> list[str]:
    """The keys of which the host must have one, each as `TYPE BASE64`."""
    given = request.text("host_key")
    if given:
        lines = [" ".join(line.split()[:2]) for line in given.splitlines() if line.strip()]
        if not all(len(line.split()) == 2 and line.startswith(("ssh-", "ecdsa-", "sk-")) for line in lines):
            raise ProviderUsageError(f"--host-key {given!r} is no public key, like `ssh-ed25519 AAAA...`")
        return lines
    file = request.text("known_hosts") or os.path.expanduser("~/.ssh/known_hosts")
    place = address if port == 22 else f"[{address}]:{port}"
    found = _run(["ssh-keygen", "-F", place, "-f", file]).stdout.splitlines()
    keys = [" ".join(line.split()[1:3]) for line in found if line and line[0] not in "#@" and len(line.split()) > 2]
    if not keys:
        raise ProviderUsageError(
            f"{place} has no key in {file}: give --host-key, as its owner tells it (on the host: "
            "cat /etc/ssh/ssh_host_ed25519_key.pub). A key that only the network tells proves nothing"
        )
    return keys


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise ProviderError(f"{command[0]} is not installed: apt-get install openssh-client") from None


def _demand_key(address: str, port: int, pinned: list[str]) -> None:
    """Raise ProviderError unless the host answers and has one of the keys."""
    kinds = sorted({line.split()[0] for line in pinned})
    outcome = _run(["ssh-keyscan", "-T", str(_PATIENCE), "-p", str(port), "-t", ",".join(kinds), "--", address])
    shown = {" ".join(line.split()[1:3]) for line in outcome.stdout.splitlines() if line[:1] != "#"}
    if not shown:
        why = outcome.stderr.strip() or "no answer"
        raise ProviderError(
            f"{address} port {port} shows no host key of {', '.join(kinds)} within {_PATIENCE} s: {why}"
        )
    if not shown & set(pinned):
        raise ProviderError(
            f"{address} port {port} has another host key than the one it is known by: it is not that host, or was set "
            "up anew. Ask its owner for the key before you change the one you have"
        )


def _demand_free(request: Request, address: str, port: int) -> None:
    """Raise ProviderError when another job has the host and does not share it."""
    for other in _RECORDS.names():
        record = _RECORDS.read(other) or {}
        expires = record.get("expires")
        over = isinstance(expires, int) and expires <= time.time()
        if other == request.name or over or (record.get("address"), record.get("port")) != (address, port):
            continue
        if record.get("shared") and request.options["shared"]:
            continue
        until = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(expires)) if isinstance(expires, int) else "for ever"
        raise ProviderError(
            f"{address} port {port} is adopted by the job {record.get('uuid')} as {other}, until {until}. Wait, take "
            f"another host, let both jobs say --shared, or: destroy {other} --uuid {record.get('uuid')}"
        )


def _write_known_hosts(path: str, peon: str, keys: list[str]) -> None:
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{peon} {key}\n" for key in keys)
    os.rename(f"{path}.new", path)


def _variables(request: Request, address: str, port: int, pinned: list[str]) -> dict[str, object]:
    known_hosts = f"{_RECORDS.path(request.name)}/known_hosts".replace("%", "%%")
    arguments = [
        *("-o", f"HostKeyAlias={request.name}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", f'UserKnownHostsFile="{known_hosts}"', "-o", "GlobalKnownHostsFile=/dev/null"),
    ]
    python = request.text("python")
    return {
        "ansible_connection": "ssh",
        "ansible_host": address,
        "ansible_port": port,
        "ansible_user": request.text("user"),
        "ansible_ssh_common_args": shlex.join(arguments),
        **({"ansible_python_interpreter": python} if python else {}),
        "ssh_host_key": "\n".join(pinned),
        "host_name": address,
        "host_uuid": request.uuid,
        "provider": name,
        "expires": request.number("expires"),
    }


def destroy(request: Request) -> None:
    """End the adoption; the host itself is left alone, and standard error says so."""
    import sys

    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if record is None:
            return
        _RECORDS.discard(request.name)
    sys.stderr.write(f"existing: {request.name} is no longer leased; the host {record.get('address')} is left alone\n")


def reboot(request: Request) -> Mapping[str, object]:
    """Refused: whoever may log in there reboots it."""
    raise UnableError(f"{request.name} is not ours to reboot; the job itself may (ansible.builtin.reboot)")


def renew(request: Request) -> None:
    """Change when the adoption ends."""
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if not record:
            raise ProviderError(f"{request.name} is not adopted; create it")
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)


def listing() -> list[Record]:
    """Every adopted host; `stopped` is one that takes no connection."""
    return [_listed(peon, record) for peon in _RECORDS.names() if (record := _RECORDS.read(peon)) is not None]


def _listed(peon: str, record: Record) -> Record:
    known = {key: record.get(key) for key in ("uuid", "expires", "created")}
    return {"name": peon, **known, "state": _state(record), "provider": name}


def _state(record: Record) -> str:
    port = record.get("port")
    if not isinstance(port, int):
        return "half"
    try:
        socket.create_connection((str(record["address"]), port), timeout=_GLANCE).close()
    except OSError:
        return "stopped"
    return "running"


def why_not() -> str | None:
    """Why no host can be adopted here, or None."""
    try:
        _run(["ssh-keygen", "-F", "localhost", "-f", "/dev/null"])
    except ProviderError as error:
        return str(error)
    return None
