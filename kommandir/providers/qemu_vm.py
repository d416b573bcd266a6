"""Hosts of the provider ``qemu``: virtual machines with a kernel and a systemd of their own, without root.

A machine is cloned from a template that has booted already (``vm_template``), or booted with ``--cold``. Its disk lies
over the image's; its process is in a network of its own, so that nothing in the machine reaches this host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from kommandir.providers import (
    identities,
    processes,
    records,
    ssh,
    uplink,
    vm_command,
    vm_control,
    vm_guest,
    vm_image,
    vm_lent_image,
    vm_process,
    vm_socket,
    vm_template,
    vm_watch,
)
from kommandir.providers.command import Option, Request
from kommandir.providers.faults import ProviderError, ProviderUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kommandir.providers.records import Record

name = "qemu"
summary = "a virtual machine with a kernel and systemd of its own: any user, KVM where it works"
_MEMORY, _CPUS = 2048, 2
options: tuple[Option, ...] = (
    Option("memory", "number", _MEMORY, f"MiB of memory (default {_MEMORY})"),
    Option("cpus", "number", _CPUS, f"number of processors (default {_CPUS})"),
    Option("disk", "number", vm_image.SIZE, f"GiB of disk, at least {vm_image.SIZE} (default {vm_image.SIZE})"),
    Option("uplink", "switch", False, "reach the outside, but never this host (needs pasta)"),
    Option("image", "text", "", "directory of an image as `kommandir image path` says it; default: that one"),
    Option("cold", "switch", False, "boot it instead of cloning a machine that has booted"),
    Option("kommandir", "switch", False, "a host for jobs: its users may have machines of their own inside it"),
)
#: Who creates a machine may have to build the image and boot a template first.
_RECORDS = records.Records(name, patience=900.0)
_DISK = "disk.qcow2"
#: Seconds for what needs no boot: waking, a script of the agent's, an answer of QEMU's; a busy machine stretches them.
_QUICK = 120.0
#: Seconds within which a machine that is about to be rebooted writes to its disk what it has not yet.
_SYNC = 20.0
_LEAST_MEMORY = 256


def create(request: Request) -> Mapping[str, object]:
    """Discover the machine, start it when it stopped, or create it; its host variables."""
    _check(request)
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if record is not None and record.get("state") == "complete":
            if not _runs(record):
                _boot(request.name, record)
        else:
            if record is not None:
                _remove(request.name, record)
            record = _made(request)
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)
        return _variables(request.name, record)


def _check(request: Request) -> None:
    if request.number("memory") < _LEAST_MEMORY:
        raise ProviderUsageError(f"--memory {request.number('memory')}: a machine needs {_LEAST_MEMORY} MiB at least")
    if request.number("cpus") < 1:
        raise ProviderUsageError("--cpus 0: a machine needs one processor at least")
    if request.number("disk") < vm_image.SIZE:
        raise ProviderUsageError(f"--disk {request.number('disk')}: the image's disk has {vm_image.SIZE} GiB already")
    if request.options["uplink"]:
        uplink.check()


def _made(request: Request) -> Record:
    """A new machine, complete."""
    image = vm_image.checked(request.text("image") or vm_image.current())
    machine = machine_of(image, request.name, request.number("memory"), request.number("cpus"))
    template = "" if request.options["cold"] else _template(machine)
    record = _form(request, machine, template)
    start = _wake if template else _boot
    try:
        vm_watch.persistently(
            lambda: start(request.name, record), lambda: _renew(request.name, record), _RECORDS.path(request.name)
        )
    except BaseException:
        _stop(record)
        raise
    record["state"] = "complete"
    return record


def _template(machine: vm_command.Machine) -> str:
    """The directory of the template to clone, "" where booting is cheaper than making one."""
    if vm_command.translated():
        # There, making one takes as long as two boots, and few jobs have more machines than that.
        return vm_template.found(machine)
    return vm_template.ensure(machine)


def machine_of(image: str, peon: str = "", memory: int = _MEMORY, cpus: int = _CPUS) -> vm_command.Machine:
    """A machine of that image and size, as this host can run it."""
    accelerator = vm_command.accelerator(image)
    return vm_command.Machine(name=peon, accelerator=accelerator, memory=memory, cpus=cpus, image=image, disk=_DISK)


def _form(request: Request, machine: vm_command.Machine, template: str) -> Record:
    record: Record = {
        "provider": name,
        "name": request.name,
        "uuid": request.uuid,
        "created": int(time.time()),
        "expires": request.number("expires"),
        "state": "forming",
        "host_name": request.host_name,
        "image": machine.image,
        "template": template,
        "accelerator": machine.accelerator,
        "memory": machine.memory,
        "cpus": machine.cpus,
        "disk": request.number("disk"),
        "uplink": bool(request.options["uplink"]),
        "kommandir": bool(request.options["kommandir"]),
        "boots": 0,
    }
    public_key = ssh.read_public_key(request.text("public_key"))
    directory = _RECORDS.form(request.name, record)
    key = ssh.start_key(directory, request.name)
    try:
        ssh.authorize(directory, public_key)
        _lay_disk(directory, record)
    finally:
        ssh.finish_key(directory, request.name, key)
    return record


def _lay_disk(directory: str, record: Record) -> None:
    template = record["template"]
    base = f"{template}/{vm_template.DISK}" if template else f"{record['image']}/{vm_image.DISK}"
    vm_template.overlay(base, f"{directory}/{_DISK}", 0 if template else _number(record, "disk"))


def _renew(peon: str, record: Record) -> None:
    """Make it a machine that was never started."""
    _stop(record)
    record["boots"] = 0
    _lay_disk(_RECORDS.path(peon), record)


def _machine(record: Record) -> vm_command.Machine:
    machine = vm_command.Machine(
        name=str(record["name"]),
        accelerator=str(record["accelerator"]),
        memory=_number(record, "memory"),
        cpus=_number(record, "cpus"),
        image=str(record["image"]),
        disk=_DISK,
    )
    machine.uplink = bool(record["uplink"])
    return machine


def _number(record: Record, key: str) -> int:
    value = record[key]
    assert isinstance(value, int)
    return value


def _start(peon: str, record: Record, machine: vm_command.Machine) -> None:
    """Start the machine's process, recorded before it runs."""
    record.update(boots=_number(record, "boots") + 1, pid=0, identity="")
    _RECORDS.write(peon, record)

    def started(pid: int) -> None:
        record.update(pid=pid, identity=processes.identity(pid))
        _RECORDS.write(peon, record)
        if record["uplink"]:
            _connect(peon, record, pid)

    vm_process.launch(vm_command.command(machine), _RECORDS.path(peon), started)


def _connect(peon: str, record: Record, pid: int) -> None:
    network = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "user")]
    try:
        uplink.start(_RECORDS, peon, record, (network[0], network[1]))
    finally:
        for handle in network:
            os.close(handle)


def _wake(peon: str, record: Record) -> None:
    """Clone the template, and give the clone its own identity before anybody can connect."""
    directory, template = _RECORDS.path(peon), str(record["template"])
    machine = _machine(record)
    machine.ram, machine.waits = f"{template}/{vm_template.RAM}", True
    _start(peon, record, machine)
    deadline = time.monotonic() + vm_command.stretched(_QUICK)
    with contextlib.closing(vm_control.Agent(directory)) as agent, _control(directory, deadline) as control:
        vm_template.load(control, template, deadline)
        if _number(record, "disk") > vm_image.SIZE:
            control.execute("block_resize", deadline, device="disk", size=_number(record, "disk") << 30)
        with vm_watch.watched(agent, control, vm_watch.patience(machine.accelerator)):
            _introduce(peon, record, agent, deadline, woken=True)
            _lend_image(record, control, agent)
    _await_ssh(directory, machine.accelerator)


def _control(directory: str, deadline: float) -> contextlib.closing[vm_control.Control]:
    try:
        return contextlib.closing(vm_control.Control(directory, deadline))
    except ProviderError:
        words = vm_process.words(directory)
        if words:
            raise ProviderError(f"QEMU did not start the machine: {words}") from None
        raise


def _introduce(peon: str, record: Record, agent: vm_control.Agent, deadline: float, *, woken: bool) -> None:
    """Have the machine become who it is, and serve SSH."""
    identity = _identity(peon, record)
    growth = vm_guest.GROWTH if _number(record, "disk") > vm_image.SIZE else ""
    try:
        agent.run(growth + vm_guest.script(identity, woken=woken), deadline)
    except TimeoutError:
        raise ProviderError(f"the machine's agent did not answer within {vm_command.stretched(_QUICK):g} s") from None


def _identity(peon: str, record: Record) -> vm_guest.Identity:
    directory = _RECORDS.path(peon)
    texts = []
    for file in (ssh.HOST_KEY, ssh.AUTHORIZED_KEYS):
        with open(f"{directory}/{file}", encoding="utf-8", errors="surrogateescape") as opened:
            texts.append(opened.read())
    identity = vm_guest.Identity(
        host_name=str(record["host_name"]),
        host_key=texts[0],
        authorized_keys=texts[1],
        resolver=uplink.resolver_file().decode() if record["uplink"] else "",
    )
    identity.seed, identity.epoch = os.urandom(64), time.time()
    identity.machine_id = os.urandom(16).hex()
    with open("/proc/sys/kernel/random/uuid", encoding="ascii") as drawn:
        identity.boot_id = drawn.read().strip()
    return identity


def _boot(peon: str, record: Record) -> None:
    """Boot the machine from its disk; on its first boot it is told who it is."""
    directory = _RECORDS.path(peon)
    uplink.stop(record)
    first, machine = record["state"] != "complete", _machine(record)
    _start(peon, record, machine)
    agent = vm_control.Agent(directory)
    deadline = time.monotonic() + vm_command.stretched(vm_template.BOOT)
    with (
        contextlib.closing(agent),
        _control(directory, deadline) as control,
        vm_watch.watched(agent, control, vm_watch.patience(machine.accelerator)),
    ):
        try:
            agent.await_ready(deadline)
        except TimeoutError as error:
            words = vm_template.last_words(directory, control)
            raise ProviderError(
                f"the machine did not boot within {vm_command.stretched(vm_template.BOOT):g} s: {words}"
            ) from error
        if first:
            _introduce(peon, record, agent, time.monotonic() + vm_command.stretched(_QUICK), woken=False)
        _lend_image(record, control, agent)
    _await_ssh(directory, machine.accelerator)


def _lend_image(record: Record, control: vm_control.Control, agent: vm_control.Agent) -> None:
    if not record.get("kommandir"):
        return
    try:
        vm_lent_image.lend(control, agent, str(record["image"]), time.monotonic() + vm_command.stretched(_QUICK))
    except TimeoutError:
        raise ProviderError(
            f"the machine did not take the image for its own machines within {vm_command.stretched(_QUICK):g} s"
        ) from None


def _await_ssh(directory: str, accelerator: str) -> None:
    """Wait until the machine's SSH server speaks. Raises StillError, and EndedError where its process ended."""
    patience = vm_watch.patience(accelerator)
    child = os.fork()
    if child == 0:
        # Whoever enters the machine's network never gets out of it.
        code = 2
        try:
            code = 0 if vm_socket.await_banner(directory, patience) else 1
        except vm_socket.NotRunningError:
            code = 3
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 3:
        raise vm_control.EndedError(f"the machine ended before it served SSH: {vm_process.words(directory)}")
    if code:
        raise vm_watch.StillError(f"the machine serves no SSH after {patience:g} s; {vm_process.words(directory)}")


def _runs(record: Record) -> bool:
    pid = record.get("pid")
    return isinstance(pid, int) and processes.alive(pid, str(record.get("identity")))


def _variables(peon: str, record: Record) -> dict[str, object]:
    return {
        **ssh.variables(_RECORDS.path(peon), peon, "vm_socket.py"),
        "host_name": record["host_name"],
        "host_uuid": record["uuid"],
        "provider": name,
        "expires": record["expires"],
        "accelerator": record["accelerator"],
        "boots": record["boots"],
        "uplink": record["uplink"],
    }


def destroy(request: Request) -> None:
    """End the machine and remove its disk; nothing to do when it is gone."""
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if record is not None:
            _remove(request.name, record)


def _remove(peon: str, record: Record) -> None:
    _stop(record)
    _RECORDS.discard(peon)


def _stop(record: Record) -> None:
    pid = record.get("pid")
    if isinstance(pid, int):
        processes.kill(pid, str(record.get("identity")), f"the process of {record['name']}")
    uplink.stop(record)


def reboot(request: Request) -> Mapping[str, object]:
    """Boot the machine anew from the same disk; its host variables."""
    with _RECORDS.held(request.name):
        record = _owned(request)
        if _runs(record):
            _synced(request.name)
        _stop(record)
        _boot(request.name, record)
        return _variables(request.name, record)


def _synced(peon: str) -> None:
    """Have the machine write what it has not yet; one that hangs loses that, as at a cut of power."""
    try:
        with contextlib.closing(vm_control.Agent(_RECORDS.path(peon))) as agent:
            agent.run("sync\n", time.monotonic() + _SYNC)
    except (ProviderError, TimeoutError) as error:
        import sys

        print(f"{name}: {peon} did not write its disk before the reboot: {error}", file=sys.stderr)


def renew(request: Request) -> None:
    """Change when the machine expires."""
    with _RECORDS.held(request.name):
        record = _owned(request)
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)


def _owned(request: Request) -> Record:
    record = _RECORDS.owned(request.name, request.uuid)
    if record is None or record.get("state") != "complete":
        raise ProviderError(f"{request.name} is not there, or only half; create it")
    return record


def listing() -> list[Record]:
    """Every machine, whole or half."""
    return [entry for entry in map(_listed, _RECORDS.names()) if entry]


def _listed(peon: str) -> Record | None:
    record = _RECORDS.read(peon)
    if record is None:
        return None
    state = "half" if record.get("state") != "complete" else "running" if _runs(record) else "stopped"
    known = {key: record.get(key) for key in ("uuid", "expires", "created")}
    kind = {"kommandir": True} if record.get("kommandir") else {}
    return {"name": peon, **known, "state": state, "provider": name, **kind}


def why_not() -> str | None:
    """Why no machine can be made here, or None."""
    if os.uname().machine != "x86_64":
        return f"it makes machines of x86_64 only, and this is {os.uname().machine}"
    needed = [(vm_command.PROGRAM, "qemu-system-x86"), ("qemu-img", "qemu-utils")]
    if not os.path.isfile(f"{vm_image.directory()}/{vm_image.MANIFEST}"):
        # What builds the image, which is kept then.
        needed += [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs")]
        try:
            identities.of_this_user()
        except ProviderError as error:
            return f"the image cannot be built: {error}"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [package for program, package in needed if not shutil.which(program, path=path)]
    if missing:
        return f"missing here: apt-get install --no-install-recommends {' '.join(missing)}"
    return vm_process.why_not()
