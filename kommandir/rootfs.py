"""Builds root filesystems: once a user, outside of any checkout, from this host's own package sources.

    kommandir rootfs build [--from TAR] [--kommandir | --for USER]      or: python -m kommandir.rootfs build ...

It is a tar (for podman) and, for peons, unpacked with the owners that they have on this host, a tree (for namespaces).
All appear in one step, under a lock, so that two first jobs build it once. A variant with more in it is for kommandirs
in containers. On a host that many jobs share, root unpacks the peons' for each job's user. Providers import it, so it
needs only the standard library.
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

from kommandir import debian_build, shared_cache
from kommandir.providers import rootfs_cache
from kommandir.providers.faults import ProviderError, ProviderUsageError
from kommandir.providers.identities import Identities, of_this_user, of_user, run_mapped
from kommandir.providers.rootfs_cache import Variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

#: How a file begins that gzip compressed.
_GZIP = b"\x1f\x8b"


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    debian_build.say("rootfs", text)


def writable_cache() -> str:
    """The cache that this user's builds go to; the shared one is written elsewhere than it is read."""
    cache = rootfs_cache.cache_directory()
    return rootfs_cache.STORE if cache == rootfs_cache.SHARED else cache


@contextlib.contextmanager
def _lock(cache: str, variant: Variant) -> Iterator[Path]:
    """Hold the lock of the root filesystems in a cache; gives the directory of the current one."""
    if cache == rootfs_cache.STORE:
        shared_cache.prepare()
    directory = Path(rootfs_cache.directory(variant, cache))
    with debian_build.lock(directory.parent, "root filesystem"):
        yield directory


def build_tar(source: Path | None = None, variant: Variant = rootfs_cache.PEON) -> Path:
    """The tar of the current root filesystem, built by mmdebstrap or copied from ``source`` where there is none.

    Raises ProviderError with the end of mmdebstrap's output, and the file that has all of it.
    """
    with _lock(writable_cache(), variant) as directory:
        return _ensure_tar(directory, source, variant)


def _ensure_tar(directory: Path, source: Path | None, variant: Variant) -> Path:
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
            _copy(source, new / rootfs_cache.TAR)
            (new / rootfs_cache.TAR).chmod(0o644)
        else:
            _bootstrap(new / rootfs_cache.TAR, directory.parent, variant)
        _write_manifest(new, source, variant)
        new.rename(directory)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    say(f"{tar} is ready after {time.monotonic() - started:.0f} s; it is kept for all further jobs")
    return tar


def _copy(source: Path, target: Path) -> None:
    """Copy a tar, uncompressed."""
    with source.open("rb") as file:
        if file.read(2) != _GZIP:
            shutil.copyfile(source, target)
            return
    import gzip
    import zlib

    try:
        with gzip.open(source) as unpacked, target.open("wb") as new:
            shutil.copyfileobj(unpacked, new, 1 << 22)
    except (EOFError, zlib.error) as error:
        raise ProviderError(f"{source} is not whole: {error}") from error


def _sweep(directory: Path) -> None:
    """Remove what killed builds left; the lock is held, so nobody is at work on it."""
    for left in directory.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)


def _write_manifest(directory: Path, source: Path | None, variant: Variant) -> None:
    with (directory / rootfs_cache.TAR).open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {
        "key": rootfs_cache.key(variant),
        "release": rootfs_cache.release(),
        "packages": list(variant.packages),
        "sha256": checksum,
        "source": str(source) if source else "mmdebstrap",
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (directory / rootfs_cache.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def checksum(tar: str) -> str:
    """The SHA-256 of a root filesystem's tar in a cache, as it was when it came there."""
    manifest = Path(tar).with_name(rootfs_cache.MANIFEST)
    return str(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])


def _bootstrap(tar: Path, log_directory: Path, variant: Variant) -> None:
    log = log_directory / "build.log"
    say(f"building {rootfs_cache.key(variant)} from this host's package sources (half a minute or so); log: {log}")
    build = debian_build.Build(
        what="rootfs",
        tar=tar,
        packages=variant.packages,
        log=log,
        instead="; or give the root filesystem of any Debian or Ubuntu container with openssh-server and python3: "
        f"kommandir rootfs build {'--kommandir ' if variant is rootfs_cache.KOMMANDIR else ''}--from TAR",
    )
    debian_build.bootstrap(build)


def build_tree(identities: Identities, source: Path | None = None, cache: str = "") -> Path:
    """The unpacked root filesystem for peons with these numbers, and its tar, both built where they are missing.

    They go to ``cache``, by default this user's own, into which the tar of the shared cache is copied if there is one.
    """
    cache = cache or writable_cache()
    with _lock(cache, rootfs_cache.PEON) as directory:
        tree = Path(rootfs_cache.tree_path(identities, cache))
        if tree.is_dir():
            return tree
        found = None if source else rootfs_cache.existing_tar()
        tar = _ensure_tar(directory, source or (Path(found) if found else None), rootfs_cache.PEON)
        say("unpacking it for peons")
        _unpack(tar, tree, identities)
        say(f"{tree} is ready")
        return tree


def build_shared_tree(user: str, source: Path | None = None) -> Path:
    """The same for the peons of another user, in the shared cache, where he finds it; only root may."""
    tree = build_tree(of_user(user), source, rootfs_cache.STORE)
    return Path(rootfs_cache.SHARED) / tree.relative_to(rootfs_cache.STORE)


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
    parsed = _parser().parse_args(arguments)
    try:
        return _perform(parsed)
    except (ProviderError, OSError) as error:
        print(f"kommandir rootfs: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 3)


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="kommandir rootfs", description="the root filesystem of peons, or of kommandirs in a container"
    )
    parser.add_argument("action", choices=["build", "path"], help="build it where it is missing, or say where it lies")
    parser.add_argument(
        "--from", dest="source", type=Path, help="tar of a root filesystem to use instead of building one"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--kommandir", action="store_true", help="that of kommandirs, which the provider podman uses")
    which.add_argument(
        "--for", dest="user", metavar="USER", help="unpack it for the peons of USER, in the cache that jobs share"
    )
    return parser


def check_tar(source: Path) -> None:
    """Raise ProviderUsageError unless ``source`` is a tar, plain or compressed by gzip."""
    import tarfile

    try:
        with source.open("rb") as file:
            kind = "r:gz" if file.read(2) == _GZIP else "r:"
        with tarfile.open(source, kind) as tar:  # type: ignore[call-overload]  # of the two names of kinds
            tar.next()
    except (OSError, EOFError, tarfile.TarError) as error:
        reason = (
            error.strerror
            if isinstance(error, OSError) and error.strerror
            else "this is no tar, or one compressed by other than gzip: uncompress it first"
        )
        raise ProviderUsageError(f"--from {source}: {reason}") from None


def _perform(parsed: argparse.Namespace) -> int:
    source: Path | None = parsed.source
    variant = rootfs_cache.KOMMANDIR if parsed.kommandir else rootfs_cache.PEON
    if source:
        check_tar(source)
    if parsed.action == "path":
        print(rootfs_cache.directory(variant))
    elif parsed.user:
        print(build_shared_tree(parsed.user, source))
    else:
        print(_built(source, variant))
    return 0


def _built(source: Path | None, variant: Variant) -> Path:
    """Build what this user's hosts need; where it lies."""
    tar = build_tar(source, variant)
    if variant is rootfs_cache.PEON:
        try:
            build_tree(of_this_user())
        except ProviderError as error:
            # The tar serves the provider podman all the same.
            say(f"not unpacked, so there are no namespace peons here: {error}")
            return tar
    return tar.parent


if __name__ == "__main__":
    sys.exit(main())
