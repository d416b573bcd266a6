"""Templates: machines that booted once and were frozen with their memory, so that others wake instead of booting.

A template is a directory of the cache: `disk.qcow2` (what the boot wrote, over the image's disk), `ram` (its memory,
0600), `state` (its devices) and a manifest. It appears in one step, is never changed, and serves every machine of the
same size, image, QEMU and kind of processor. It has no host key, so nobody can connect to it or to a clone without an
identity.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time

from kommandir.providers import processes, vm_command, vm_control, vm_guest, vm_image, vm_process, vm_watch
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kommandir.providers.vm_command import Machine

DISK, RAM, STATE = "disk.qcow2", "ram", "state"
FILES = (DISK, RAM, STATE)
_MANIFEST = "manifest.json"
_NEW = ".template-new-"
#: Change it when a template must be made anew, as the way of making changed.
_FORMAT = 2
#: Seconds that a boot may take, and another process's making of a template; both stretch on a busy machine.
BOOT = 600.0
_PATIENCE = 900.0
#: Seconds for QEMU to do what needs no guest.
_QUICK = 120.0


def ensure(machine: Machine) -> str:
    """The directory of the template that a machine of this kind can be cloned from; made where there is none.

    Raises ProviderError with the last words of the machine that did not become one.
    """
    directory = _directory(machine)
    if _whole(directory):
        return directory
    with _lock(os.path.dirname(directory)):
        if not _whole(directory):
            _sweep(directory)
            _make(machine, directory)
    return directory


def found(machine: Machine) -> str:
    """The directory of the template that a machine of this kind can be cloned from, "" where there is none."""
    directory = _directory(machine)
    return directory if _whole(directory) else ""


def _directory(machine: Machine) -> str:
    with open(f"{machine.image}/{vm_image.MANIFEST}", "rb") as file:
        import hashlib

        image = hashlib.sha256(file.read()).hexdigest()[:12]
    size = f"{machine.memory}-{machine.cpus}-{machine.accelerator}"
    name = f"template-{image}-{size}-{vm_command.kind(machine)}-{_FORMAT}"
    return f"{vm_image.workshop()}/{name}"


def _whole(directory: str) -> bool:
    """Whether all files are as they were when the template was made."""
    try:
        with open(f"{directory}/{_MANIFEST}", encoding="utf-8") as file:
            known = json.load(file)
        return bool(known == {name: _marks(f"{directory}/{name}") for name in FILES})
    except (OSError, ValueError):
        return False


def _marks(path: str) -> list[int]:
    """What changes when the file is written to, and not when a cache is saved and restored."""
    told = os.stat(path)
    return [told.st_size, told.st_mtime_ns]


@contextlib.contextmanager
def _lock(folder: str) -> Iterator[None]:
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/.lock-template"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(handle, path)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, path: str) -> None:
    from kommandir import image

    deadline = time.monotonic() + _PATIENCE
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ProviderError(
                    f"another process has been making a template for {_PATIENCE:g} s; see who: fuser {path}"
                ) from None
            if not told:
                image.say("another process is making a template; waiting for it")
                told = True
            time.sleep(0.2)
        else:
            return


def _sweep(directory: str) -> None:
    """Remove what killed makings left, whose machines ended with them.

    Raises ProviderError where a template is there, which is damaged then: a person has to remove it.
    """
    folder = os.path.dirname(directory)
    for entry in os.listdir(folder):
        if entry.startswith(_NEW):
            shutil.rmtree(f"{folder}/{entry}")
    if os.path.isdir(directory):
        # Disks of machines may lie over its disk: keep it, under another name that they cannot see.
        raise ProviderError(
            f"the template {directory} was changed after it was made: destroy the machines made of it, then remove it"
        )


def _make(machine: Machine, directory: str) -> None:
    from kommandir import image

    started = time.monotonic()
    image.say(f"booting a template ({machine.memory} MiB, {machine.cpus} processors, {machine.accelerator})")
    new = tempfile.mkdtemp(prefix=_NEW, dir=os.path.dirname(directory))
    try:
        vm_watch.persistently(lambda: _freeze(machine, new), lambda: _empty(new), new)
        _finish(new)
        os.rename(new, directory)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    image.say(f"{directory} is ready after {time.monotonic() - started:.0f} s; machines of that size are its clones")


def _empty(folder: str) -> None:
    for entry in os.listdir(folder):
        os.unlink(f"{folder}/{entry}")


def _freeze(machine: Machine, new: str) -> None:
    """Boot a machine of that kind and save it."""
    overlay(f"{machine.image}/{vm_image.DISK}", f"{new}/{DISK}")
    own = vm_command.Machine(
        name="template",
        accelerator=machine.accelerator,
        memory=machine.memory,
        cpus=machine.cpus,
        image=machine.image,
        disk=DISK,
    )
    own.ram, own.shared_ram, own.boots_once = RAM, True, True
    os.close(os.open(f"{new}/{RAM}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    known: list[str] = []
    pid = vm_process.launch(
        vm_command.command(own), new, lambda child: known.append(processes.identity(child)), with_us=True
    )
    try:
        _settle_and_save(new, machine.accelerator)
    finally:
        processes.kill(pid, known[0], "the template's machine")
        os.waitpid(pid, 0)


def _settle_and_save(new: str, accelerator: str) -> None:
    deadline = time.monotonic() + vm_command.stretched(BOOT)
    agent = vm_control.Agent(new)
    with contextlib.closing(agent), contextlib.closing(vm_control.Control(new, deadline)) as control:
        try:
            with vm_watch.watched(agent, control, vm_watch.patience(accelerator)):
                agent.await_ready(deadline)
                agent.run(vm_guest.SETTLING, deadline)
            _save(control, f"{new}/{STATE}")
        except (vm_control.EndedError, vm_watch.StillError):
            raise
        except (TimeoutError, ProviderError) as error:
            raise ProviderError(f"no template was made: {last_words(new, control)}") from error


def last_words(directory: str, control: vm_control.Control) -> str:
    """What a machine that did not come up said last: QEMU's own words, and the end of its console."""
    words = vm_process.words(directory) + "\n" + control.console(time.monotonic() + _QUICK)
    return words.strip() or "it said nothing"


def _save(control: vm_control.Control, path: str) -> None:
    """Stop the machine, write its state, and end it."""
    deadline = time.monotonic() + vm_command.stretched(_QUICK)
    control.execute("stop", deadline)
    control.ignore_shared(deadline)
    state = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        control.give(state, "state", deadline)
    finally:
        os.close(state)
    control.execute("migrate", deadline, uri="fd:state")
    control.await_migration(deadline)
    control.execute("quit", deadline)


def load(control: vm_control.Control, template: str, deadline: float) -> None:
    """Give a machine that waits for it the state of a template, and let it go on."""
    control.ignore_shared(deadline)
    state = os.open(f"{template}/{STATE}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        control.give(state, "state", deadline)
    finally:
        os.close(state)
    control.execute("migrate-incoming", deadline, uri="fd:state")
    control.await_migration(deadline)
    control.execute("cont", deadline)


def _finish(new: str) -> None:
    for entry in os.listdir(new):
        if entry not in FILES:
            os.unlink(f"{new}/{entry}")
    marks = {name: _marks(f"{new}/{name}") for name in FILES}
    with open(f"{new}/{_MANIFEST}", "w", encoding="utf-8") as file:
        json.dump(marks, file)


def overlay(base: str, disk: str, size: int = 0) -> None:
    """Make a disk that starts as ``base`` and keeps only what is written; ``size`` in GiB, 0 for that of the base."""
    import subprocess

    words = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        base,
        disk,
        *([f"{size}G"] if size else []),
    ]
    try:
        outcome = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise ProviderError("qemu-img is not installed: apt-get install qemu-utils") from None
    if outcome.returncode:
        raise ProviderError(f"qemu-img made no disk: {outcome.stderr.strip()}")
