"""Has a zygote run a playbook, and ends as that ends: ``zygote_call.py NAME LAUNCHER ansible-playbook ARGUMENTS``.

A program, not a module; it imports next to nothing. NAME is that of the zygote's socket. Where there is no zygote it
becomes the launcher (the program LAUNCHER), which starts Ansible from nothing.
"""

import os
import signal
import socket
import struct
import sys


def called(name: str, arguments: list[str]) -> socket.socket | None:
    """A connection over which the playbook was called for; None where that can't be."""
    folder = os.getcwd()  # noqa: PTH109 -- pathlib would have to be imported
    texts = [folder, str(len(arguments)), *arguments, *(f"{name}={value}" for name, value in os.environ.items())]
    body = b"\0".join(map(os.fsencode, texts))
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(f"\0{name}")
        sent = socket.send_fds(connection, [struct.pack("q", len(body)) + body], [1, 2])
        connection.sendall((struct.pack("q", len(body)) + body)[sent:])
    except OSError:
        connection.close()
        return None
    return connection


def number(connection: socket.socket) -> int | None:
    """The next number that the zygote tells; None where it has gone."""
    try:
        data = connection.recv(4, socket.MSG_WAITALL)
    except OSError:
        return None
    return int(struct.unpack("i", data)[0]) if len(data) == 4 else None


def main() -> None:
    """The entry point."""
    name, launcher, *arguments = sys.argv[1:]
    connection = called(name, arguments)
    child = number(connection) if connection else None
    if connection is None or child is None:
        os.execv(sys.executable, [sys.executable, "-P", launcher, *arguments])  # noqa: S606 -- there is no shell to need
    status = number(connection)
    if status is None:
        # The zygote was killed, and nobody would wait for its child.
        os.killpg(child, signal.SIGKILL)
        status = signal.SIGKILL
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
