"""The way out of a peon: to the outside, never to this host.

``pasta`` copies packets between the peon's network and sockets of this host, so without further measures a peon would
reach every address that this host has. Routes that lead nowhere, in a network that the peon does not own, prevent it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import time

from kommandir.providers import processes
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kommandir.providers.records import Record, Records

#: The name service that the peon asks; pasta hands its questions to the one that this host uses.
RESOLVER = "192.0.0.53"
_TUN = "/dev/net/tun"
#: Seconds for the network to come up.
_PATIENCE = 10.0
_LOG = "uplink.log"
#: The key of a record with the number and identity of each process of the uplink.
_PROCESSES = "uplink_processes"
#: Networks that lead back to this host by convention: its own loopback, and what means `this host` or `link`.
_NEVER = ("169.254.0.0/16", "fe80::/10")


def check() -> None:
    """Raise ProviderError when no peon can have an uplink here; it says what to install or to allow."""
    import shutil

    for program, package in (("pasta", "passt"), ("ip", "iproute2"), ("nsenter", "util-linux")):
        if not shutil.which(program):
            raise ProviderError(f"--uplink needs {program}: apt-get install {package}")
    if not os.path.exists(_TUN):
        raise ProviderError(f"--uplink needs {_TUN}: modprobe tun")
    if os.geteuid() and not _open_to_all():
        raise ProviderError(
            f"--uplink needs {_TUN} to be open to this user: chmod 666 {_TUN} (as distributions have it)"
        )


def _open_to_all() -> bool:
    return os.stat(_TUN).st_mode & 0o006 == 0o006


def resolver_file() -> bytes:
    """The peon's /etc/resolv.conf."""
    return f"nameserver {RESOLVER}\n".encode()


def start(records: Records, peon: str, record: Record, network: tuple[int, int]) -> None:
    """Connect the network of a peon that waits for its start.

    ``network`` are descriptors of the network namespace and of the user namespace that owns it. The process is recorded
    before it does anything. Raises ProviderError with pasta's own words.
    """
    pid = record["pid"]
    assert isinstance(pid, int)
    log = f"{records.path(peon)}/{_LOG}"
    for handle in network:
        os.set_inheritable(handle, True)
    record[_PROCESSES] = []
    _route(network, "".join(f"route add blackhole {address}\n" for address in blocked()))
    holder = _recorded(records, peon, record, _holder(network), log)
    try:
        _await_program(holder, "sleep")
        command = _command(records.path(peon), network, holder)
        child = _recorded(records, peon, record, command, log)
        _wait(child, pid, log)
        # Where an address names its interface, a route without one does not count.
        _route(network, "route flush fe80::/64\n", "-6")
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


def _entry(network: tuple[int, int]) -> list[str]:
    """The words that run a program as root of the namespace that owns the peon's network."""
    return ["nsenter", f"--user=/proc/self/fd/{network[1]}"]


def _holder(network: tuple[int, int]) -> list[str]:
    """A program that keeps the descriptors open, with no capabilities, so that pasta, which has few, may see them."""
    return [*_entry(network), "setpriv", "--bounding-set=-all", "--inh-caps=-all", "sleep", str(int(_PATIENCE) * 3)]


def _await_program(child: int, name: str) -> None:
    """Wait until a child has become the program at the end of its command line."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with open(f"/proc/{child}/comm", encoding="ascii", errors="replace") as file:
            if file.read().strip() == name:
                return
        time.sleep(0.001)
    raise ProviderError(f"the namespace of the peon's network could not be entered within {_PATIENCE:g} s")


def _recorded(records: Records, peon: str, record: Record, command: list[str], log: str) -> int:
    """Start a process that waits until it is recorded, and ends when nobody records it."""
    waits, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        _become(command, waits, log)
    os.close(waits)
    try:
        known = record[_PROCESSES]
        assert isinstance(known, list)
        known.append([child, processes.identity(child)])
        records.write(peon, record)
        os.write(go, b"g")
    finally:
        os.close(go)
    return child


def _command(directory: str, network: tuple[int, int], holder: int) -> list[str]:
    """pasta, with nothing of this host mapped into the peon and no port forwarded.

    It finds the peon's network among the descriptors of ``holder``, as it closes those that it inherits.
    """
    arguments = ["--foreground", "--quiet", "--stderr", "--config-net", "--no-map-gw", "--dns-forward", RESOLVER]
    for ports in ("-t", "-u", "-T", "-U"):
        arguments += [ports, "none"]
    where = ["--netns-only", "--netns", f"/proc/{holder}/fd/{network[0]}"]
    pasta = [*_entry(network), "pasta", *arguments, *where]
    if os.geteuid() or _open_to_all():
        return pasta
    # It is opened with the peon's rights, which this host's may not allow; root can lay another node over it, in a
    # mount namespace that nobody else sees.
    node = f"{directory}/tun"
    if not os.path.exists(node):
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 200))
        os.chmod(node, 0o666)  # noqa: S103 - in a directory that only root may enter
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", node, _TUN, *pasta]


def _become(command: list[str], waits: int, log: str) -> None:
    """Become the uplink's process, once the parent has recorded it (in a child)."""
    try:
        os.setsid()
        if not os.read(waits, 1):
            return
        # Python ignores it, and pasta refuses to start where it is ignored already.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDWR)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for target, source in ((0, null), (1, output), (2, output)):
            os.dup2(source, target)
        os.execvp(command[0], command)
    finally:
        os._exit(127)


def _wait(child: int, pid: int, log: str) -> None:
    """Wait until the peon's network has a default route."""
    deadline = time.monotonic() + _PATIENCE
    handle = os.pidfd_open(child)
    try:
        while not _routed(pid):
            ended = select.select([handle], [], [], 0.01)[0]
            if ended or time.monotonic() > deadline:
                with open(log, encoding="utf-8", errors="replace") as file:
                    lines = [line for line in file.read().splitlines() if "syslog" not in line and line]
                how = "ended" if ended else f"brought no network up within {_PATIENCE:g} s"
                raise ProviderError(f"pasta {how}: {'; '.join(lines[-5:]) or 'it said nothing'}")
    finally:
        os.close(handle)


def _routed(pid: int) -> bool:
    with open(f"/proc/{pid}/net/route", encoding="ascii") as file:
        return any(line.split()[1] == "00000000" for line in file.readlines()[1:] if len(line.split()) > 1)


def _route(network: tuple[int, int], commands: str, *options: str) -> None:
    """Change the routes of the peon's network, by commands of `ip`."""
    import subprocess

    entered = [*_entry(network), f"--net=/proc/self/fd/{network[0]}", "ip", *options, "-force", "-batch", "-"]
    outcome = subprocess.run(entered, input=commands, capture_output=True, text=True, check=False, pass_fds=network)
    if outcome.returncode:
        raise ProviderError(f"the peon's routes could not be set, so it gets no uplink: {outcome.stderr.strip()}")


def blocked() -> list[str]:
    """All addresses of this host, and of whoever is logged in here by SSH, as the exekutir may be."""
    import subprocess

    told = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout
    own = [entry for link in json.loads(told) for entry in link.get("addr_info", [])]
    found = {f"{entry['local']}/{32 if entry['family'] == 'inet' else 128}" for entry in own}
    # It is no address where the login came through a unix socket.
    caller = [word for word in os.environ.get("SSH_CONNECTION", "").split()[:1] if set(word) & set(".:")]
    found |= {f"{address}/{128 if ':' in address else 32}" for address in caller}
    return [*sorted(address for address in found if not address.startswith(("127.", "::1", "fe80"))), *_NEVER]


def stop(record: Record) -> None:
    """End the uplink's processes."""
    recorded = record.get(_PROCESSES)
    for pid, identity in recorded if isinstance(recorded, list) else []:
        processes.kill(int(pid), str(identity), f"the uplink of {record['name']}")
