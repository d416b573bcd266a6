"""Talking to a running virtual machine: to QEMU by its monitor (QMP), and to the agent inside by a serial port.

Both are unix sockets in the machine's directory, bound before QEMU starts, so a connection waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time

from kommandir.providers import vm_guest
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL, AGENT = "control", "agent"
#: Bytes that are kept of what a guest or QEMU says before its line ends.
_LONGEST = 1 << 20
_CONSOLE_BYTES = 65536
#: Seconds between two looks at a machine that is waited for.
_LOOK = 2.0


class EndedError(ProviderError):
    """The machine ended by itself, or does not run."""


class Lines:
    """A connection to a socket of a machine that speaks in lines; every wait has a deadline (monotonic seconds)."""

    def __init__(self, directory: str, name: str) -> None:
        self._what = f"{directory}/{name}"
        self._rest = b""
        #: Called every few seconds of a wait; may end it by an error.
        self.watch: Callable[[], None] | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A path of a unix socket has 107 bytes at most: reach it by its bare name.
        before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chdir(directory)
            self._socket.connect(name)
        except OSError as error:
            self._socket.close()
            raise EndedError(f"{self._what}: {error.strerror}: the machine is not running") from None
        finally:
            os.fchdir(before)
            os.close(before)

    def close(self) -> None:
        """End the connection; the machine goes on."""
        self._socket.close()

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of it. Raises EndedError where nobody takes it."""
        self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise EndedError(f"{self._what}: the machine has ended") from None
        except OSError as error:
            raise ProviderError(f"{self._what}: {error.strerror or error}") from None

    def line(self, deadline: float) -> str:
        """The next line without its end. Raises TimeoutError after the deadline, EndedError at the end, and what
        ``watch`` raises."""
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(self._what)
            self._socket.settimeout(min(left, _LOOK))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                if self.watch:
                    self.watch()
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                raise EndedError(f"{self._what}: the machine has ended")
            self._rest = (self._rest + data)[-_LONGEST:]
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")


class Control(Lines):
    """QEMU's monitor."""

    def __init__(self, directory: str, deadline: float) -> None:
        super().__init__(directory, CONTROL)
        self._console, self._heard = "", 0
        self._next("QMP", deadline)
        self.execute("qmp_capabilities", deadline)

    def give(self, handle: int, name: str, deadline: float) -> None:
        """Hand QEMU a descriptor, which it knows by ``name`` until it used it."""
        # The reader of a message with a descriptor takes no more than that message.
        self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
        words = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode() + b"\n"
        socket.send_fds(self._socket, [words], [handle])
        self._answer("getfd", deadline)

    def execute(self, command: str, deadline: float, **arguments: object) -> object:
        """What QEMU returns; raises ProviderError with its own words when it refuses."""
        self.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n", deadline)
        return self._answer(command, deadline)

    def _answer(self, command: str, deadline: float) -> object:
        told = self._next(("return", "error"), deadline)
        if "error" in told:
            raise ProviderError(f"QEMU refused {command}: {told['error']}")
        return told["return"]

    def _next(self, wanted: str | tuple[str, ...], deadline: float) -> dict[str, object]:
        """The next message with one of these keys; events in between are passed over."""
        keys = (wanted,) if isinstance(wanted, str) else wanted
        while True:
            try:
                told = json.loads(self.line(deadline))
            except TimeoutError:
                raise ProviderError(f"{self._what}: QEMU did not answer in time") from None
            if isinstance(told, dict) and any(key in told for key in keys):
                return told

    def ignore_shared(self, deadline: float) -> None:
        """Leave the memory, which is in a file, out of the state that is moved."""
        capability = {"capability": "x-ignore-shared", "state": True}
        self.execute("migrate-set-capabilities", deadline, capabilities=[capability])

    def await_migration(self, deadline: float) -> None:
        """Wait until a state is saved or loaded. Raises ProviderError when it is not."""
        while True:
            told = self.execute("query-migrate", deadline)
            status = told.get("status") if isinstance(told, dict) else None
            if status == "completed":
                return
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                reason = told.get("error-desc") if isinstance(told, dict) else None
                raise ProviderError(f"the state of the machine was not moved ({status}): {reason or 'no reason given'}")
            time.sleep(0.02)

    def heard(self, deadline: float) -> int:
        """How many characters the machine has written to its console since we listen."""
        told = str(self.execute("ringbuf-read", deadline, device="console", size=_CONSOLE_BYTES))
        self._console = (self._console + told)[-_CONSOLE_BYTES:]
        self._heard += len(told)
        return self._heard

    def console(self, deadline: float, lines: int = 15) -> str:
        """The last lines of the machine's console, printable; of one that has ended what was heard of it."""
        with contextlib.suppress(ProviderError):
            self.heard(deadline)
        kept = ["".join(c for c in line if c.isprintable()) for line in self._console.splitlines() if line.strip()]
        return "\n".join(kept[-lines:])


class Agent(Lines):
    """The agent inside a machine, which runs scripts as its root."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory, AGENT)

    def await_ready(self, deadline: float) -> None:
        """Wait until it says that it listens. Raises TimeoutError, EndedError, and what ``watch`` raises."""
        while self.line(deadline).strip() != vm_guest.READY:
            continue

    def run(self, script: str, deadline: float) -> str:
        """Run a script; its last output. Raises ProviderError when it fails, TimeoutError when it does not end."""
        number = secrets.randbelow(10**9)
        self.send(vm_guest.framed(number, script), deadline)
        answer = None
        while answer is None:
            answer = vm_guest.answered(self.line(deadline), number)
        code, output = answer
        if code:
            raise ProviderError(f"a script in the machine ended with {code}: {output or 'it said nothing'}")
        return output
