"""The keys by which a remote host is known: strictly those of its known_hosts file, under its name."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from exekutir.remote.host import RemoteHost
from kommandir.errors import KommandirError, UnreachableError

if TYPE_CHECKING:
    import paramiko

#: What to do about a host that has another key for a good reason. Those of a provider tell theirs by themselves.
ANEW = (
    "if the host was made anew on purpose, give its new key (kommandir_host_key or ~/.ssh/known_hosts), then run the "
    "same command again"
)


class HostKeyError(UnreachableError):
    """The host's key is unknown, or not the one that is known; trying again does not help."""


def known(host: RemoteHost) -> list[paramiko.PKey]:
    """The keys that are known of a host. Raises HostKeyError where there is none, KommandirError where none is read."""
    import paramiko

    file = paramiko.HostKeys()
    try:
        file.load(str(host.known_hosts))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise KommandirError(f"{host.known_hosts} can't be read: {error.strerror}", host=host.name) from error
    keys = list((file.lookup(host.name) or {}).values())
    if not keys:
        raise HostKeyError(
            "the connection is refused: no key of this host is known",
            host=host.name,
            why=f"{host.known_hosts} has no line for {host.name}, and a key is never accepted unseen",
            hint="its provider has to tell `ssh_host_key`; run `exekutir setup` again, which asks it",
        )
    return keys


def algorithms(keys: list[paramiko.PKey], offered: tuple[str, ...]) -> tuple[str, ...]:
    """The algorithms of ``offered`` by which the server can prove to have one of the known keys."""
    wanted: set[str] = set()
    for key in keys:
        name = key.get_name()
        wanted |= {"rsa-sha2-512", "rsa-sha2-256"} if name == "ssh-rsa" else {name}
    return tuple(name for name in offered if name in wanted)


def demand_known(host: RemoteHost, key: paramiko.PKey, keys: list[paramiko.PKey]) -> None:
    """Raise HostKeyError unless the key that the server has proved to have is a known one."""
    if any(key.asbytes() == each.asbytes() for each in keys):
        return
    expected = " or ".join(fingerprint(each) for each in keys)
    raise changed(host, f"the server showed {fingerprint(key)}, but {host.known_hosts} has {expected}")


def changed(host: RemoteHost, why: str) -> HostKeyError:
    """The error for a server that has not the key that is known."""
    return HostKeyError(
        "the connection is refused: the host's key has changed",
        host=host.name,
        why=f"{why}\nEither another host answers at {host.address}:{host.port}, or somebody is in between.",
        hint=f"find out which; {ANEW}",
    )


def fingerprint(key: paramiko.PKey) -> str:
    """A key as ``ssh-keygen -l`` shows it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"
