"""A process that has imported Ansible and forks a child for each playbook: ``python -P zygote.py DESCRIPTOR``.

A program, not a module. What a short playbook costs is for the greater part the start of Ansible: a third of a second
of CPU for its imports, and as much again for packing modules that the playbook before it has packed too. Here that is
paid once. A child is forked before anything of a playbook has run, so each one finds Ansible as if newly started.

DESCRIPTOR is a listening socket; ``zygote_call.py`` is who connects. It ends when its standard input is closed and its
last child has ended.
"""

import array
import atexit
import contextlib
import ctypes
import gc
import hashlib
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from kommandir.playbook.launcher import collect_seldom, standard_input_empty
from kommandir.strays import STEP_TAG

#: Seconds for a call to say what it wants: it does so at once.
PATIENCE = 10.0
#: What playbooks import besides ``ansible.cli.playbook``. Nothing below ``ansible.plugins.KIND``: a job may have a
#: plugin of the same name, and that which was imported first would be taken for it.
_WARM = (
    "ansible.executor.process.worker",
    "ansible.executor.task_executor",
    "ansible.module_utils._internal._json._profiles._module_legacy_c2m",
    "ansible.module_utils._internal._json._profiles._module_legacy_m2c",
    "ansible.module_utils.connection",
    "ansible.parsing.yaml.dumper",
    "ansible.playbook.handler_task_include",
    "ansible.playbook.included_file",
    "ansible.playbook.role_include",
    "ansible.plugins.action",
    "ansible.plugins.callback",
    "ansible.plugins.connection",
    "ansible.plugins.strategy",
    "ansible.utils._junit_xml",
    "ansible.utils.encrypt",
    "ansible.utils.unicode",
    "kommandir.peon_actions",
    "kommandir.peon_results",
    "multiprocessing.popen_fork",
    "multiprocessing.shared_memory",
    "multiprocessing.synchronize",
    "tomllib",
    "xml.dom.minidom",
    "xml.etree.ElementTree",
)
#: The same where mitogen is the strategy.
_WARM_OF_MITOGEN = (
    "ansible_mitogen.affinity",
    "ansible_mitogen.connection",
    "ansible_mitogen.mixins",
    "ansible_mitogen.planner",
    "ansible_mitogen.process",
    "ansible_mitogen.services",
    "ansible_mitogen.strategy",
    "mitogen.fork",
    "mitogen.master",
    "mitogen.minify",
    "mitogen.select",
    "mitogen.service",
    "mitogen.ssh",
    "mitogen.unix",
)
_MODULE_CACHE = "ansiballz_cache"


@dataclass(frozen=True, slots=True)
class Call:
    """What to run, as the calling process has it."""

    folder: str
    #: The path of ``ansible-playbook`` and its arguments.
    arguments: list[str]
    environment: dict[str, str]
    #: Its standard output and standard error.
    streams: tuple[int, int]


class Zygote:
    """Takes calls and tells their ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._called)
        self._selector.register(0, selectors.EVENT_READ, self._left)
        #: By the number of a child: who waits for it, and what tells its end.
        self._children: dict[int, tuple[socket.socket, int]] = {}
        self._open = True
        self._own = os.getpid()

    def serve(self) -> Call | None:
        """Return a call in the child that is to run it, None in the zygote itself, at its end."""
        while self._open or self._children:
            for key, _ in self._selector.select():
                call = key.data()
                if call is not None:
                    return call  # type: ignore[no-any-return]  # what was registered: one of the methods below
        return None

    def _left(self) -> None:
        """Whoever started us wants no more, or is dead."""
        self._open = False
        self._selector.unregister(0)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _called(self) -> Call | None:
        if not self._open:  # both were told at once
            return None
        connection, _ = self._listener.accept()
        streams = array.array("i")
        try:
            call = received(connection, streams)
            number = os.fork()
        except (OSError, ValueError):
            connection.close()  # who called starts Ansible by himself then, if he is still there
            return None
        finally:
            # In the child they are its own.
            if os.getpid() == self._own:
                for stream in streams:
                    os.close(stream)
        if number == 0:
            self._forget(connection)
            return call
        ended = os.pidfd_open(number)
        self._children[number] = connection, ended
        self._selector.register(ended, selectors.EVENT_READ, lambda: self._ended(number))
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._given_up(number))
        told(connection, number)
        return None

    def _forget(self, connection: socket.socket) -> None:
        """In a child: keep nothing of what is the zygote's."""
        self._selector.close()
        self._listener.close()
        for other, ended in (*self._children.values(), (connection, None)):
            other.close()
            if ended is not None:
                os.close(ended)

    def _given_up(self, number: int) -> None:
        """Who waited for the child was killed: so is the child, as if it had been one process."""
        if number not in self._children:  # they ended together
            return
        connection, _ = self._children[number]
        self._selector.unregister(connection)
        for kill in (os.killpg, os.kill):
            try:
                kill(number, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                continue

    def _ended(self, number: int) -> None:
        connection, ended = self._children.pop(number)
        self._selector.unregister(ended)
        os.close(ended)
        if connection.fileno() in self._selector.get_map():
            self._selector.unregister(connection)
        _, status = os.waitpid(number, 0)
        told(connection, status)
        connection.close()


def told(connection: socket.socket, number: int) -> None:
    """Send a number to who called, if he is still there."""
    try:
        connection.sendall(struct.pack("i", number))
    except OSError:
        return


def received(connection: socket.socket, streams: "array.array[int]") -> Call:
    """What a connection asks for; raises OSError or ValueError where it does not ask as it should.

    The descriptors that came with it are added to ``streams``, in any case.
    """
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.geteuid():
        raise PermissionError("another user's process")
    connection.settimeout(PATIENCE)
    data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(8))
    for _, _, passed in ancillary:
        streams.frombytes(passed)
    if len(data) < 8 or len(streams) != 2:
        raise ValueError("that is no call")
    size = struct.unpack_from("q", data)[0]
    while len(data) < size + 8:
        more = connection.recv(1 << 16)
        if not more:
            raise ValueError("the call is not whole")
        data += more
    connection.settimeout(None)
    folder, count, *texts = (os.fsdecode(text) for text in data[8:].split(b"\0"))
    return Call(
        folder=folder,
        arguments=texts[: int(count)],
        environment=dict(text.split("=", 1) for text in texts[int(count) :]),
        streams=(streams[0], streams[1]),
    )


def marked(name: str, value: str) -> None:
    """Overwrite the value of a variable in the memory that ``/proc/PID/environ`` shows.

    The processes of a step are known by it, and what is forked has its parent's environment there for ever.
    """
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    place = library.getenv(name.encode())
    if place is None or len(os.environ[name]) != len(value):
        raise RuntimeError(f"{name} can't be set to {value}: the zygote was started with another length")
    ctypes.memmove(place, value.encode(), len(value))


def become(call: Call) -> None:
    """Make this process the one that was called for."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as ansible-runner starts it
    standard_input_empty()
    for number, stream in enumerate(call.streams, 1):
        os.dup2(stream, number)
        os.close(stream)
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # of a program, it is a TextIOWrapper
    marked(STEP_TAG, call.environment[STEP_TAG])
    os.environ.clear()
    os.environ.update(call.environment)
    os.chdir(call.folder)
    sys.argv = list(call.arguments)
    temporary_directory(Path(call.folder))


def temporary_directory(folder: Path) -> None:
    """Give this process a temporary directory of Ansible of its own, with the modules that others have packed in it."""
    from ansible import constants
    from ansible.utils.path import cleanup_tmp_file

    zygotes = Path(constants.DEFAULT_LOCAL_TMP)
    atexit.unregister(cleanup_tmp_file)  # the zygote's is not ours to remove
    own = Path(tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=zygotes.parent))
    atexit.register(cleanup_tmp_file, str(own), warn=True)
    constants.DEFAULT_LOCAL_TMP = str(own)
    name = shared_modules(folder, constants)
    if name:
        shared = zygotes / name
        shared.mkdir(mode=0o700, exist_ok=True)
        (own / _MODULE_CACHE).symlink_to(shared)


def shared_modules(folder: Path, constants: Any) -> str:
    """The name of the directory with packed modules that fits a playbook in ``folder``; "" where it is to share none.

    Ansible knows a packed module by its name alone. So a job with modules of its own shares none, and new collections
    mean new modules.
    """
    roles = (folder, *(Path(base) for base in (folder / "roles", *constants.DEFAULT_ROLES_PATH)))
    own = [place for base in roles for place in _directories(base, "", "*/")]
    own += [Path(base) for base in (*constants.DEFAULT_MODULE_PATH, *constants.DEFAULT_MODULE_UTILS_PATH)]
    if any(place.is_dir() for place in own):
        return ""
    found = hashlib.sha256()
    for base in (*constants.COLLECTIONS_PATHS, folder / "collections"):
        for place in sorted(Path(base).glob("ansible_collections/*/*/")):
            found.update(f"{place} {place.stat().st_mtime_ns}\n".encode())
    return f"modules-{found.hexdigest()[:16]}"


def _directories(base: Path, *below: str) -> Iterator[Path]:
    """The directories that make modules of a role's or a playbook's own known."""
    for start in below:
        for name in ("library", "module_utils"):
            yield from base.glob(f"{start}{name}")


def warm() -> None:
    """Import what playbooks import, and let all of it be shared with children."""
    importlib.import_module("ansible.cli.playbook")
    mitogen = os.environ.get("ANSIBLE_STRATEGY", "").startswith("mitogen")
    for name in (*_WARM, *(_WARM_OF_MITOGEN if mitogen else ())):
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # another version of Ansible has it elsewhere
    if mitogen:
        unpin()
    remember_routing()
    gc.collect()
    gc.freeze()


def unpin() -> None:
    """Have mitogen's processes run on any processor.

    It pins them by a scheme for one playbook on an idle machine. Several at a time would share a processor while others
    idle: on two of them, all playbooks and their workers have the second one.
    """
    with contextlib.suppress(ImportError, AttributeError):  # another version of mitogen
        affinity: Any = importlib.import_module("ansible_mitogen.affinity")
        affinity.policy = affinity.Policy()


def remember_routing() -> None:
    """Read where Ansible's own plugins are to be found but once: it is a tenth of a second's work.

    Ansible names this function as one to be replaced, by what keeps its results.
    """
    from ansible.utils.collection_loader import _collection_finder, _collection_meta

    file = Path(str(importlib.import_module("ansible").__file__)).parent / "config" / "ansible_builtin_runtime.yml"
    with contextlib.suppress(OSError, AttributeError):  # another version: it reads by itself
        read, text = _collection_meta._meta_yml_to_dict, file.read_bytes()
        known = read(text, ("ansible.builtin", "runtime.yml"))
        _collection_finder._meta_yml_to_dict = lambda other, content: known if other == text else read(other, content)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def main() -> None:
    """The entry point, of the zygote and of each of its children."""
    signal.signal(signal.SIGTERM, _ended)  # so that Ansible's temporary directory is removed
    collect_seldom()
    listener = socket.socket(fileno=int(sys.argv[1]))
    warm()
    call = Zygote(listener).serve()
    if call is None:
        return
    become(call)
    from ansible.cli.playbook import main as playbook

    sys.exit(playbook())


if __name__ == "__main__":
    main()
