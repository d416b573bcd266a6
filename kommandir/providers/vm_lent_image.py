"""The image of a kommandir that is a virtual machine, lent to it, so that its jobs can have machines inside it.

The disk of the machine lies over the image anyway; as a second, read-only disk the image costs nothing, while sending
it there takes minutes. Inside, the cache that jobs share then has an image whose disk lies over that second disk.
"""

from __future__ import annotations

import shlex

from kommandir.providers import rootfs_cache, vm_control, vm_image

#: As the machine sees the disk.
_SERIAL = "exekutir-image"
_NODE = "lent"
_SCRIPT = """\
set -e
umask 022
[ ! -e /dev/kvm ] || chmod 0666 /dev/kvm
lent=/dev/disk/by-id/virtio-{serial}
waited=0
while [ ! -e "$lent" ] && [ "$waited" -lt 300 ]; do sleep 0.2; waited=$((waited + 1)); done
chmod 0444 "$(readlink -f "$lent")"
place={place}
[ ! -e "$place/manifest.json" ] || exit 0
mkdir -p "$place"
cd "$place"
qemu-img create -q -f qcow2 -F raw -b "$lent" {disk}
cp /boot/vmlinuz-* {kernel}
cp /boot/initrd.img-* {initrd}
sha256sum {disk} {kernel} {initrd} | awk '{{printf "%s\\"%s\\": \\"%s\\"", s, $2, $1; s = ", "}}' >sums
echo "{{\\"files\\": {{$(cat sums)}}}}" >manifest.new
rm sums
mv manifest.new manifest.json
"""


def lend(control: vm_control.Control, agent: vm_control.Agent, image: str, deadline: float) -> None:
    """Give a running machine the image (a directory) as a disk, and its users an image made of that.

    Raises ProviderError where QEMU or the machine refuses, TimeoutError.
    """
    file = {"driver": "file", "filename": f"{image}/{vm_image.DISK}", "read-only": True}
    control.execute(
        "blockdev-add", deadline, **{"driver": "qcow2", "node-name": _NODE, "read-only": True, "file": file}
    )
    control.execute("device_add", deadline, driver="virtio-blk-pci", id=_NODE, drive=_NODE, serial=_SERIAL)
    agent.run(script(), deadline)


def script() -> str:
    """What the machine does with it."""
    place = f"{rootfs_cache.SHARED}/vm/{vm_image.key()}"
    names = {"disk": vm_image.DISK, "kernel": vm_image.KERNEL, "initrd": vm_image.INITRD}
    return _SCRIPT.format(serial=_SERIAL, place=shlex.quote(place), **names)
