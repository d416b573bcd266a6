"""SSH into a peon that has no address: keys, the server's settings, and the client's arguments.

The peon's first process waits on a unix socket that was bound outside of the peon; ``ssh`` gets a connection to it from
``kommandir/providers/ssh_socket.py`` (a ProxyCommand that hands over the descriptor and ends). So no process of the
host enters the peon, and a process number that was used again can never lead elsewhere.
"""

from __future__ import annotations

import _socket  # `socket` takes 9 ms to import, a fifth of what it takes to create a peon
import os
import shlex
import sys

from kommandir.providers.faults import ProviderError, ProviderUsageError

#: Where the files of the SSH server lie inside a peon.
FOLDER = "/run/exekutir"
#: The file name of the socket, in the peon's directory on the host.
SOCKET = "ssh"
#: The peon's host key, in its directory on the host; the public one has .pub.
HOST_KEY = "host_key"
AUTHORIZED_KEYS = "authorized_keys"
KNOWN_HOSTS = "known_hosts"
BACKLOG = 64
#: The first process of a host, and what a kommandir runs before it.
INIT = "init.py"
KOMMANDIR_INIT = "kommandir_init.py"

_SSHD_CONFIG = f"""\
HostKey {FOLDER}/{HOST_KEY}
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PidFile none
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""
_OF_PEON = f"""\
AuthorizedKeysFile {FOLDER}/{AUTHORIZED_KEYS} .ssh/authorized_keys
"""
#: One user a job, whose keys root has written; the key that the kommandir was created with is root's alone. Every
#: connection has a server of its own (sshd -i), so that MaxStartups, a limit of a listening server, counts nothing.
#: Users need runc, which is in a directory for root.
_OF_KOMMANDIR = f"""\
AuthorizedKeysFile /etc/exekutir/authorized_keys/%u
MaxSessions 256
SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Match User root
    AuthorizedKeysFile {FOLDER}/{AUTHORIZED_KEYS}
"""


def server_files(directory: str, *, kommandir: bool = False) -> dict[str, tuple[int, bytes]]:
    """The files of the SSH server inside a host, from its directory on this one: name to (mode, content)."""
    here = os.path.dirname(os.path.abspath(__file__))
    files = {
        "sshd_config": (0o644, (_SSHD_CONFIG + (_OF_KOMMANDIR if kommandir else _OF_PEON)).encode()),
        HOST_KEY: (0o600, _content(f"{directory}/{HOST_KEY}")),
        AUTHORIZED_KEYS: keys_file(directory)[1:],
        INIT: (0o644, _content(f"{here}/peon_init.py")),
    }
    if kommandir:
        files[KOMMANDIR_INIT] = (0o644, _content(f"{here}/{KOMMANDIR_INIT}"))
    return files


def keys_file(directory: str) -> tuple[str, int, bytes]:
    """The file of keys that may log in, for the inside of a host: name, mode, content."""
    return AUTHORIZED_KEYS, 0o644, _content(f"{directory}/{AUTHORIZED_KEYS}")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_public_key(path: str) -> bytes:
    """The key that may log in; raises ProviderUsageError when the file ``path`` holds none."""
    try:
        key = _content(path)
    except OSError as error:
        raise ProviderUsageError(f"--public-key {path}: {error.strerror}") from None
    if b"PRIVATE KEY" in key or len(key.split()) < 2:
        raise ProviderUsageError(f"--public-key {path} is not a public key, one line as ssh-keygen writes it")
    return key.strip() + b"\n"


def authorize(directory: str, key: bytes) -> None:
    """Let a key log in to the peon of that directory, from its next start on."""
    _write(f"{directory}/{AUTHORIZED_KEYS}", key, 0o644)


def authorize_also(directory: str, key: bytes) -> bool:
    """Let a further key log in; False when it may already."""
    path = f"{directory}/{AUTHORIZED_KEYS}"
    known = _content(path)
    if key in known.splitlines(keepends=True):
        return False
    _write(f"{path}.new", known + key, 0o644)
    os.rename(f"{path}.new", path)
    return True


def _write(path: str, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(handle, "wb") as file:
        file.write(content)


def start_key(directory: str, name: str) -> int:
    """Start making a peon's host key, unless it has one; returns the process for ``finish_key``, 0 for none."""
    path = f"{directory}/{HOST_KEY}"
    if os.path.exists(f"{path}.pub"):
        return 0
    if os.path.exists(path):
        os.unlink(path)
    arguments = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path]
    try:
        return os.posix_spawnp(arguments[0], arguments, os.environ)
    except FileNotFoundError:
        raise ProviderError("ssh-keygen is not installed: apt-get install openssh-client") from None


def finish_key(directory: str, name: str, process: int) -> str:
    """Wait for the host key; writes known_hosts and returns the public key as `ssh-ed25519 AAAA...`."""
    if process and os.waitpid(process, 0)[1]:
        raise ProviderError(f"ssh-keygen made no host key in {directory}; its own message is above")
    key = host_key(directory)
    _write(f"{directory}/{KNOWN_HOSTS}", f"{name} {key}\n".encode(), 0o644)
    return key


def host_key(directory: str) -> str:
    """The public host key of a peon, without its comment."""
    return " ".join(_content(f"{directory}/{HOST_KEY}.pub").decode().split()[:2])


def listen(directory: str, name: str = SOCKET) -> int:
    """Bind a socket in the peon's directory anew; returns its descriptor."""
    # A path of a unix socket has 107 bytes at most: bind it by its bare name.
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        if os.path.lexists(name):
            os.unlink(name)
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        listener.bind(name)
        os.chmod(name, 0o600)
        listener.listen(BACKLOG)
        return listener.detach()
    finally:
        os.fchdir(before)
        os.close(before)


def variables(directory: str, name: str, proxy_file: str = "ssh_socket.py") -> dict[str, object]:
    """The host variables with which Ansible, rsync and a person's ssh reach a peon by its name, host key checked.

    ``proxy_file`` is the file beside this one that gets the connection.
    """
    helper = os.path.join(os.path.dirname(os.path.abspath(__file__)), proxy_file)
    proxy = shlex.join([sys.executable, "-I", "-S", helper, directory]).replace("%", "%%")
    arguments = [
        *("-o", f"ProxyCommand={proxy}", "-o", "ProxyUseFdpass=yes", "-o", f"HostKeyAlias={name}"),
        *("-o", f"UserKnownHostsFile={_quoted(f'{directory}/{KNOWN_HOSTS}')}", "-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "KexAlgorithms=^curve25519-sha256"),
    ]
    return {
        "ansible_connection": "ssh",
        "ansible_host": name,
        "ansible_port": 22,
        "ansible_user": "root",
        "ansible_ssh_common_args": shlex.join(arguments),
        "ansible_python_interpreter": "/usr/bin/python3",
        "ssh_host_key": host_key(directory),
    }


def _quoted(path: str) -> str:
    """A path for ssh's own configuration, which expands % and splits at blanks."""
    return '"' + path.replace("%", "%%") + '"' if " " in path else path.replace("%", "%%")
