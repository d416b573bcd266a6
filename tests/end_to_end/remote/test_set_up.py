"""A kommandir is set up once for each release, offline, by the playbook; what was killed is done again."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exekutir.toolkit import Toolkit
from tests.set_up_kommandirs import SetUpKommandir, changes, made


def test_it_has_exactly_this_exekutir(shared_kommandir: SetUpKommandir) -> None:
    release = Toolkit.of_this().release
    assert release in shared_kommandir.releases
    place = f"/opt/exekutir/{release}/bin"
    # Packed from what is installed there, it is the same again.
    told = yaml.safe_load(shared_kommandir.said(f"EXEKUTIR_CACHE=/root/cache {place}/exekutir toolkit"))
    assert told["release"] == release
    assert "namespace" in shared_kommandir.said(f"{place}/kommandir provider list")
    assert "core 2." in shared_kommandir.said(f"{place}/ansible-playbook --version")
    compiled = f"find /opt/exekutir/{release}/lib -name 'cli*.pyc' | wc -l"
    assert int(shared_kommandir.said(compiled)) > 2
    mark = yaml.safe_load(shared_kommandir.said(f"cat /var/lib/exekutir/touchstone/{release}.yml"))
    assert mark["release"] == release
    assert release.startswith(f"{mark['version']}-")


def test_a_second_time_changes_nothing(shared_kommandir: SetUpKommandir) -> None:
    assert shared_kommandir.set_up() == 0
    release = Toolkit.of_this().release
    shared_kommandir.said(f"rm /var/lib/exekutir/touchstone/{release}.yml")
    assert shared_kommandir.set_up() == 1  # the touchstone alone
    assert shared_kommandir.set_up() == 0


def test_nobody_but_root_may_write_to_what_jobs_share(shared_kommandir: SetUpKommandir) -> None:
    places = "/opt/exekutir /var/cache/exekutir /var/lib/exekutir/touchstone /etc/exekutir"
    assert shared_kommandir.said(f"find {places} -xdev -not -type l '(' -perm /022 -o -not -user root ')'") == ""
    assert shared_kommandir.said("stat -c %a /var/lib/exekutir/accounts /var/lib/exekutir/cache").split() == ["700"] * 2


def test_a_newer_one_comes_beside_it_also_when_it_was_killed(shared_kommandir: SetUpKommandir, another: Path) -> None:
    [older] = shared_kommandir.releases
    shared_kommandir.add("job-of-old", release=older)
    shared_kommandir.set_up_killed("ls -d /opt/exekutir/*/ | grep -qv " + older, checkout=another)
    assert shared_kommandir.releases == [older]
    assert shared_kommandir.set_up(checkout=another) > 0
    [newer] = set(shared_kommandir.releases) - {older}
    for release in (older, newer):
        assert f"/{release}/" in shared_kommandir.said(f"head -1 /opt/exekutir/{release}/bin/kommandir")
        assert shared_kommandir.host("status", release=release)["running"] == release
    assert shared_kommandir.said("ls -A /var/lib/exekutir/incoming") == ""
    # The older one is used by a job, so only after that it goes.
    purge = ("purge", "--older-than=100000", "--releases-older-than=0")
    assert shared_kommandir.host(*purge, release=newer)["releases"] == []
    shared_kommandir.host("remove-user", "job-of-old", release=newer)
    assert shared_kommandir.host(*purge, release=older)["releases"] == [newer]
    assert shared_kommandir.releases == [older]
    assert shared_kommandir.said("ls /opt/exekutir").split() == [older]


@pytest.fixture(scope="module")
def bare(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUpKommandir]:
    """A host of its own, not set up."""
    yield from made(checkout, tmp_path_factory.mktemp("bare"))


def play(host: SetUpKommandir, name: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Play one role by hand."""
    book = host.folder / f"{name}.yml"
    play = {"hosts": "kommandir", "gather_facts": False, "roles": [name], "vars": variables}
    book.write_text(yaml.safe_dump([{"name": "By hand", **play}]))
    return host.play(book)


def package(name: str) -> bytes:
    """A package of Debian that has nothing in it."""
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: a test\n"
    parts = {"debian-binary": b"2.0\n", "control.tar": tarred({"./control": control.encode()}), "data.tar": tarred({})}
    archive = b"!<arch>\n"
    for part, content in parts.items():
        archive += f"{part:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        archive += b"\n" * (len(content) % 2)
    return archive


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            tar.addfile(information, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def source(bare: SetUpKommandir) -> SetUpKommandir:
    """The host with a package source of its own, and no other."""
    content = package("a-test")
    index = f"Package: a-test\nVersion: 1\nArchitecture: all\nFilename: ./a-test.deb\nSize: {len(content)}\n"
    index += f"SHA256: {hashlib.sha256(content).hexdigest()}\nDescription: a test\nMaintainer: t <t@example.com>\n"
    files = {
        "srv/source/a-test.deb": content,
        "srv/source/Packages": index.encode(),
        "etc/apt/sources.list": b"deb [trusted=yes] file:///srv/source ./\n",
    }
    bare.said("rm -rf /etc/apt/sources.list.d/*; tar -x -C / --no-same-owner", stdin=tarred(files))
    return bare


def test_packages_are_installed_where_they_are_missing(source: SetUpKommandir) -> None:
    wanted = ["python3", "no-such-package|a-test"]
    assert changes(play(source, "installed", installed_packages=wanted)) == 1
    assert "installed" in source.said("dpkg-query -W -f '${db:Status-Status}' a-test")
    # Where all is there no source is asked.
    source.said("rm -r /srv/source")
    assert changes(play(source, "installed", installed_packages=wanted)) == 0
    refused = play(source, "installed", installed_packages=["surely-not-there"])
    assert refused.returncode == 2
    assert "kommandir lacks surely-not-there, and installing that failed" in refused.stdout
    assert "Let it reach its package sources, or install them there by hand" in refused.stdout


def test_a_full_disk_and_an_old_python_are_told(bare: SetUpKommandir) -> None:
    full = play(bare, "kommandir_setup", kommandir_setup_packages=[], kommandir_setup_free_mib=99999999)
    assert full.returncode == 2
    assert "99999999 are wanted: make room there" in full.stdout
    bare.said(
        'printf \'#!/bin/sh\\necho "[[3, 9], [\\\\"glibc\\\\", \\\\"2.30\\\\"]]"\\n\' >/root/old; chmod +x /root/old'
    )
    old = play(bare, "kommandir_setup", kommandir_setup_packages=[], kommandir_setup_python="/root/old")
    assert old.returncode == 2
    assert "has no Python from 3.11 on (there is: /root/old 3.9)" in old.stdout


def test_an_unsuitable_ansible_is_told(bare: SetUpKommandir) -> None:
    done = play(bare, "compatible_ansible", compatible_ansible_minimum="2.1", compatible_ansible_below="2.2")
    assert done.returncode == 2
    assert "exekutir is tested with 2.1 up to, and without, 2.2" in " ".join(done.stdout.split())


DROP_IN = "/etc/ssh/sshd_config.d/exekutir.conf"


def prepared(host: SetUpKommandir) -> subprocess.CompletedProcess[str]:
    """Only folders and settings."""
    book = host.folder / "prepared.yml"
    task = {"name": "Prepare", "kommandir_prepared": {"release": "x", "free_mib": 1}}
    book.write_text(yaml.safe_dump([{"name": "Prepare", "hosts": "kommandir", "gather_facts": False, "tasks": [task]}]))
    library = str(host.checkout / "roles/kommandir_setup/library")
    return host.play(book, "--module-path", library)


def test_an_ssh_server_of_its_own_knows_the_keys_of_jobs(bare: SetUpKommandir) -> None:
    bare.said(
        "ssh-keygen -A >/dev/null; mkdir -p /run/sshd; echo UsePAM no >>/etc/ssh/sshd_config; /usr/sbin/sshd -p 2222"
    )
    try:
        assert changes(prepared(bare)) == 1
        settings = bare.said(f"cat {DROP_IN}")
        assert "/etc/exekutir/authorized_keys/%u" in settings
        assert ".ssh/authorized_keys" in settings
        assert changes(prepared(bare)) == 0
        bare.said(
            "useradd --create-home --password '*' someone; cat >/root/k; chmod 600 /root/k", stdin=bare.key.read_bytes()
        )
        bare.said("cat >/etc/exekutir/authorized_keys/someone", stdin=bare.public_key)
        bare.said("mkdir -p /root/.ssh; cat >>/root/.ssh/authorized_keys", stdin=bare.public_key)
        login = "ssh -p 2222 -i /root/k -o StrictHostKeyChecking=no -o BatchMode=yes"
        for user in ("someone", "root"):
            assert bare.said(f"{login} {user}@127.0.0.1 id -un") == user
        # What the server would not take, or take otherwise, does not stay.
        bare.said(f"rm {DROP_IN}; echo 'AuthorizedKeysFile /nowhere' >/etc/ssh/sshd_config.d/0-first.conf")
        refused = prepared(bare)
        assert refused.returncode == 2
        assert "another file sets AuthorizedKeysFile first" in refused.stdout
        bare.said(f"test ! -e {DROP_IN}; kill -0 $(cat /run/sshd.pid)")
    finally:
        bare.ssh("kill $(cat /run/sshd.pid)")


def test_what_is_told_is_whole_yaml(shared_kommandir: SetUpKommandir) -> None:
    status = shared_kommandir.host("status")
    assert json.loads(json.dumps(status)) == status
    assert status["rootfs"].endswith("/root.tar")
    assert status["slots"]["all"] >= 1
