"""A kommandir whose disk is full to the last byte: what frees it works, what can't be done is said."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.kommandirs import containers, process_of
from tests.set_up_kommandirs import SetUpKommandir

RESERVE = "/var/lib/exekutir/reserve"


@pytest.fixture
def small(shared_kommandir: SetUpKommandir) -> Iterator[SetUpKommandir]:
    """Homes and what root knows of users, on one small disk for a while; whoever was on the other comes back after."""
    state = shared_kommandir.folder / "state"
    pid = process_of(state, containers(state)[0])
    entered = ["nsenter", "-t", pid, *("-U", "-m", "-p", "-S", "0", "-G", "0"), "sh", "-ec"]
    script = """
        mount -t tmpfs -o size=12m,mode=755 none /mnt
        mkdir /mnt/home /mnt/exekutir
        cp -a /var/lib/exekutir/touchstone /mnt/exekutir
        mount --bind /mnt/home /home
        mount --bind /mnt/exekutir /var/lib/exekutir
        umount -l /mnt
    """
    subprocess.run([*entered, script], check=True)
    shared_kommandir.said("touch /var/lib/exekutir/reaped.json")  # or a reaping in the background writes there as well
    yield shared_kommandir
    for job in shared_kommandir.host("status")["jobs"]:
        shared_kommandir.host("remove-user", job["user"])
    subprocess.run([*entered, "umount -l /var/lib/exekutir; umount -l /home"], check=True)


def fill(kommandir: SetUpKommandir, job: str) -> None:
    """Leave not a byte, in a file of a job."""
    kommandir.said(f"cat /dev/zero >>/home/{job}/filler 2>/dev/null; ! sh -c 'echo x >/home/{job}/last' 2>/dev/null")
    kommandir.said(f"rm /home/{job}/last; test $(stat -f -c %f /home) = 0")


def test_users_are_found_again_and_removed_on_a_full_disk(small: SetUpKommandir) -> None:
    one, two, three = (f"t{uuid.uuid4().hex[:8]}-{number}" for number in range(3))
    for job in (one, two, three):
        told = small.add(job)
    assert small.said(f"stat -c '%s %a' {RESERVE}") == f"{1 << 20} 600"

    # Each context begins with it, cleanup too.
    fill(small, one)
    assert small.add(three) == told
    assert small.add(f"{three}-more")["user"] == f"{three}-more"
    assert small.ssh(f"test -e {RESERVE}").returncode == 1

    fill(small, one)
    refused = small.ssh(small.host_command("add-user", two), stdin=small.public_key)
    assert refused.returncode == 5
    assert "Traceback" not in refused.stderr
    said = refused.stderr.splitlines()
    assert re.fullmatch(rf"kommandir: add-user: no space is left for /var/lib/exekutir/\S+{two}\S* on \S+", said[0])
    assert said[1] == "    No space left on device"
    assert said[2].startswith("  next: free some space on ")
    assert "kommandir host purge" in said[2]

    assert small.host("remove-user", two) == {"user": two, "removed": True}
    assert two not in small.said(f"cat /etc/passwd; ls /home /var/lib/exekutir/accounts; test ! -e {RESERVE}")
    fill(small, one)
    told = small.host("purge", "--older-than=0")
    assert (set(told["users"]), told["refused"]) == ({one, three, f"{three}-more"}, [])
    assert small.said(f"ls /home; stat -c %s {RESERVE}") == str(1 << 20)


def test_a_disk_that_takes_nothing_is_said(small: SetUpKommandir) -> None:
    job = f"t{uuid.uuid4().hex[:8]}"
    small.add(job)
    state = small.folder / "state"
    entered = ["nsenter", "-t", process_of(state, containers(state)[0]), *("-U", "-m", "-p", "-S", "0", "-G", "0")]
    remount = [*entered, "mount", "-o"]
    subprocess.run([*remount, "remount,bind,ro", "/var/lib/exekutir"], check=True)
    try:
        for action in ("add-user", "remove-user"):
            refused = small.ssh(small.host_command(action, job), stdin=small.public_key)
            assert refused.returncode == 5
            assert "Traceback" not in refused.stderr
            assert "can't be read or written on" in refused.stderr
            assert "/var/lib/exekutir/accounts/" in refused.stderr
            assert "Read-only file system" in refused.stderr
            assert "next: look at it as root of" in refused.stderr
    finally:
        subprocess.run([*remount, "remount,bind,rw", "/var/lib/exekutir"], check=True)
