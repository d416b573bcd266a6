"""Builds the image of virtual machines: kernel, initrd and disk, without root, from this host's own package sources.

    kommandir image build [--force] [--template]        kommandir image path

Once a user, outside of any checkout, under a lock, and either whole or not there. The disk of a machine lies over it,
so an image is never changed: ``--force`` makes another one beside it. Providers import it, so it needs only the
standard library.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from kommandir import debian_build
from kommandir.providers import identities, rootfs_cache, vm_guest, vm_image
from kommandir.providers.faults import ProviderError

_WHAT = "image"
_NEW = ".new-"
#: In a directory that root of a user namespace owns. Arguments: the disk's size, the place of the peons' root
#: filesystem on it, and descriptors of the packages' tar, of ours, of that root filesystem and of its manifest.
_MAKE_DISK = """\
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022
mkdir root
tar -x -p --numeric-owner --exclude='./dev/*' -C root -f - <&"$3"
tar -x -p --numeric-owner -C root -f - <&"$4"
mkdir -p "root$2"
chmod 0700 root/var/lib/exekutir/cache
cat <&"$5" >"root$2/root.tar"
cat <&"$6" >"root$2/manifest.json"
cp root/boot/vmlinuz-* kernel
cp root/boot/initrd.img-* initrd
truncate -s "$1" disk.raw
mke2fs -q -t ext4 -F -m 0 -J size=64 -E root_owner=0:0,nodiscard -d root disk.raw
rm -rf root
chmod 0644 kernel initrd disk.raw
"""


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    debian_build.say(_WHAT, text)


def build(*, force: bool = False) -> Path:
    """The directory of the current image, built where there is none, or anew with ``force``.

    Raises ProviderError, which says what is missing or names the file with all that was said.
    """
    link = Path(vm_image.directory())
    with debian_build.lock(link.parent, _WHAT):
        if force or not (link / vm_image.MANIFEST).is_file():
            _sweep(link.parent)
            _build(link)
        return link.resolve()


def why_not() -> str | None:
    """What is missing here for a build, or None."""
    if os.uname().machine != "x86_64":
        return f"there are no images for {os.uname().machine}"
    missing = [package for program, package in _NEEDED if not shutil.which(program, path=_PATH)]
    return f"missing here: apt-get install {' '.join(missing)}" if missing else None


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_NEEDED = (("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("qemu-img", "qemu-utils"))


def _build(link: Path) -> None:
    reason = why_not()
    if reason:
        raise ProviderError(f"the image of virtual machines cannot be built: {reason}")
    started = time.monotonic()
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=link.parent))
    try:
        _fill(new, link.parent / "build.log")
        final = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
        new.rename(final)
    except BaseException:
        _remove(new)
        raise
    _point(link, final)
    say(f"{final} is ready after {time.monotonic() - started:.0f} s; it is kept for all further jobs")


def _fill(new: Path, log: Path) -> None:
    tar = new / "root.tar"
    say(f"building {vm_image.key()} from this host's package sources (a minute or so); log: {log}")
    debian_build.bootstrap(
        debian_build.Build(what=_WHAT, tar=tar, packages=vm_image.PACKAGES, log=log, options=_initrd_options())
    )
    say("making its disk")
    _make_disk(new, tar)
    tar.unlink()
    manifest = {
        "key": vm_image.key(),
        "release": rootfs_cache.release(),
        "packages": list(vm_image.PACKAGES),
        "files": {name: vm_image.checksum(str(new / name)) for name in vm_image.FILES},
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (new / vm_image.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _initrd_options() -> tuple[str, ...]:
    """mmdebstrap's hook for an initrd with the modules of our own disks and nothing else."""
    lines = "\\n".join(vm_image.MODULES)
    hook = (
        'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"; '
        r'printf "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n" >"$1/etc/initramfs-tools/conf.d/exekutir.conf"; '
        f'printf "{lines}\\n" >"$1/usr/share/initramfs-tools/modules.d/exekutir"'
    )
    return (f"--essential-hook={hook}",)


def _make_disk(new: Path, tar: Path) -> None:
    """Kernel, initrd and disk from the tar, made by root of a user namespace, so that owners are as in the tar."""
    work = _work_directory(new)
    guest = new / "guest.tar"
    guest.write_bytes(_guest_files())
    peons = Path(rootfs_cache.tar())
    manifest = peons.with_name(rootfs_cache.MANIFEST)
    handle = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.ExitStack() as opened:
            sources = [opened.enter_context(file.open("rb")) for file in (tar, guest, peons, manifest)]
            for file in sources:
                os.set_inheritable(file.fileno(), True)
            place = rootfs_cache.directory(cache=rootfs_cache.STORE)
            words = [f"{vm_image.SIZE}G", place, *(str(file.fileno()) for file in sources)]
            code = identities.run_mapped(
                identities.of_this_user(), ["sh", "-c", _MAKE_DISK, "sh", *words], own_first=False, directory=handle
            )
    finally:
        os.close(handle)
    if code:
        raise ProviderError(f"making the disk failed with {code}; its message is above; is the disk full? df {new}")
    for name in (vm_image.KERNEL, vm_image.INITRD):
        shutil.copyfile(work / name, new / name)
    _convert(work / "disk.raw", new / vm_image.DISK)
    guest.unlink()
    _empty(new)


def _work_directory(new: Path) -> Path:
    """A directory that belongs to root of the namespace; root of this one is the user, whose directory is around it."""
    _mapped(new, "mkdir -m 0755 work && chown 1:1 work")
    return new / "work"


def _empty(new: Path) -> None:
    if (new / "work").exists():
        _mapped(new, "rm -rf work")


def _mapped(directory: Path, script: str) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        code = identities.run_mapped(identities.of_this_user(), ["sh", "-c", script], own_first=True, directory=handle)
    finally:
        os.close(handle)
    if code:
        raise ProviderError(f"{script} in {directory} failed with {code}; its message is above")


def _guest_files() -> bytes:
    """The files of ours in the image, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (mode, content) in vm_guest.FILES.items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = mode, len(content.encode())
            tar.addfile(entry, io.BytesIO(content.encode()))
        for path, target in vm_guest.LINKS.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def _convert(raw: Path, disk: Path) -> None:
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(disk)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if outcome.returncode:
        raise ProviderError(f"qemu-img ended with {outcome.returncode}: {outcome.stderr.strip()}")


def _point(link: Path, target: Path) -> None:
    """Make the link lead to the new image, in one step."""
    new = link.with_name(f"{_NEW}link")
    new.unlink(missing_ok=True)
    new.symlink_to(target.name)
    new.rename(link)


def _sweep(directory: Path) -> None:
    """Remove what killed builds left; the lock is held, so nobody is at work on it."""
    for left in directory.glob(f"{_NEW}*"):
        _remove(left)


def _remove(left: Path) -> None:
    if left.is_symlink():
        left.unlink()
        return
    _empty(left)
    shutil.rmtree(left, ignore_errors=True)


def _make_template(image: str) -> None:
    from kommandir.providers import qemu_vm, vm_template

    vm_template.ensure(qemu_vm.machine_of(image))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `kommandir image`; returns its exit code."""
    import argparse

    parser = argparse.ArgumentParser(prog="kommandir image", description="the image of virtual machines")
    parser.add_argument("action", choices=["build", "path"], help="build it where it is missing, or say where it lies")
    parser.add_argument("--force", action="store_true", help="build another one, even if there is one")
    parser.add_argument(
        "--template", action="store_true", help="also boot a machine of the default size, which others are cloned from"
    )
    parsed = parser.parse_args(arguments)
    try:
        if parsed.action == "build":
            found = vm_image.checked(str(build(force=parsed.force)))
            if parsed.template:
                _make_template(found)
        print(os.path.realpath(vm_image.directory()))
    except (ProviderError, OSError) as error:
        print(f"kommandir image: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
