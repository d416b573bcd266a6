"""Starts a peon: a process in namespaces of its own, on an overlay over the root filesystem.

Three processes take part. The *launcher* is the provider; its child, the *outer* one, makes the namespaces, gets its
numbers mapped and ends; the grandchild is the *first* process of the peon. It prepares the file systems and waits for
the launcher, which records its number before it says go. When the launcher dies before that, the others read the end of
a pipe and end too, so that there is never a peon that nothing on disk tells of.

With an uplink the network belongs to an outer user namespace, so that the peon's root cannot change the routes which
keep it away from this host.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat

from kommandir.providers import identities, limits, ssh, syscalls, uplink
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    Started = Callable[[int, dict[str, str], tuple[int, int]], None]

_OWN = syscalls.NEWNS | syscalls.NEWPID | syscalls.NEWUTS | syscalls.NEWIPC
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_OLD_ROOT = "run/old"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "container": "exekutir",
}
_HIGH = 64
_ALL_DESCRIPTORS = (1 << 31) - 1
_INIT = ("/usr/bin/python3", "-I", "-S", f"{ssh.FOLDER}/{ssh.INIT}")
#: Where the peon's root is put together: any directory does, as only the peon's own mount namespace sees it.
_PLACE = "/tmp"  # noqa: S108 - nothing is created there


class Boot:
    """What it takes to start a peon."""

    __slots__ = (
        "disk", "files", "groups", "host_name", "identities", "limits", "listener", "number", "rootfs", "uplink",
    )  # fmt: skip

    #: How many times this disk was started, for a work directory that nobody used.
    number: int
    #: The files in ssh.FOLDER: name to (mode, content).
    files: dict[str, tuple[int, bytes]]
    host_name: str
    identities: identities.Identities
    limits: limits.Limits
    #: Control groups by controller.
    groups: dict[str, str]
    #: The directories of the disk and of the unpacked root filesystem.
    disk: str
    rootfs: str
    #: The descriptor of the socket for SSH.
    listener: int
    #: Whether the network gets an outer user namespace.
    uplink: bool


def launch(boot: Boot, started: Started) -> None:
    """Start a peon; it runs when this returns.

    ``started`` is called with the number of its first process, the limits that hold, and descriptors of its network
    and of the user namespace that owns it, before that process does anything: it must record the number.

    Raises ProviderError or OSError when it could not be started; then nothing of it runs any more.
    """
    told, tell = os.pipe()
    heard, say = os.pipe()
    outer = os.fork()
    if outer == 0:
        os.close(told)
        os.close(say)
        _outer(boot, tell, heard)
    os.close(tell)
    os.close(heard)
    answers = open(told, encoding="utf-8", errors="replace")  # noqa: SIM115 - closed below, after the children's end
    say_file = open(say, "w", encoding="utf-8")  # noqa: SIM115 - the same
    try:
        _guide(boot, outer, answers, say_file, started)
    finally:
        with contextlib.suppress(BrokenPipeError):
            say_file.close()
        # The other ends are closed by exec or exit: past this line nobody of a failed launch is left.
        rest = answers.read()
        answers.close()
        os.waitpid(outer, 0)
    if rest:
        raise ProviderError(_fault(rest))


def _guide(boot: Boot, outer: int, answers: TextIO, say: TextIO, started: Started) -> None:
    _await(answers, "new")
    # Now, as the outer process becomes one whose namespaces even its owner may not open.
    owner, network = (os.open(f"/proc/{outer}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "net"))
    try:
        identities.write_maps(outer, boot.identities)
        holds = limits.apply(boot.limits, boot.groups, outer)
        print(holds["memory"], holds["processes"], sep="|", file=say, flush=True)
        started(int(_await(answers, "pid", "ready")["pid"]), holds, (network, owner))
        print("go", file=say, flush=True)
    except BrokenPipeError:
        raise ProviderError(_fault(answers.read())) from None
    finally:
        os.close(owner)
        os.close(network)


def _await(answers: TextIO, *words: str) -> dict[str, str]:
    """Read until all the words were said, in any order, as two processes say them; what followed each."""
    said: dict[str, str] = {}
    while len(said) < len(words):
        line = answers.readline()
        word, _, rest = line.rstrip("\n").partition(" ")
        if word not in words:
            raise ProviderError(_fault(line + answers.read()))
        said[word] = rest
    return said


def _fault(said: str) -> str:
    text = said.rpartition("error ")[2].strip()
    return text or "the peon's first process was killed while it started; is memory or the number of processes used up?"


def _outer(boot: Boot, tell: int, heard: int) -> None:
    """The child: makes the namespaces and the first process, and ends."""
    try:
        os.setsid()
        os.umask(0o022)
        syscalls.leave_session_keyring()
        _unshare(syscalls.NEWUSER | syscalls.NEWNET | (syscalls.NEWNS if boot.uplink else _OWN))
        rootfs = _step_in(boot)
        _say(tell, "new")
        holds = _holds(heard)
        identities.become_root()
        _mount_root(boot, rootfs)
        if boot.uplink:
            _open_ports(boot.identities.count)
            _nest(boot.identities)
        first = os.fork()
        if first == 0:
            _first(boot, holds, tell, heard)
        _say(tell, f"pid {first}")
    except BaseException as error:  # noqa: BLE001 - a forked child must not run the launcher's code; the text is raised there
        _say(tell, f"error {_explained(error)}")
    finally:
        os._exit(0)


def _unshare(flags: int) -> None:
    try:
        syscalls.unshare(flags)
    except OSError as error:
        raise ProviderError(identities.why_not(number=error.errno or 0)) from None


def _step_in(boot: Boot) -> int:
    """Go to the disk, and open the root filesystem.

    Between the new mount namespace and the new identity: descriptors from before lead to mounts of the host's, and
    the peon's numbers may not be let through the user's directories.
    """
    rootfs = os.open(boot.rootfs, os.O_PATH | os.O_DIRECTORY)
    os.chdir(boot.disk)
    return rootfs


def _holds(heard: int) -> dict[str, str]:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(heard, 1)
        if not byte:
            os._exit(0)  # the launcher is gone, or has an error of its own to tell
        line += byte
    memory, processes = line.decode().rstrip("\n").split("|")
    return {"memory": memory, "processes": processes}


def _say(tell: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(tell, f"{text}\n".encode())


def _explained(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
    return str(error) or type(error).__name__


def _open_ports(count: int) -> None:
    """Let the peon, which does not own its network, listen on low ports and ping."""
    for name, value in (("ip_unprivileged_port_start", "0"), ("ping_group_range", f"0 {count - 2}")):
        with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as file:
            file.write(value)


def _nest(ids: identities.Identities) -> None:
    """Enter a user namespace within this one, with the same numbers, and the peon's other namespaces in it."""
    made, tell = os.pipe()
    mapped, go = os.pipe()
    parent = os.getpid()
    syscalls.allow_inspection()
    mapper = os.fork()
    if mapper == 0:
        os.close(tell)
        if os.read(made, 1):
            for kind in ("uid", "gid"):
                with open(f"/proc/{parent}/{kind}_map", "w", encoding="ascii") as file:
                    file.write("".join(f"{inside} {inside} {count}\n" for inside, _, count in ids.extents(0)))
            os.write(go, b"g")
        os._exit(0)
    os.close(go)
    syscalls.unshare(syscalls.NEWUSER | _OWN)
    os.write(tell, b"m")
    good = os.read(mapped, 1)
    for handle in (made, tell, mapped):
        os.close(handle)
    os.waitpid(mapper, 0)
    if not good:
        raise ProviderError("the numbers of the inner user namespace could not be mapped")
    identities.become_root()


def _first(boot: Boot, holds: dict[str, str], tell: int, heard: int) -> None:
    """The grandchild: prepares the peon's file systems, waits for go, and becomes the peon's first process."""
    try:
        syscalls.set_host_name(boot.host_name)
        _mount_own(boot)
        _enter()
        _write_files(boot)
        _say(tell, "ready")
        if os.read(heard, 2) != b"go":
            os._exit(0)
        tell = _become_clean(boot, holds, tell)
        os.execve(_INIT[0], _INIT, _ENVIRONMENT)
    except FileNotFoundError as error:
        lacks = f"the root filesystem has no {_INIT[0]}: it needs the packages that kommandir.rootfs installs"
        _say(tell, f"error {lacks if error.filename == _INIT[0] else _explained(error)}")
    except BaseException as error:  # noqa: BLE001 - a forked child must not run the launcher's code; the text is raised there
        _say(tell, f"error {_explained(error)}")
    finally:
        os._exit(1)


def _mount_root(boot: Boot, rootfs: int) -> None:
    """Put the overlay in place, go there, and mount what belongs to the owner of the network."""
    syscalls.mount("none", "/", None, syscalls.RECURSIVE | syscalls.PRIVATE)
    work = f"work-{boot.number}"
    for folder in ("upper", work):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o755)
    options = f"lowerdir=/proc/self/fd/{rootfs},upperdir=upper,workdir={work},userxattr,volatile"
    try:
        syscalls.mount("overlay", _PLACE, "overlay", 0, options)
    except OSError as error:
        raise ProviderError(_overlay_fault(error)) from None
    os.chdir(_PLACE)
    for folder in ("proc", "sys", "dev", "run", "etc"):
        # A peon may have left a link there, which a mount before the change of root would follow.
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise ProviderError(f"/{folder} on the peon's disk is no directory: destroy and create it anew")
    with contextlib.suppress(OSError):
        # Facts of the hardware; a host that hides parts of its own /sys refuses it, and peons do without.
        syscalls.mount("sysfs", "sys", "sysfs", syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC | syscalls.RDONLY)


def _overlay_fault(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"this host lets a user namespace mount no overlay. {identities.why_not()}"
    return (
        f"mounting the peon's disk (overlay) failed: {error.strerror}. It needs Linux 5.11 or newer, and a state "
        "directory that is not itself on an overlay, NFS or FUSE: name one on ext4, xfs, btrfs or tmpfs with "
        "EXEKUTIR_STATE; the kernel's own reason: dmesg | tail"
    )


def _mount_own(boot: Boot) -> None:
    """Mount what belongs to the peon's own namespaces."""
    if boot.uplink:
        # What an outer namespace mounted is locked in an inner one, and a locked mount cannot become the root.
        syscalls.mount(".", _PLACE, None, syscalls.BIND | syscalls.RECURSIVE)
        os.chdir(_PLACE)
    _mount("proc", "proc", "proc", syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC, None)
    _mount("tmpfs", "run", "tmpfs", syscalls.NOSUID | syscalls.NODEV, "mode=755")
    _mount_devices()


def _mount(source: str, target: str, kind: str, flags: int, options: str | None) -> None:
    try:
        syscalls.mount(source, target, kind, flags, options)
    except PermissionError:
        raise ProviderError(
            f"this host lets a user namespace mount no {kind} (in a container: its /proc is masked; run it privileged "
            f"or with --security-opt unmask=ALL). {identities.why_not()}"
        ) from None


def _mount_devices() -> None:
    _mount("tmpfs", "dev", "tmpfs", syscalls.NOSUID, "mode=755")
    for device in _DEVICES:
        os.close(os.open(f"dev/{device}", os.O_WRONLY | os.O_CREAT, 0o666))
        syscalls.mount(f"/dev/{device}", f"dev/{device}", None, syscalls.BIND)
    for name, target in _LINKS.items():
        os.symlink(target, f"dev/{name}")
    os.mkdir("dev/pts", 0o755)
    os.mkdir("dev/shm", 0o1777)
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    _mount("devpts", "dev/pts", "devpts", syscalls.NOSUID | syscalls.NOEXEC, options)
    _mount("tmpfs", "dev/shm", "tmpfs", syscalls.NOSUID | syscalls.NODEV, "mode=1777")


def _enter() -> None:
    """Make the overlay the root, and let go of the host's file systems."""
    os.mkdir(_OLD_ROOT, 0o700)
    syscalls.pivot_root(".", _OLD_ROOT)
    os.chdir("/")
    syscalls.unmount(f"/{_OLD_ROOT}", syscalls.DETACH)
    os.rmdir(f"/{_OLD_ROOT}")


def _write_files(boot: Boot) -> None:
    """Write what a start needs; the disk is the peon's own, so links in it lead nowhere but into it."""
    os.makedirs("/run/sshd", 0o755)
    os.makedirs("/run/lock", 0o1777)
    os.mkdir(ssh.FOLDER, 0o755)
    for name, (mode, content) in boot.files.items():
        _write(f"{ssh.FOLDER}/{name}", content, mode)
    boot_id = f"{ssh.FOLDER}/boot_id"
    _write(boot_id, _new_boot_id().encode(), 0o444)
    syscalls.mount(boot_id, "/proc/sys/kernel/random/boot_id", None, syscalls.BIND)
    if boot.uplink:
        _write("/etc/resolv.conf", uplink.resolver_file(), 0o644)
    if boot.number == 1:
        name = boot.host_name
        _write("/etc/hostname", f"{name}\n".encode(), 0o644)
        _write("/etc/hosts", f"127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost\n".encode(), 0o644)


def _new_boot_id() -> str:
    with open("/proc/sys/kernel/random/uuid", encoding="ascii") as file:
        return file.read()


def _write(path: str, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(handle, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)


def _become_clean(boot: Boot, holds: dict[str, str], tell: int) -> int:
    """Keep nothing of the launcher but the listening socket (descriptor 3), and the pipe to it until exec."""
    limits.limit_process(boot.limits, holds)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open("/dev/null", os.O_RDWR)
    # Above all that are about to be replaced, as either may be one of them.
    listener, told = (fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, _HIGH) for handle in (boot.listener, tell))
    for target in (0, 1, 2):
        os.dup2(null, target)
    os.dup2(listener, 3)
    os.dup2(told, 4, inheritable=False)
    os.closerange(5, _ALL_DESCRIPTORS)
    return 4
