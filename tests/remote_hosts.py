"""A host that is reached over SSH, as a kommandir is: an SSH server of this machine, and a wire that can be cut."""

from __future__ import annotations

import getpass
import os
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from exekutir.remote.host import RemoteHost

NAME = "some-kommandir-g1"


@dataclass
class Server:
    """An SSH server on a port of its own, where the user of the tests may log in with a key."""

    folder: Path
    port: int = 0
    address: str = "127.0.0.1"
    #: Words before its command line, for a server in another network.
    entered: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("host_key", "key"):
            self._keyed(name)
        (self.folder / "authorized").write_text((self.folder / "key.pub").read_text())
        self.know(self.folder / "host_key.pub")
        self.port = _free_port()
        self.start()

    def _keyed(self, name: str) -> None:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True)

    def know(self, public: Path) -> None:
        """Make a public key the one that known_hosts has of this host."""
        self.known_hosts.write_text(f"{NAME} {' '.join(public.read_text().split()[:2])}\n")

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def start(self, host_key: str = "host_key") -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        options = [f"HostKey={self.folder / host_key}", f"AuthorizedKeysFile={self.folder / 'authorized'}"]
        options += ["StrictModes=no", "UsePAM=no", f"Port={self.port}", f"ListenAddress={self.address}", "PidFile=none"]
        options += ["PermitRootLogin=prohibit-password", "PasswordAuthentication=no", "LogLevel=QUIET"]
        words = [word for option in options for word in ("-o", option)]
        command = [*self.entered, "/usr/sbin/sshd", "-D", "-f", "/dev/null", *words]
        self.process = subprocess.Popen(command, start_new_session=True)
        deadline = time.monotonic() + 60
        while not _answers(self.address, self.port):
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server; connections that are there live on."""
        self.process.kill()
        self.process.wait()

    def sessions(self) -> list[int]:
        """The processes that serve connections."""
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(word) for word in listed.stdout.split()]

    def host(self, port: int | None = None) -> RemoteHost:
        return RemoteHost(
            name=NAME,
            address=self.address,
            port=port or self.port,
            user=getpass.getuser(),
            key=self.folder / "key",
            known_hosts=self.known_hosts,
        )


def _answers(address: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((address, port)) == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Wire:
    """A way to a port of this machine that can be cut, or go deaf, as often as one likes."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        #: Nothing gets through, and nobody is told.
        self.deaf = False
        self._deafened: set[socket.socket] = set()
        #: New connections are refused.
        self.down = False
        #: Cut after so many more bytes from the host, where it is a number.
        self.budget: int | None = None
        self.cuts = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            self._cut()

    def deafen(self) -> None:
        """The same for the connections that are there, not for new ones."""
        with self._lock:
            self._deafened |= set(self._pairs)

    def _cut(self) -> None:
        self.cuts += bool(self._pairs)
        for each in self._pairs:
            self._selector.unregister(each)
            each.close()
        self._pairs.clear()
        self._deafened.clear()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.cut()
        self._listener.close()
        self._selector.close()

    def _work(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs:
                        self._pass(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self.down:
            client.close()
            return
        host = socket.create_connection(("127.0.0.1", self.target))
        for one, other in ((client, host), (host, client)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass(self, one: socket.socket) -> None:
        other = self._pairs[one]
        try:
            data = one.recv(1 << 14)
            if data and (self.deaf or one in self._deafened):
                return
            from_host = other.getsockname()[1] == self.port
            if self.budget is not None and from_host:
                data, self.budget = data[: self.budget], self.budget - len(data)
            if data:
                other.sendall(data)
            if not data or (self.budget is not None and self.budget <= 0):
                raise ConnectionResetError
        except OSError:
            self.budget = None
            self._cut()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A host that answers."""
    folder = tmp_path / "host"
    folder.mkdir()
    found = Server(folder)
    yield found
    found.stop()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """A wire to that host."""
    found = Wire(server.port)
    yield found
    found.close()
