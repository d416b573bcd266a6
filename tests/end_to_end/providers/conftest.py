"""Users, state directories and root filesystems for tests on real peons; none of them stays."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kommandir import rootfs
from kommandir.providers import identities, rootfs_cache
from tests.end_to_end.providers import callers
from tests.end_to_end.providers.callers import Caller, Provider

_ROOT = os.geteuid() == 0
USERS = ("root", "user") if _ROOT else ("user",)
#: Where the numbers of the throw-away users begin; each test process takes another block.
_FIRST_NUMBER = 1_200_000_000


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory that other users may enter."""
    path = Path(tempfile.mkdtemp(prefix="exekutir-test-"))
    path.chmod(0o755)
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


@pytest.fixture(scope="session")
def tar() -> Path:
    """The root filesystem as a tar, built in the caller's cache if need be."""
    return rootfs.build_tar()


@pytest.fixture(scope="session")
def kommandir_tar() -> Path:
    """The root filesystem of kommandirs, built in the caller's cache if need be."""
    return rootfs.build_tar(variant=rootfs_cache.KOMMANDIR)


def _caller(user: str, home: Path, cache: Path, package: Path, uid: int, gid: int) -> Caller:
    python = callers.usable_python(uid, gid, [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"])
    state = home / "state"
    caller = Caller(uid=uid, gid=gid, home=home, python=python, package=package, cache=cache, state=state)
    made = caller.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", user, "-f", str(caller.key)])
    assert made.returncode == 0, made.stderr
    return caller


@pytest.fixture(scope="session")
def own_caller(open_directory: Path, checkout: Path, tar: Path) -> Caller:
    """Whoever runs the tests."""
    rootfs.build_tree(identities.of_this_user())
    home = open_directory / "own"
    home.mkdir()
    cache = Path(rootfs_cache.cache_directory())
    return _caller("own", home, cache, checkout, os.geteuid(), os.getegid())


@pytest.fixture(scope="session")
def other_caller(open_directory: Path, checkout: Path, tar: Path) -> Iterator[Caller]:
    """A throw-away user without rights, made by root."""
    name = f"exekutir-{uuid.uuid4().hex[:8]}"
    home = open_directory / "user"
    subprocess.run(["useradd", "--system", "--home-dir", str(home), "--shell", "/bin/sh", name], check=True)
    try:
        first = _FIRST_NUMBER + (os.getpid() % 1000) * identities.COUNT
        block = f"{first}-{first + identities.COUNT - 1}"
        subprocess.run(["usermod", "--add-subuids", block, "--add-subgids", block, name], check=True)
        entry = pwd.getpwnam(name)
        home.mkdir()
        os.chown(home, entry.pw_uid, entry.pw_gid)
        package = callers.copy_package(checkout, open_directory / "package")
        caller = _caller(name, home, home / "cache", package, entry.pw_uid, entry.pw_gid)
        readable = open_directory / "root.tar"
        shutil.copyfile(tar, readable)
        _build(caller, "--from", str(readable))
        yield caller
        _leave(caller)
    finally:
        _remove_user(name)


def _build(caller: Caller, *words: str) -> None:
    """Have a user build a root filesystem in his own cache."""
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from kommandir import rootfs; sys.exit(rootfs.main())"
    built = caller.run([caller.python, "-I", "-S", "-c", script, str(caller.package), "build", *words])
    assert built.returncode == 0, built.stderr


def _remove_user(name: str) -> None:
    """Remove a user; his last processes may still be on their way out."""
    deadline = time.monotonic() + 60
    while (outcome := subprocess.run(["userdel", name], capture_output=True, text=True)).returncode:
        assert time.monotonic() < deadline, outcome.stderr
        time.sleep(0.5)


def _leave(caller: Caller) -> None:
    """End podman's own helper process of the user, which holds his namespace, and remove his images."""
    if shutil.which("podman"):
        # `system migrate` is podman's way of ending its pause process.
        caller.run(["podman", "system", "reset", "--force"])
        caller.run(["podman", "system", "migrate"])


@pytest.fixture
def ordinary_caller(request: pytest.FixtureRequest, kommandir_tar: Path) -> Caller:
    """A user without rights, who has the root filesystem of kommandirs too."""
    found = request.getfixturevalue("other_caller" if _ROOT else "own_caller")
    assert isinstance(found, Caller)
    if _ROOT:
        readable = found.package / "kommandir.tar"
        shutil.copyfile(kommandir_tar, readable)
        _build(found, "--kommandir", "--from", str(readable))
        readable.unlink()
    return found


@pytest.fixture(params=USERS)
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each kind of user there is."""
    fixture = "own_caller" if request.param == "root" or not _ROOT else "other_caller"
    found = request.getfixturevalue(fixture)
    assert isinstance(found, Caller)
    return found


@pytest.fixture
def job() -> str:
    """The uuid of a job."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(params=["namespace", "podman"])
def provider(request: pytest.FixtureRequest, caller: Caller, job: str) -> Iterator[Provider]:
    """Each provider that creates hosts; what a failed test left of this job is destroyed."""
    found = Provider(request.param, caller)
    yield found
    _clear(found, job)


@pytest.fixture
def namespace(caller: Caller, job: str) -> Iterator[Provider]:
    """The provider of namespaces; what a failed test left of this job is destroyed."""
    found = Provider("namespace", caller)
    yield found
    _clear(found, job)


@pytest.fixture
def podman(caller: Caller, job: str) -> Iterator[Provider]:
    """The provider of containers; what a failed test left of this job is destroyed."""
    found = Provider("podman", caller)
    yield found
    _clear(found, job)


@pytest.fixture
def servers() -> Iterator[list[list[object]]]:
    """Servers on every address of this host, which a process of this host does reach."""
    listening: list[list[object]] = []
    with ExitStack() as stack:
        for family, address in callers.addresses():
            server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            server.bind(socket.getaddrinfo(address, 0, family, socket.SOCK_STREAM)[0][4])
            server.listen()
            port = server.getsockname()[1]
            socket.create_connection((address, port), timeout=5).close()
            listening.append([family, address, port])
        yield listening


def _clear(provider: Provider, job: str) -> None:
    for entry in provider.told("list"):
        if entry["uuid"] == job:
            provider.destroy(entry["name"], job)
