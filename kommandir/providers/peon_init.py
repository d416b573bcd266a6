"""The first process of a peon: takes SSH connections from the socket it was given (descriptor 3) and buries the dead.

It runs inside the peon, with the peon's own Python, which may be older than ours; nothing of the host comes along.
"""

import fcntl
import os
import signal
import socket
import struct
import sys
import time

_SOCKET = 3
_FOLDER = "/run/exekutir"
_SSHD = ["/usr/sbin/sshd", "-i", "-f", _FOLDER + "/sshd_config", "-E", "/run/sshd.log"]
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
#: Seconds to wait when the peon has no room for another process.
_PAUSE = 0.2


def bury(_signal: int, _frame: object) -> None:
    """Take the exit codes of all children that ended: the first process inherits every orphan."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def raise_loopback() -> None:
    """Switch the loopback interface on; a peon with an uplink has it on already and may not do it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0)
        try:
            flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _GET_FLAGS, request))[1]
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", flags | _UP))
        except PermissionError:
            pass


def serve(connection: socket.socket, listener: socket.socket) -> None:
    """Become the SSH server of one connection (in a child)."""
    os.setsid()
    listener.close()
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.execv(_SSHD[0], _SSHD)


def main() -> None:
    """Serve until the peon is destroyed."""
    signal.signal(signal.SIGCHLD, bury)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if not os.path.exists(_SSHD[0]):
        sys.exit(f"this root filesystem has no {_SSHD[0]}: it needs the package openssh-server")
    os.makedirs("/run/sshd", 0o755, exist_ok=True)
    raise_loopback()
    listener = socket.socket(fileno=_SOCKET)
    listener.setblocking(True)
    while True:
        connection = listener.accept()[0]
        try:
            child = os.fork()
        except OSError as error:
            sys.stderr.write(f"no process for an SSH connection: {error}\n")
            connection.close()
            time.sleep(_PAUSE)
            continue
        if child == 0:
            try:
                serve(connection, listener)
            finally:
                os._exit(127)
        connection.close()


if __name__ == "__main__":
    main()
