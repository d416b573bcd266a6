"""The root filesystem of peons: built once however many ask, whole or not at all, and what its failures say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kommandir.providers import identities, rootfs_cache

COMMAND = [sys.executable, "-m", "kommandir.rootfs"]


@pytest.fixture
def cache(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; what is unpacked there belongs to peons, so it is removed as their root."""
    place = tmp_path / "cache"
    monkeypatch.setenv("EXEKUTIR_CACHE", str(place))
    monkeypatch.chdir(checkout)
    return place


@pytest.fixture
def small_tar(tmp_path: Path) -> Path:
    """The smallest root filesystem: a few directories, a file, and a device that must not be unpacked."""
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "hello").write_text("hello")
    path = tmp_path / "small.tar"
    with tarfile.open(path, "w") as tar:
        for name in (".", "./etc", "./etc/hello"):
            tar.add(tmp_path / "root" / name, name, recursive=False, filter=_of_root)
        device = tarfile.TarInfo("./dev/null")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
    return path


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry


def _remove_tree(tree: Path) -> None:
    handle = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert (
            identities.run_mapped(identities.of_this_user(), ["rm", "-rf", tree.name], own_first=True, directory=handle)
            == 0
        )
    finally:
        os.close(handle)


def test_two_that_ask_at_once_get_one(cache: Path, small_tar: Path) -> None:
    left = cache / "rootfs" / ".new-killed"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    children = [
        subprocess.Popen([*COMMAND, "build", "--from", str(small_tar)], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], said
    assert sum("copying" in text for text in said) == 1
    assert sum("unpacking" in text for text in said) == 1
    assert not left.exists()

    ids = identities.of_this_user()
    tree = Path(rootfs_cache.tree_path(ids))
    try:
        assert (tree / "etc" / "hello").read_text() == "hello"
        assert (tree / "etc").stat().st_uid == ids.uids
        assert not (tree / "dev" / "null").exists()
        manifest = json.loads((tree.parent / rootfs_cache.MANIFEST).read_text())
        assert manifest["packages"] == list(rootfs_cache.PACKAGES)
        assert len(manifest["sha256"]) == 64
        assert sorted(path.name for path in tree.parent.iterdir()) == ["manifest.json", "root.tar", tree.name]
    finally:
        _remove_tree(tree)


@pytest.mark.parametrize(
    ("environment", "saying"),
    [
        ({"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}, "all of it: "),
        ({"PATH": "/nowhere"}, "mmdebstrap is not installed: apt-get install mmdebstrap"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(cache: Path, environment: dict[str, str], saying: str) -> None:
    outcome = subprocess.run(
        [*COMMAND, "build"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
    )
    assert outcome.returncode == 3
    assert saying in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert {path.name for path in (cache / "rootfs").iterdir()} <= {".lock", "build.log"}


def test_a_tar_that_is_none_is_refused_and_the_next_build_is_not_spoiled(cache: Path, tmp_path: Path) -> None:
    missing = subprocess.run([*COMMAND, "build", "--from", "/nowhere.tar"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert "/nowhere.tar" in missing.stderr
    junk = tmp_path / "junk.tar"
    junk.write_text("this is no tar")
    refused = subprocess.run([*COMMAND, "build", "--from", str(junk)], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "no tar" in refused.stderr
    assert not list((cache / "rootfs").glob("*/root.tar"))


_SHARING = """\
from pathlib import Path
from kommandir import shared_cache
from kommandir.providers.rootfs_cache import SHARED, STORE
for _ in range(2):
    shared_cache.prepare()
Path(STORE, "rootfs", "file").write_text("x")
try:
    Path(SHARED, "rootfs", "file").write_text("y")
except OSError as error:
    print(error.strerror)
print(oct(Path(STORE).stat().st_mode & 0o777), Path(SHARED, "rootfs", "file").read_text())
print(sum(line.split()[1].startswith(SHARED) for line in open("/proc/self/mounts")))
"""


def test_what_jobs_share_is_mounted_read_only(checkout: Path) -> None:
    """In a mount namespace of the test's own, with an empty /var/lib and /var/cache."""
    own = 'mount -t tmpfs none /var/lib && mount -t tmpfs none /var/cache && exec "$@"'
    program = [sys.executable, "-c", _SHARING]
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", own, "sh", *program]
    outcome = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines() == ["Read-only file system", "0o700 x", "1"]
