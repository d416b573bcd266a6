"""The command line of a virtual machine, and whether its guest can run on the processor itself (KVM)."""

from __future__ import annotations

import functools
import json
import os
import re
import select
import subprocess
import time
import zlib

from kommandir.providers import processes, vm_image
from kommandir.providers.faults import ProviderError

PROGRAM = "qemu-system-x86_64"
#: Descriptors that a machine gets: the listening sockets of its control and of its agent.
CONTROL, AGENT = 3, 4
#: Where the machine's SSH server is reached, in a network that only the machine's process is in.
SSH_PORT = 2222
#: Seconds within which a kernel under KVM must have said its next word, and its last.
_NEXT_WORD, _LAST_WORD = 15.0, 60.0
#: How often KVM is tried where QEMU emulates it: a kernel hangs there now and then, and takes minutes without.
_TRIES_EMULATED = 3
#: How often as long everything may take where this very host is a machine whose code QEMU translates; such a host
#: has a KVM all the same, which QEMU emulates.
_TRANSLATED = 8
_VERDICT = "accelerator.json"


class Machine:
    """What a virtual machine is made of; ``memory`` in MiB, the rest are paths and words."""

    __slots__ = (
        "accelerator",
        "boots_once",
        "cpus",
        "disk",
        "image",
        "memory",
        "name",
        "ram",
        "shared_ram",
        "uplink",
        "waits",
    )

    def __init__(self, *, name: str, accelerator: str, memory: int, cpus: int, image: str, disk: str) -> None:
        self.name, self.accelerator, self.memory, self.cpus = name, accelerator, memory, cpus
        self.image, self.disk = image, disk
        #: The file of its memory, "" for memory of its own.
        self.ram = ""
        #: Whether the file gets what is written to the memory.
        self.shared_ram = False
        self.uplink = False
        #: Whether it starts with a saved state, which is yet to come.
        self.waits = False
        #: Whether it ends where its kernel wants to boot again, as after a crash.
        self.boots_once = False


def command(machine: Machine) -> list[str]:
    """The words that start a machine; it needs the descriptors CONTROL and AGENT."""
    image = machine.image
    return [
        *(PROGRAM, "-name", f"guest={machine.name}", "-no-user-config", "-nodefaults", "-display", "none"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *_processor(machine.accelerator),
        *("-M", "pc,memory-backend=ram,usb=off", "-smp", str(machine.cpus), "-m", f"{machine.memory}M"),
        *("-object", _memory(machine), "-vga", "none", "-rtc", "base=utc"),
        *("-kernel", f"{image}/{vm_image.KERNEL}", "-initrd", f"{image}/{vm_image.INITRD}"),
        *("-append", "root=/dev/vda rw console=ttyS0 fsck.mode=skip systemd.show_status=no panic=5"),
        # A full disk of this host is an error in the machine, which would stop otherwise and wait for a person. And a
        # peon is thrown away: only a crash of the whole host loses what its disk was told to keep.
        *("-drive", f"file={_escaped(machine.disk)},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,werror=report"),
        *("-netdev", _network(machine), "-device", "virtio-net-pci,netdev=net,romfile="),
        *("-chardev", "ringbuf,id=console,size=65536", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=agent,fd={AGENT},server=on,wait=off", "-serial", "chardev:agent"),
        *("-chardev", f"socket,id=control,fd={CONTROL},server=on,wait=off", "-mon", "chardev=control,mode=control"),
        *(["-S", "-incoming", "defer"] if machine.waits else []),
        *(["-no-reboot"] if machine.boots_once else []),
    ]


def _processor(accelerator: str) -> tuple[str, ...]:
    if accelerator == "kvm":
        return ("-accel", "kvm", "-cpu", "host")
    # QEMU's emulation of nested page tables is wrong now and then (7.2): of 30 machines inside such a machine three
    # crashed, and with five levels of its own the outer one did too. Without them the KVM in there keeps shadow pages.
    # And a processor was seen to halt for good with interrupts off (the global interrupt flag of SVM), which the KVM in
    # there had switched on again: the virtual flag, of use only a machine further inside, is not offered either.
    return ("-accel", "tcg,thread=multi", "-cpu", "max,la57=off,npt=off,vgif=off")


def _memory(machine: Machine) -> str:
    if not machine.ram:
        return f"memory-backend-ram,id=ram,size={machine.memory}M"
    share = "on" if machine.shared_ram else "off"
    return f"memory-backend-file,id=ram,size={machine.memory}M,mem-path={_escaped(machine.ram)},share={share}"


def _network(machine: Machine) -> str:
    """A network that ends in the process of the machine; the process itself is in a network without ways out, or with
    the uplink in one whose ways do not lead to this host."""
    restrict = "off" if machine.uplink else "on"
    return f"user,id=net,ipv6=off,restrict={restrict},hostfwd=tcp:127.0.0.1:{SSH_PORT}-:22"


def _escaped(path: str) -> str:
    """A path in an option of QEMU, where a comma ends a value unless it is doubled."""
    return path.replace(",", ",,")


def version() -> str:
    """QEMU's version with that of its package. Raises ProviderError where there is no QEMU."""
    try:
        told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        raise ProviderError(f"{PROGRAM} is not installed: apt-get install qemu-system-x86 qemu-utils") from None
    return told.splitlines()[0].strip() if told else "unknown"


def kind(machine: Machine) -> str:
    """What a saved state fits to, as a short word: this QEMU, the devices, and under KVM the processor."""
    own = Machine(name="", accelerator=machine.accelerator, memory=machine.memory, cpus=machine.cpus, image="", disk="")
    told = [version(), *command(own), _flags() if machine.accelerator == "kvm" else ""]
    return f"{zlib.crc32(' '.join(told).encode()):08x}"


def _flags() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return "".join(sorted({line for line in file if re.match(r"(flags|model name|microcode)\b", line)}))


def stretched(seconds: float) -> float:
    """How long something may take on this host that takes so long at most on another one."""
    return seconds * (_TRANSLATED if translated() else 1)


@functools.cache
def translated() -> bool:
    """Whether this very host is a machine whose code QEMU translates."""
    return "QEMU TCG CPU" in _flags()


def accelerator(image: str) -> str:
    """`kvm` where a guest's kernel really comes up with it, else `tcg`; tried once a boot of this host."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    path = f"{vm_image.workshop()}/{_VERDICT}"
    wanted = {"boot": _boot(), "qemu": version()}
    try:
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
        if {key: known[key] for key in wanted} == wanted:
            return "kvm" if known["kvm"] is True else "tcg"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    works = any(_comes_up(image) for _ in range(_TRIES_EMULATED if translated() else 1))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.{os.getpid()}"
    with open(new, "w", encoding="utf-8") as file:
        json.dump({**wanted, "kvm": works}, file)
    os.rename(new, path)
    return "kvm" if works else "tcg"


def _boot() -> str:
    return processes.identity(os.getpid()).partition("@")[2]


def _comes_up(image: str) -> bool:
    """Whether the image's kernel runs under KVM until it panics for want of a disk, as it must.

    There are hosts whose /dev/kvm can be opened and makes machines, whose kernels then hang.
    """
    words = [
        *(PROGRAM, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-accel", "kvm", "-cpu", "host", "-M", "pc", "-m", "256M", "-serial", "stdio"),
        *("-kernel", f"{image}/{vm_image.KERNEL}", "-append", "console=ttyS0 panic=-1"),
    ]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, cwd="/") as child:
        try:
            assert child.stdout is not None
            return _speaks(child.stdout.fileno())
        finally:
            child.kill()


def _speaks(output: int) -> bool:
    end = time.monotonic() + stretched(_LAST_WORD)
    heard = b""
    while b"Kernel panic" not in heard:
        left = min(end - time.monotonic(), stretched(_NEXT_WORD))
        if left <= 0 or not select.select([output], [], [], left)[0]:
            return False
        said = os.read(output, 65536)
        if not said:
            return False
        heard = heard[-64:] + said
    return True
