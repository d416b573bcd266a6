"""The control connection to a remote kommandir: one SSH connection, any number of commands over it.

Login by the key file alone, the host's key strictly the known one. A connection that says nothing for SILENCE seconds,
though it is asked every few, is given up as lost. paramiko is imported by the first connection.
"""

from __future__ import annotations

import contextlib
import select
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from exekutir.remote import host_keys
from exekutir.remote.host import RemoteHost
from exekutir.remote.host_keys import HostKeyError
from exekutir.remote.waiting import waited
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, UnreachableError
from kommandir.process import Outcome

if TYPE_CHECKING:
    import paramiko

__all__ = ["AGAIN", "ConnectionLostError", "Control", "HostKeyError", "LoginRefusedError", "RemoteCommand"]

#: What to do when a host went away.
AGAIN = "run the same command again: it asks the provider for the host, and for another one where that is gone"
#: Seconds for one attempt to connect and log in.
PATIENCE = 20.0
#: Seconds between two questions whether the other side is there, and without an answer until it is taken for gone.
PULSE, SILENCE = 4.0, 15.0
#: Seconds after which a wait looks at everything, whatever woke it.
LOOK = 1.0
#: The same for commands whose output is closed: their end wakes nobody.
CLOSED_LOOK = 0.02
#: Exit code of a command of which the other side told none.
NO_STATUS = 255


class ConnectionLostError(UnreachableError):
    """A connection that was there has ended, or went silent; what runs on the other side is another matter."""


class LoginRefusedError(UnreachableError):
    """The host is there and is the known one, and does not let this user in with this key."""


class Control:
    """A connection to a host; as a context it is closed at the end. Commands may run over it side by side.

    To be used by one thread.
    """

    def __init__(self, host: RemoteHost, transport: paramiko.Transport) -> None:
        self.host = host
        self._transport = transport
        self._heard = time.monotonic()
        self._closing = threading.Event()
        self._commands: list[RemoteCommand] = []
        threading.Thread(target=self._ask, name="pulse", daemon=True).start()

    @classmethod
    def opened(cls, host: RemoteHost, *, deadline: Deadline, cancellation: Cancellation) -> Control:
        """Connect and log in, within PATIENCE seconds.

        Raises HostKeyError where the host's key is not the known one, UnreachableError where there is no connection or
        no login, StoppedError and TimeOutError.
        """
        attempt = Deadline.after(PATIENCE)
        transport = waited(
            lambda: _logged_in(host),
            deadline=deadline,
            cancellation=cancellation,
            doing=f"a connection to {host.name}",
            host=host.name,
            look=lambda: _demand_time(attempt, host),
        )
        return cls(host, transport)

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; commands whose input or output it was learn that by it."""
        self._closing.set()
        self._transport.close()
        for command in self._commands:
            command.close()

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline: Deadline, cancellation: Cancellation
    ) -> Outcome:
        """Run a program to its end; what came of it is a value. Its words are no shell text.

        Raises ConnectionLostError, TimeOutError and StoppedError; then the program may run on.
        """
        started, doing = time.monotonic(), f"running {argv[0]} on {self.host.name}"
        command = self.started(argv, stdin=stdin, deadline=deadline, cancellation=cancellation)
        with contextlib.closing(command):
            while not command.ended:
                self.wait([command], seconds=deadline.remaining(), cancellation=cancellation)
                cancellation.check(doing)
                deadline.check(doing, host=self.host.name)
            return command.outcome(time.monotonic() - started)

    def stream(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline: Deadline, cancellation: Cancellation
    ) -> Iterator[bytes]:
        """The lines of a program's standard output, without their ends, as they come.

        Raises as ``run`` does, and KommandirError when it ends with another exit code than 0.
        """
        doing = f"running {argv[0]} on {self.host.name}"
        command = self.started(argv, stdin=stdin, deadline=deadline, cancellation=cancellation)
        with contextlib.closing(command):
            while not command.ended:
                self.wait([command], seconds=deadline.remaining(), cancellation=cancellation)
                yield from command.lines()
                cancellation.check(doing)
                deadline.check(doing, host=self.host.name)
            yield from command.lines()
            outcome = command.outcome(0.0)
            if not outcome.good:
                raise KommandirError(f"{argv[0]} ended with {outcome.end}", host=self.host.name, why=outcome.stderr)

    def started(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline: Deadline, cancellation: Cancellation
    ) -> RemoteCommand:
        """Start a program, give it its whole standard input, and don't wait for it."""
        channel = waited(
            lambda: self._begun(shlex.join(argv), stdin),
            deadline=deadline,
            cancellation=cancellation,
            doing=f"{argv[0]} to start on {self.host.name}",
            host=self.host.name,
            look=self.demand_alive,
        )
        command = RemoteCommand(self.host, channel)
        # A descriptor of each is held until it is closed, whoever forgets to do so.
        self._commands = [*(each for each in self._commands if not each.closed), command]
        return command

    def _begun(self, command: str, stdin: bytes) -> paramiko.Channel:
        import paramiko

        try:
            channel = self._transport.open_session(timeout=SILENCE)
            channel.fileno()  # from now on whatever comes wakes who waits
            channel.exec_command(command)
            channel.sendall(stdin)
            channel.shutdown_write()
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(str(error) or "it was closed") from error
        return channel

    def wait(self, commands: Sequence[RemoteCommand], *, seconds: float, cancellation: Cancellation | None) -> None:
        """Return when one of ``commands`` may have told something or ended, on a signal, or after some time.

        Raises ConnectionLostError when the connection is silent or at its end.
        """
        poll = select.poll()
        if cancellation is not None:
            poll.register(cancellation.fileno(), select.POLLIN)
        longest = min(seconds, LOOK)
        for command in commands:
            if command.output_closed:  # its descriptor stays readable, though its end may be far
                longest = min(longest, CLOSED_LOOK)
            else:
                poll.register(command.fileno(), select.POLLIN)
        poll.poll(longest * 1000)
        received = [command.receive() for command in commands]
        if not any(received):
            self.demand_alive()

    def demand_alive(self) -> None:
        """Raise ConnectionLostError when the connection has ended or the other side says nothing any more."""
        if not self._transport.is_active():
            error = self._transport.get_exception()
            raise self._lost(str(error) if error else "the other side closed it")
        silent = time.monotonic() - self._heard
        if silent > SILENCE:
            self._transport.close()
            raise self._lost(f"nothing came for {silent:.0f} s, though it was asked every {PULSE:g} s")

    def _lost(self, why: str) -> ConnectionLostError:
        return ConnectionLostError("the connection was lost", host=self.host.name, why=why, hint=AGAIN)

    def _ask(self) -> None:
        """Ask the other side again and again whether it is there; any answer will do."""
        import paramiko

        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):  # others see that it has ended
            while self._transport.is_active():
                self._transport.global_request("keepalive@openssh.com", wait=True)
                if self._transport.is_active():
                    self._heard = time.monotonic()
                if self._closing.wait(PULSE):
                    return


class RemoteCommand:
    """A program that runs on the other side."""

    def __init__(self, host: RemoteHost, channel: paramiko.Channel) -> None:
        self._host, self._channel = host, channel
        self._output = bytearray()
        self._errors = bytearray()
        #: Whether ``close`` was called.
        self.closed = False

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something to receive."""
        return self._channel.fileno()

    @property
    def output_closed(self) -> bool:
        """Whether it will say nothing more, though it may run on."""
        return bool(self._channel.eof_received) and not self._waiting()

    @property
    def ended(self) -> bool:
        """Whether it has ended and all that it said was received."""
        return self._over() and not self._waiting()

    def _over(self) -> bool:
        return bool(self._channel.closed or (self._channel.eof_received and self._channel.exit_status_ready()))

    def _waiting(self) -> bool:
        return self._channel.recv_ready() or self._channel.recv_stderr_ready()

    def receive(self) -> bool:
        """Take what has come so far; whether that was anything, or the end."""
        before = len(self._output) + len(self._errors)
        while self._channel.recv_ready():
            self._output += self._channel.recv(1 << 18)
        while self._channel.recv_stderr_ready():
            self._errors += self._channel.recv_stderr(1 << 16)
        return len(self._output) + len(self._errors) > before or self._over()

    def lines(self) -> list[bytes]:
        """The whole lines of standard output that were received since the last call; at its end also a torn one."""
        whole, _, rest = self._output.rpartition(b"\n")
        if self.ended and rest:
            whole, rest = self._output, bytearray()
        elif not whole and not self._output.startswith(b"\n"):
            return []
        self._output = bytearray(rest)
        return bytes(whole).split(b"\n")

    def outcome(self, seconds: float) -> Outcome:
        """What came of it, once it has ended. Raises ConnectionLostError where its end was not told."""
        self.receive()
        code = self._channel.exit_status
        if code < 0 and not self._channel.get_transport().is_active():
            raise ConnectionLostError(
                "the connection was lost", host=self._host.name, why="it ended before the command did", hint=AGAIN
            )
        output, errors = (bytes(each).decode(errors="replace") for each in (self._output, self._errors))
        return Outcome(NO_STATUS if code < 0 else code, output, errors, seconds)

    def close(self) -> None:
        """Hear no more of it; its next output finds nobody."""
        self.closed = True
        self._channel.close()


def _demand_time(attempt: Deadline, host: RemoteHost) -> None:
    if attempt.expired:
        raise UnreachableError(
            f"no SSH connection to {host.address}:{host.port} within {attempt.given:g} s",
            host=host.name,
            hint="look whether it runs and whether its SSH server answers",
        )


def _logged_in(host: RemoteHost) -> paramiko.Transport:
    """A connection whose other side is known and lets us in."""
    keys = host_keys.known(host)
    own = _own_key(host)
    connection = host.connection(PATIENCE)
    try:
        transport = _spoken_to(host, connection, keys)
    except BaseException:
        connection.close()
        raise
    try:
        _authenticated(transport, host, own)
    except BaseException:
        transport.close()
        raise
    return transport


def _spoken_to(host: RemoteHost, connection: socket.socket, keys: list[paramiko.PKey]) -> paramiko.Transport:
    import paramiko
    from paramiko.ssh_exception import IncompatiblePeer

    _quiet()
    connection.settimeout(None)
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(connection)
    options = transport.get_security_options()
    options.key_types = host_keys.algorithms(keys, tuple(options.key_types))
    try:
        transport.start_client(timeout=PATIENCE)
        host_keys.demand_known(host, transport.get_remote_server_key(), keys)
    except IncompatiblePeer as error:
        transport.close()
        raise host_keys.changed(host, f"the server has no key of a known kind: {error}") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        raise _no_connection(host, error) from error
    except BaseException:
        transport.close()
        raise
    return transport


def _authenticated(transport: paramiko.Transport, host: RemoteHost, key: paramiko.PKey) -> None:
    import paramiko

    try:
        transport.auth_publickey(host.user, key)
        if transport.is_authenticated():
            return
    except paramiko.AuthenticationException as error:
        if not transport.is_active():
            raise _no_connection(host, error) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _no_connection(host, error) from error
    raise LoginRefusedError(
        f"{host.user} can't log in with the key {host.key}",
        host=host.name,
        hint=f"put {host.key}.pub into that user's authorized_keys there; for a job's own user run the same context "
        "again, which does that",
    )


def _no_connection(host: RemoteHost, error: Exception) -> UnreachableError:
    why = str(error) or "the other side closed it"
    return UnreachableError(f"no SSH connection to {host.address}:{host.port}", host=host.name, why=why, hint=AGAIN)


def _own_key(host: RemoteHost) -> paramiko.PKey:
    """The key that logs in, from its file alone. Raises KommandirError where it can't be read."""
    import paramiko
    from paramiko.pkey import UnknownKeyType

    try:
        return paramiko.PKey.from_path(host.key)
    except OSError as error:
        why = error.strerror or str(error)
    except (paramiko.SSHException, UnknownKeyType, ValueError, TypeError) as error:
        why = f"{error!r}; with a passphrase it can't be used, as nobody is there to type it"
    hint = (
        "put a key without passphrase there, its .pub beside it; or remove both, and another one is made. The host has "
        "to know it then"
    )
    raise KommandirError("the key can't be read", host=host.name, why=f"{host.key}: {why}", hint=hint)


def _quiet() -> None:
    """paramiko writes no log: what matters comes as errors, and packets are nobody's business."""
    import logging

    log = logging.getLogger("paramiko")
    log.propagate = False
    log.setLevel(logging.CRITICAL + 1)
    if not log.handlers:
        log.addHandler(logging.NullHandler())
