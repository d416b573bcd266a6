"""The ProxyCommand of virtual machines: connect to the SSH server in the machine's network, hand that to ssh, and end.

    vm_socket.py DIRECTORY

The process of a machine is in a network of its own, where its SSH port is; nothing of the guest is there. So this
enters no guest, and a process number that was used again is noticed before anything is entered.
"""

import ctypes
import json
import os
import socket
import sys
import time

#: As vm_command.SSH_PORT has it; this file runs without the package.
PORT = 2222
_NEWUSER, _NEWNET = 0x10000000, 0x40000000


class NotRunningError(Exception):
    """The machine's process is gone."""


def enter(directory: str) -> None:
    """Put this process, which must have one thread, into the network of the machine whose record is in ``directory``.

    Raises NotRunningError when the machine's process is not the one that was recorded, OSError when it may not.
    """
    with open(f"{directory}/peon.json", encoding="utf-8") as file:
        record = json.load(file)
    pid = int(record.get("pid") or 0)
    try:
        handle = os.pidfd_open(pid) if pid > 0 else -1
    except OSError:
        handle = -1
    # The descriptor is bound to one process, so a comparison made now holds for what is entered.
    if handle < 0 or _identity(pid) != record.get("identity"):
        raise NotRunningError(directory)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, _NEWUSER | _NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"entering the machine's network: {os.strerror(number)}")
    os.close(handle)


def _identity(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{fields[19]}@{file.read().strip()}"
    except OSError:
        return ""


def await_banner(directory: str, seconds: float) -> bool:
    """Whether an SSH server has said its first word within that time; enters the machine's network for good."""
    enter(directory)
    deadline = time.monotonic() + seconds
    # The forwarded port accepts before the guest listens, so only the banner counts.
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=10) as client:
                if client.recv(4) == b"SSH-":
                    return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def main(directory: str) -> int:
    """Pass a connection through standard output, as ``ProxyUseFdpass`` wants it."""
    try:
        parent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 1)
        enter(directory)
        connection = socket.create_connection(("127.0.0.1", PORT))
    except (NotRunningError, OSError) as error:
        reason = "its process is gone" if isinstance(error, NotRunningError) else error.strerror or str(error)
        sys.stderr.write(
            f"the machine of {directory} is not running ({reason}): create or reboot it with its provider\n"
        )
        return 1
    handle = connection.fileno().to_bytes(4, sys.byteorder)
    parent.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handle)])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
