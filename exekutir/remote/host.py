"""How a remote kommandir is reached over SSH: by OpenSSH, by rsync, and by a socket for a library."""

from __future__ import annotations

import functools
import shlex
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kommandir.errors import UnreachableError, UsageError

#: Seconds after which a silent connection is taken for dead: so often, so long.
_ALIVE = ("ServerAliveInterval=5", "ServerAliveCountMax=3")
#: OpenSSH's own ciphers, with those first that cost least where the processor knows AES: a fifth of a long transfer.
#: OpenSSH puts ChaCha20 first, which is for processors that don't.
_CIPHERS = (
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"),
    *("aes128-ctr", "aes192-ctr", "aes256-ctr"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHost:
    """A host, the user who logs in there, and the key which that user has; the host's own key is always checked."""

    #: For messages; known_hosts has the host's key under it.
    name: str
    address: str
    port: int = 22
    user: str = "root"
    #: The private key.
    key: Path
    known_hosts: Path
    #: Words for ssh, from ``ansible_ssh_common_args`` and ``ansible_ssh_extra_args``.
    options: tuple[str, ...] = ()

    @classmethod
    def from_host_vars(cls, name: str, host_vars: Mapping[str, Any], *, key: Path, known_hosts: Path) -> RemoteHost:
        """From Ansible's host variables; raises UsageError for what can't be reached over SSH."""
        connection = str(host_vars.get("ansible_connection", "ssh"))
        if connection not in ("ssh", "smart", "paramiko", "paramiko_ssh"):
            raise UsageError(
                f"a kommandir is reached over SSH, but its `ansible_connection` is `{connection}`", host=name
            )
        words = [str(host_vars.get(key_) or "") for key_ in ("ansible_ssh_common_args", "ansible_ssh_extra_args")]
        own = host_vars.get("ansible_ssh_private_key_file")
        return cls(
            name=name,
            address=str(host_vars.get("ansible_host") or name),
            port=int(str(host_vars.get("ansible_port") or 22)),
            user=str(host_vars.get("ansible_user") or "root"),
            key=Path(str(own)) if own else key,
            known_hosts=known_hosts,
            options=tuple(word for text in words for word in shlex.split(text)),
        )

    def as_user(self, user: str, key: Path) -> RemoteHost:
        """The same host for another user, who has another key."""
        return replace(self, user=user, key=key)

    def ssh(self) -> list[str]:
        """The words of an OpenSSH command up to the destination; what is to run there follows."""
        return [*self._client(), f"{self.user}@{self.address}"]

    def remote_shell(self) -> str:
        """The same for ``rsync --rsh``, which adds the destination itself."""
        return shlex.join(self._client())

    def target(self, path: str) -> str:
        """A path on the host, as rsync names it."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{address}:{path}"

    def _client(self) -> list[str]:
        # Of an option that is given twice ssh takes the first: ours win over those of the provider.
        settings = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={_quoted(str(self.known_hosts))}",
            "GlobalKnownHostsFile=/dev/null",
            f"HostKeyAlias={self.name}",
            f"IdentityFile={_quoted(str(self.key))}",
            "IdentitiesOnly=yes",
            "ForwardAgent=no",
            "ConnectTimeout=15",
            "LogLevel=ERROR",
            *_ALIVE,
        ]
        words = [word for setting in settings for word in ("-o", setting)]
        # A provider may know better which ciphers its hosts have.
        return ["ssh", "-F", "none", *words, *self.options, *_fast_ciphers(), "-p", str(self.port)]

    def connection(self, timeout: float) -> socket.socket:
        """A new connection to the host's SSH server, through the provider's ProxyCommand where there is one.

        ``timeout`` is in seconds. Raises UnreachableError.
        """
        proxy, passes_descriptor = self._proxy(), self._option("proxyusefdpass") == "yes"
        try:
            if proxy and proxy != "none":
                return self._proxied(proxy, passes_descriptor, timeout)
            return socket.create_connection((self._option("hostname") or self.address, self.port), timeout=timeout)
        except OSError as error:
            raise UnreachableError(
                f"no connection to {self.address}:{self.port}", host=self.name, why=error.strerror or str(error)
            ) from error

    def _proxy(self) -> str | None:
        """The ProxyCommand of the provider; of its ProxyJump, the command that OpenSSH makes of it."""
        jumps = self._option("proxyjump") or next(
            (after for word, after in zip(self.options, self.options[1:], strict=False) if word == "-J"), None
        )
        if not jumps or jumps == "none":
            return self._option("proxycommand")
        *before, last = jumps.split(",")
        destination = last if last.startswith("ssh://") else f"ssh://{last}"
        through = ["-J", ",".join(before)] if before else []
        return shlex.join(["ssh", "-F", "none", "-o", "BatchMode=yes", *through, "-W", "[%h]:%p", destination])

    def _option(self, name: str) -> str | None:
        """The value of an ssh option among ``options``."""
        words = iter(self.options)
        for word in words:
            setting = next(words, "") if word == "-o" else word[2:] if word.startswith("-o") else ""
            key, _, value = (
                setting.replace(" ", "=", 1).partition("=") if "=" not in setting else setting.partition("=")
            )
            if key.strip().lower() == name:
                return value.strip()
        return None

    def _proxied(self, proxy: str, passes_descriptor: bool, timeout: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        command = _expanded(proxy, {"h": self.address, "p": str(self.port), "r": self.user, "n": self.name})
        child = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE
        )
        theirs.close()
        if not passes_descriptor:
            return ours
        ours.settimeout(timeout)
        try:
            _, handles, _, _ = socket.recv_fds(ours, 1, 1)
        finally:
            ours.close()
            said = child.communicate()[1] if child.stderr else b""
        if not handles:
            raise OSError(said.decode(errors="replace").strip() or f"the ProxyCommand ended with {child.returncode}")
        return socket.socket(fileno=handles[0])


@functools.cache
def _fast_ciphers() -> tuple[str, ...]:
    """Words for ssh. It refuses a list with one cipher that it was built without, and takes no `^` before 8.1."""
    if not _has_aes():
        return ()
    try:
        told = subprocess.run(["ssh", "-Q", "cipher"], capture_output=True, text=True, check=False)
    except OSError:  # whoever calls ssh itself says so
        return ()
    known = [cipher for cipher in _CIPHERS if cipher in told.stdout.split()]
    return ("-o", f"Ciphers={','.join(known)}") if known else ()


def _has_aes() -> bool:
    """Whether the processor has instructions for AES; the first page tells of the first one, be there hundreds."""
    try:
        with Path("/proc/cpuinfo").open("rb", buffering=0) as file:
            return b"aes" in file.read(4096).split()
    except OSError:
        return False


def _expanded(text: str, tokens: Mapping[str, str]) -> str:
    """The %-tokens of ssh's configuration, replaced."""
    parts = text.split("%%")
    for letter, value in tokens.items():
        parts = [part.replace(f"%{letter}", shlex.quote(value)) for part in parts]
    return "%".join(parts)


def _quoted(path: str) -> str:
    """A path for ssh's own configuration, which expands % and splits at blanks."""
    escaped = str(Path(path).absolute()).replace("%", "%%")
    return f'"{escaped}"' if " " in escaped else escaped
