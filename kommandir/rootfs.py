"""Builds the root filesystem of peons: once a user, outside of any checkout, from this host's own package sources.

    kommandir rootfs build [--from TAR]       python -m kommandir.rootfs build [--from TAR]

It is a tar (for podman) and, unpacked with the owners that peons have on this host, a tree (for namespaces). Both
appear in one step, under a lock, so that two first jobs build it once. Providers import it, so it needs only the
standard library.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kommandir import debian_build
from kommandir.providers import rootfs_cache
from kommandir.providers.faults import ProviderError, ProviderUsageError
from kommandir.providers.identities import Identities, of_this_user, run_mapped


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    debian_build.say("rootfs", text)


@contextlib.contextmanager
def _lock() -> Iterator[Path]:
    """Hold the lock of this user's root filesystems; gives the directory of the current one."""
    directory = Path(rootfs_cache.directory())
    with debian_build.lock(directory.parent, "root filesystem"):
        yield directory


def build_tar(source: Path | None = None) -> Path:
    """The tar of the current root filesystem, built by mmdebstrap or copied from ``source`` where there is none.

    Raises ProviderError with the end of mmdebstrap's output, and the file that has all of it.
    """
    with _lock() as directory:
        return _ensure_tar(directory, source)


def _ensure_tar(directory: Path, source: Path | None) -> Path:
    tar = directory / rootfs_cache.TAR
    if tar.is_file():
        return tar
    _sweep(directory.parent)
    started = time.monotonic()
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=directory.parent))
    try:
        new.chmod(0o755)
        if source:
            say(f"copying {source}")
            shutil.copyfile(source, new / rootfs_cache.TAR)
        else:
            _bootstrap(new / rootfs_cache.TAR, directory.parent)
        _write_manifest(new, source)
        new.rename(directory)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    say(f"{tar} is ready after {time.monotonic() - started:.0f} s; it is kept for all further jobs")
    return tar


def _sweep(directory: Path) -> None:
    """Remove what killed builds left; the lock is held, so nobody is at work on it."""
    for left in directory.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)


def _write_manifest(directory: Path, source: Path | None) -> None:
    with (directory / rootfs_cache.TAR).open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {
        "key": rootfs_cache.key(),
        "release": rootfs_cache.release(),
        "packages": list(rootfs_cache.PACKAGES),
        "sha256": checksum,
        "source": str(source) if source else "mmdebstrap",
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (directory / rootfs_cache.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def checksum() -> str:
    """The SHA-256 of the current root filesystem's tar, which must be built."""
    manifest = Path(rootfs_cache.directory()) / rootfs_cache.MANIFEST
    return str(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])


def _bootstrap(tar: Path, log_directory: Path) -> None:
    log = log_directory / "build.log"
    say(f"building {rootfs_cache.key()} from this host's package sources (half a minute or so); log: {log}")
    build = debian_build.Build(
        what="rootfs",
        tar=tar,
        packages=rootfs_cache.PACKAGES,
        log=log,
        instead="; or give the root filesystem of any Debian or Ubuntu container with openssh-server and python3: "
        "kommandir rootfs build --from TAR",
    )
    debian_build.bootstrap(build)


def build_tree(identities: Identities, source: Path | None = None) -> Path:
    """The unpacked root filesystem for peons with these numbers, and its tar, both built where they are missing."""
    with _lock() as directory:
        tree = Path(rootfs_cache.tree_path(identities))
        if tree.is_dir():
            return tree
        tar = _ensure_tar(directory, source)
        say("unpacking it for peons")
        _unpack(tar, tree, identities)
        say(f"{tree} is ready")
        return tree


def _unpack(tar: Path, tree: Path, identities: Identities) -> None:
    """Unpack inside a user namespace, where the peons' numbers are; what a killed run left is removed first."""
    handle = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    new = f".{tree.name}.new"
    # Root of this namespace is the user, who owns the directory; the peon's numbers follow from 1 on.
    script = 'rm -rf "$1" && mkdir -m 0755 "$1" && chown 1:1 "$1"'
    try:
        code = run_mapped(identities, ["sh", "-c", script, "sh", new], own_first=True, directory=handle)
        code = code or _unpack_mapped(tar, tree.parent / new, identities)
    finally:
        os.close(handle)
    if code:
        raise ProviderError(
            f"unpacking {tar} failed with {code}; its message is above; is the disk full? df {tree.parent}"
        )
    (tree.parent / new).rename(tree)


def _unpack_mapped(tar: Path, target: Path, identities: Identities) -> int:
    with tar.open("rb") as file:
        handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By its descriptor, as the peon's numbers may not be let through the directories above the tar.
            os.set_inheritable(file.fileno(), True)
            script = f"exec tar -x -p --numeric-owner --exclude='./dev/*' -f - <&{file.fileno()}"
            return run_mapped(identities, ["sh", "-c", script], own_first=False, directory=handle)
        finally:
            os.close(handle)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `kommandir rootfs`; returns its exit code."""
    import argparse

    parser = argparse.ArgumentParser(prog="kommandir rootfs", description="the peons' root filesystem")
    parser.add_argument("action", choices=["build", "path"], help="build it where it is missing, or say where it lies")
    parser.add_argument(
        "--from", dest="source", type=Path, help="tar of a root filesystem to use instead of building one"
    )
    parsed = parser.parse_args(arguments)
    try:
        return _perform(parsed.action, parsed.source)
    except (ProviderError, OSError) as error:
        print(f"kommandir rootfs: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 3)


def _check_tar(source: Path) -> None:
    import tarfile

    try:
        with tarfile.open(source, "r:") as tar:
            tar.next()
    except (OSError, tarfile.TarError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else "this is no tar, or a compressed one: uncompress it first"
        )
        raise ProviderUsageError(f"--from {source}: {reason}") from None


def _perform(action: str, source: Path | None) -> int:
    if source:
        _check_tar(source)
    if action == "build":
        tar = build_tar(source)
        try:
            build_tree(of_this_user())
        except ProviderError as error:
            # The tar serves the provider podman all the same.
            say(f"not unpacked, so there are no namespace peons here: {error}")
            print(tar)
            return 0
    print(rootfs_cache.directory())
    return 0


if __name__ == "__main__":
    sys.exit(main())
