"""What is read from this host: numbers of users, forbidding settings, releases, package sources, control groups."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir import apt_sources
from kommandir.providers import identities, limits, processes, rootfs_cache, uplink


@pytest.mark.parametrize(
    ("path", "value", "saying"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "Ubuntu's rule"),
        ("kernel/apparmor_restrict_unprivileged_userns", "0", "are refused"),
    ],
)
def test_a_forbidding_setting_is_named_with_what_to_do(tmp_path: Path, path: str, value: str, saying: str) -> None:
    file = tmp_path / path
    file.parent.mkdir()
    file.write_text(f"{value}\n")
    told = identities.why_not(str(tmp_path))
    assert saying in told
    assert "podman or existing" in told


def test_a_used_up_limit_is_named(tmp_path: Path) -> None:
    assert "is reached" in identities.why_not(str(tmp_path), errno.ENOSPC)


def test_lines_of_subuid_that_are_broken_count_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("me:100000:65536\nbroken\nyou:x:1\n# comment\nlow:1:10\n\n")
    assert identities.ranges(str(file)) == [("me", 100000, 65536), ("low", 1, 10)]
    assert identities.ranges(str(tmp_path / "none")) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=12))
def test_roots_numbers_are_nobody_elses(blocks: list[tuple[int, int]]) -> None:
    unit = identities.COUNT // 8
    taken = [(identities.ROOT_BASE + first * unit, count * unit) for first, count in blocks]
    base = identities.free_block([("any", *block) for block in taken])
    assert base >= identities.ROOT_BASE
    assert all(base + identities.COUNT <= first or first + count <= base for first, count in taken)


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('ID=debian\nVERSION_CODENAME="trixie"\n', "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n", "noble"),
        ("ID=linuxmint\nVERSION_CODENAME=virginia\nUBUNTU_CODENAME=jammy\n", "jammy"),
        ("ID=fedora\nVERSION_ID=42\n", rootfs_cache.FALLBACK_RELEASE),
        ("", rootfs_cache.FALLBACK_RELEASE),
    ],
)
def test_the_release_is_this_hosts_own(tmp_path: Path, text: str, release: str) -> None:
    file = tmp_path / "os-release"
    file.write_text(text)
    assert rootfs_cache.release(str(file)) == release


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEKUTIR_CACHE", "/somewhere")
    assert rootfs_cache.directory().startswith(f"/somewhere/rootfs/{rootfs_cache.release()}-{os.uname().machine}-")


def test_each_variant_of_the_root_filesystem_has_its_own_place() -> None:
    peons, kommandirs = (rootfs_cache.directory(which) for which in (rootfs_cache.PEON, rootfs_cache.KOMMANDIR))
    assert peons == rootfs_cache.directory()
    assert peons != kommandirs
    assert kommandirs.rpartition("/")[2].startswith("kommandir-")
    assert set(rootfs_cache.PEON.packages) < set(rootfs_cache.KOMMANDIR.packages)


def test_a_users_own_tree_comes_before_the_shared_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = identities.Identities(100000, 100000)
    monkeypatch.setenv("EXEKUTIR_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(rootfs_cache, "SHARED", str(tmp_path / "shared"))
    for cache in ("shared", "own"):
        tree = Path(rootfs_cache.tree_path(ids, str(tmp_path / cache)))
        tree.mkdir(parents=True)
        tar = tree.with_name(rootfs_cache.TAR)
        tar.write_text("")
        assert rootfs_cache.tree(ids) == str(tree)
        assert rootfs_cache.tar() == rootfs_cache.existing_tar() == str(tar)


@pytest.mark.parametrize(
    ("lines", "granted"),
    [
        ("12345:1000000:65536\n", (1000000, 65536)),
        ("12345:1000:100\n12345:2000:4096\n12345:10000:8192\n", (10000, 8192)),
        ("12345:2000:4096\n12345:100000:70000\n", (100000, 70000)),
        ("12345:1000:4095\nyou:1000000:65536\n", None),
    ],
)
def test_a_user_gets_a_whole_range_or_his_largest(tmp_path: Path, lines: str, granted: tuple[int, int] | None) -> None:
    file = tmp_path / "subuid"
    file.write_text(lines)
    assert identities._granted(str(file), 12345) == granted


def test_only_sources_of_the_release_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://x bookworm main\ndeb [arch=amd64 signed-by=/k] http://mirror/debian bookworm main # ours\n"
        "deb http://mirror/debian bookworm-updates main\ndeb-src http://mirror/debian bookworm main\n"
        "deb https://vendor/apt cloud-sdk-bookworm main\n"
    )
    (folder / "debian.sources").write_text(
        "Types: deb deb-src\nURIs: http://mirror/debian\nSuites: bookworm bookworm-backports\n"
        "# note\nComponents: main\n"
        "\nTypes: deb\nURIs: http://old\nSuites: bullseye\nComponents: main\n"
        "\nTypes: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\nComponents: main\n"
    )
    (folder / "node.sources").write_text("Types: deb\nURIs: https://vendor\nSuites: nodistro\nComponents: main\n")
    (folder / "notes.txt").write_text("deb http://mirror/debian bookworm main\n")
    found = apt_sources.of_release("bookworm", tmp_path)
    assert list(found) == ["sources.list", "debian.sources"]
    assert found["sources.list"].count("\n") == 2
    assert "vendor" not in found["sources.list"]
    assert found["debian.sources"] == (
        "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-backports\nComponents: main\n"
    )


def test_proxies_and_certificates_are_found_in_apts_settings() -> None:
    dump = (
        'APT "";\nAcquire::http::Proxy "http://proxy:3128/";\nAcquire::https::CAInfo "/ca.pem";\n'
        'Acquire::https::Proxy "";\nAcquire::Languages "en";\n'
    )
    assert apt_sources.connections(dump) == [
        'Acquire::http::Proxy "http://proxy:3128/"',
        'Acquire::https::CAInfo "/ca.pem"',
    ]


def test_control_groups_of_version_2_stand_beside_our_own(tmp_path: Path) -> None:
    above = tmp_path / "user.slice"
    (above / "session").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    (above / "cgroup.procs").write_text("")
    (above / "cgroup.subtree_control").write_text("memory\n")
    found = limits.unified("web", str(tmp_path), "/user.slice/session")
    assert found == {"memory": f"{above}/exekutir-web"}
    (above / "cgroup.subtree_control").write_text("cpu\n")
    assert limits.unified("web", str(tmp_path), "/user.slice/session") == {}


def test_a_process_is_known_by_its_start() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        known_as = processes.identity(child.pid)
        assert processes.alive(child.pid, known_as)
        assert not processes.alive(child.pid, "1@another-boot")
        processes.kill(child.pid, "1@another-boot", "a stranger")
        assert child.poll() is None
        processes.kill(child.pid, known_as, "the child")
        assert child.wait() == -signal.SIGKILL
    assert not processes.alive(child.pid, known_as)
    with pytest.raises(ProcessLookupError):
        processes.identity(child.pid)
    processes.kill(child.pid, known_as, "what is gone")


def test_the_caller_by_ssh_is_blocked_with_our_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "198.51.100.7 50000 198.51.100.8 22")
    blocked = uplink.blocked()
    assert "198.51.100.7/32" in blocked
    monkeypatch.setenv("SSH_CONNECTION", "2001:db8::7 50000 2001:db8::8 22")
    assert "2001:db8::7/128" in uplink.blocked()
    assert not [address for address in blocked if address.startswith("127.")]
    monkeypatch.setenv("SSH_CONNECTION", "UNKNOWN 65535 ssh 65535")
    assert not [address for address in uplink.blocked() if address.startswith("UNKNOWN")]
