"""The ProxyCommand of peons: connect to the socket in the directory named, hand the connection to ssh, and end."""

import _socket  # `socket` takes 9 ms to import, on every connection
import os
import sys


def main(directory: str) -> int:
    """Pass a connection to the peon's socket through standard output, as ``ProxyUseFdpass`` wants it."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        os.chdir(directory)
        connection.connect("ssh")
    except OSError as error:
        reason = error.strerror or str(error)
        sys.stderr.write(f"the peon of {directory} is not running ({reason}): create or reboot it with its provider\n")
        return 1
    parent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, 1)
    handle = connection.fileno().to_bytes(4, sys.byteorder)
    parent.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handle)])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
