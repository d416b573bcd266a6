"""Starts the process of a virtual machine: in a network of its own, without capabilities, recorded before it runs."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import struct

from kommandir.providers import identities, ssh, syscalls, vm_control
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOG = "qemu.log"
#: Above all descriptors that a machine gets.
_HIGH = 64
_ALL_DESCRIPTORS = (1 << 31) - 1
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def launch(command: list[str], directory: str, started: Callable[[int], None], *, with_us: bool = False) -> int:
    """Start a machine whose files are in ``directory``; returns the number of its process.

    ``started`` is called with that number before the process executes anything; where it raises, or this process is
    killed before it returns, the machine ends. A machine ``with_us`` ends with this process too. Raises ProviderError
    where this host forbids it a network of its own.
    """
    listeners = [ssh.listen(directory, name) for name in (vm_control.CONTROL, vm_control.AGENT)]
    told, tell = os.pipe()
    heard, go = os.pipe()
    child = os.fork()
    if child == 0:
        _become(command, directory, listeners, (tell, heard), with_us)
    for handle in (*listeners, tell, heard):
        os.close(handle)
    try:
        _await_network(told)
        started(child)
        os.write(go, b"g")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(told)
        os.close(go)
    return child


def _await_network(told: int) -> None:
    answer = os.read(told, 1024).decode(errors="replace")
    if answer == "ready":
        return
    raise ProviderError(f"the machine's process could not be prepared: {answer or 'it ended'}")


def _become(command: list[str], directory: str, handles: list[int], pipes: tuple[int, int], with_us: bool) -> None:
    """Become the machine's process once it is recorded (in a child)."""
    tell, heard = pipes
    try:
        os.setsid()
        _isolate()
        os.chdir(directory)
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        tell, heard = _arranged(log, handles, tell, heard)
        os.write(tell, b"ready")
        if with_us:
            syscalls.die_with_parent()
        # The end of the pipe, without a word, is the end of whoever would have recorded us.
        if os.read(heard, 1):
            os.set_inheritable(tell, False)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            syscalls.drop_capabilities()
            os.execvpe(command[0], command, {"PATH": _PATH, "LANG": "C.UTF-8"})
    except FileNotFoundError:
        os.write(2, f"{command[0]} is not installed: apt-get install qemu-system-x86 qemu-utils\n".encode())
    except OSError as error:
        os.write(tell, str(error).encode())
    finally:
        os._exit(127)


def _isolate() -> None:
    """Go into a new network, with the loopback interface alone, which a user namespace of this user owns.

    Raises OSError, which says what forbids it.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        syscalls.unshare(syscalls.NEWUSER | syscalls.NEWNET)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        _raise_loopback()
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}. {identities.why_not(number=error.errno or 0)}") from None
    syscalls.allow_inspection()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _GET_FLAGS, request)[:18])[1]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", flags | _UP))


def _arranged(log: int, handles: list[int], tell: int, heard: int) -> tuple[int, int]:
    """Keep nothing of the caller: the streams lead to the log, then come the machine's descriptors, then the pipes."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open("/dev/null", os.O_RDWR)
    wanted = [null, log, log, *handles, tell, heard]
    # First above all that are about to be replaced.
    high = [fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, _HIGH) for handle in wanted]
    for target, handle in enumerate(high):
        os.dup2(handle, target, inheritable=True)
    os.closerange(len(high), _ALL_DESCRIPTORS)
    tell, heard = len(high) - 2, len(high) - 1
    os.set_inheritable(heard, False)
    return tell, heard


def words(directory: str, lines: int = 8) -> str:
    """The last that QEMU itself said."""
    try:
        with open(f"{directory}/{LOG}", encoding="utf-8", errors="replace") as file:
            return "; ".join(file.read().splitlines()[-lines:])
    except OSError:
        return ""


def why_not() -> str | None:
    """Why a machine's process gets no network of its own here, or None."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _isolate()
        except OSError as error:
            os.write(tell, str(error.strerror).encode())
        finally:
            os._exit(0)
    os.close(tell)
    with open(told, encoding="utf-8", errors="replace") as file:
        reason = file.read()
    os.waitpid(child, 0)
    return reason or None
