"""A container as a kommandir: jobs' users have peons of their own in it, and nothing of each other's."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.providers import kommandirs
from tests.end_to_end.providers.callers import Caller, Provider, left_of
from tests.end_to_end.providers.kommandirs import Kommandir

#: The first of them may have to build a root filesystem.
pytestmark = pytest.mark.timeout(900)

#: A server in the kommandir, which tells its port and then waits: on its loopback, and on an abstract socket.
_SERVER = """\
import socket, sys, time
tcp, unix = socket.socket(), socket.socket(socket.AF_UNIX)
tcp.bind(("127.0.0.1", 0)); tcp.listen()
unix.bind("\\0" + sys.argv[-1]); unix.listen()
open("port", "w").write(str(tcp.getsockname()[1]))
time.sleep(600)
"""
#: What a peon tries; it prints how many attempts got through.
_ATTEMPT = """\
import socket, sys
reached = 0
for kind, address in ((socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))), (socket.AF_UNIX, "\\0" + sys.argv[-1])):
    try:
        socket.socket(kind).connect(address)
        reached += 1
    except OSError:
        pass
print(reached)
"""


#: Tries all addresses that follow at once, and prints those that it got through to.
_CONNECT = """\
bash -c 'for place; do (timeout 5 bash -c "</dev/tcp/$place" 2>/dev/null && echo $place) & done; wait'\
"""


def _key(caller: Caller, name: str) -> Path:
    """A new key of the caller's; the file of its public half."""
    made = caller.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(caller.home / name)])
    assert made.returncode == 0, made.stderr
    return caller.home / f"{name}.pub"


def _uplink_possible() -> bool:
    tun = Path("/dev/net/tun")
    return os.geteuid() == 0 or (tun.exists() and tun.stat().st_mode & 0o006 == 0o006)


def _new_name() -> str:
    return f"job-{uuid.uuid4().hex[:8]}"


def _engine(provider: Provider, *words: str) -> str:
    """What podman says to the provider's caller."""
    outcome = provider.caller.run(["podman", *words])
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


@pytest.fixture(scope="module")
def kommandir(own_caller: Caller, tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kommandir]:
    """A kommandir of whoever runs the tests, with the package and the peons' root filesystem, without users."""
    name = f"kommandir-{uuid.uuid4().hex[:8]}"
    provider = Provider("podman", own_caller)
    made = kommandirs.created(provider, name, name, *(["--uplink"] if _uplink_possible() else []))
    try:
        made.install(tmp_path_factory.mktemp("kommandir"), tar)
        yield made
    finally:
        provider.destroy(name, name)
    assert left_of(provider, name) == []
    assert name not in _engine(provider, "volume", "ls", "--quiet")


@pytest.fixture
def users(kommandir: Kommandir) -> Iterator[list[Kommandir]]:
    """Two users of jobs, each with a tree for his peons, which those of the next test find again."""
    names = [_new_name() for _ in range(2)]
    found = [kommandir.add_user(name, _key(kommandir.provider.caller, name)) for name in names]
    for name in names:
        kommandir.prepare_tree(name)
    yield found
    for name in names:
        kommandir.remove_user(name)


@pytest.mark.parametrize("provider", ["namespace", "podman"])
def test_users_have_peons_of_their_own(kommandir: Kommandir, users: list[Kommandir], provider: str) -> None:
    first, second = users
    peon = first.create_peon(provider, "web")
    assert peon.said("hostname; id -u").split() == ["web", "0"]
    assert peon.told["boots"] == 1

    _write(first, "server.py", _SERVER)
    serve = f"setsid -f python3 server.py {first.user} </dev/null >/dev/null 2>&1"
    attempt = f"python3 -c {shlex.quote(_ATTEMPT)}"
    port = first.said(f"{serve}; until test -s port; do sleep 0.05; done; cat port")
    assert first.said(f"{attempt} {port} {first.user}") == "2"
    assert peon.said(f"{attempt} {port} {first.user}") == "0"

    # The other one reads nothing of it, reaches nothing of it and ends nothing of it.
    first.said("echo secret >mine")
    for path in ("mine", ".local/state", ".local/share", "key"):
        assert second.run(f"ls -d ~{first.user}/{path}").returncode != 0
    assert second.run(f"cd ~{first.user}").returncode != 0
    for pid in _first_processes(kommandir):
        for entered in ("", "unshare --user --map-auto --map-root-user "):
            assert "not permitted" in second.run(f"{entered}kill -9 {pid}").stderr
    assert peon.said("echo well") == "well"
    # One import of podman's image is enough.
    also = second.create_peon("namespace", "web")
    assert also.told["ssh_host_key"] != peon.told["ssh_host_key"]

    for each in (peon, also):
        each.destroy()
        assert each.owner.said(each.owner.calling(each.provider, "list")) == "[]"


def _write(owner: Kommandir, name: str, text: str) -> None:
    owner.said(f"cat >{name} <<'END'\n{text}END")


def _first_processes(kommandir: Kommandir) -> list[str]:
    """The first processes of all peons, as the kommandir's root sees them."""
    found = kommandir.said("pgrep -f '[r]un/exekutir/init.py' | grep -vx 1").split()
    assert found
    return found


def test_a_peon_is_nobody_to_users_and_the_kommandir_nobody_to_its_host(
    kommandir: Kommandir, users: list[Kommandir]
) -> None:
    outside = int(kommandir.said("awk 'NR == 1 {print $2}' /proc/self/uid_map"))
    assert outside != 0
    capabilities = int(kommandir.said("awk '/^CapBnd/ {print $2}' /proc/1/status"), 16)
    assert not capabilities >> 21 & 1, "CAP_SYS_ADMIN"
    peon = users[0].create_peon("namespace", "web")
    inside = int(peon.said("awk 'NR == 1 {print $2}' /proc/self/uid_map"))
    ids = users[0].said("grep ^$USER: /etc/subuid").split(":")
    assert inside == int(ids[1]) > 60000
    peon.destroy()


def test_what_root_unpacked_for_a_user_is_shared_and_nobody_changes_it(
    kommandir: Kommandir, users: list[Kommandir]
) -> None:
    user = users[0]
    assert "unpacking" not in kommandir.prepare_tree(user.user)
    tree = "/var/cache/exekutir/rootfs/*/tree-$(grep ^$USER: /etc/subuid | cut -d: -f2)-*"
    owned = f"unshare --user --map-auto --map-root-user sh -c 'echo bad >>'$(echo {tree}/etc/os-release)"
    refused = user.run(owned)
    assert refused.returncode != 0
    assert "Read-only" in refused.stderr
    assert user.run(f"ls -d {tree}").returncode == 0
    assert user.run("ls /var/lib/exekutir/cache").returncode != 0
    assert user.run("test -e ~/.cache/exekutir").returncode == 1
    build = f"cd {kommandirs.PACKAGE} && EXEKUTIR_CACHE=/var/cache/exekutir python3 -m kommandir.rootfs build"
    assert "as root: kommandir rootfs build --for" in user.run(build).stderr

    slot = user.said("grep ^$USER: /etc/subuid").split(":")[1:]
    kommandir.remove_user(user.user)
    name = _new_name()
    later = kommandir.add_user(name, _key(kommandir.provider.caller, name))
    assert later.said("grep ^$USER: /etc/subuid").split(":")[1:] == slot
    assert "unpacking" not in kommandir.prepare_tree(later.user)
    kommandir.remove_user(later.user)


def test_each_key_opens_one_account(kommandir: Kommandir, users: list[Kommandir]) -> None:
    first, second = users
    assert first.said("id -un") == first.user
    for account, key in ((second.user, first.key), ("root", first.key), (first.user, kommandir.provider.caller.key)):
        refused = kommandir.as_user(account, key).run("true")
        assert refused.returncode == 255
        assert "Permission denied" in refused.stderr
    # What a job's user writes himself opens nothing.
    own = _key(kommandir.provider.caller, _new_name())
    first.said("mkdir -m 0700 .ssh && cat >.ssh/authorized_keys", feed=own)
    assert kommandir.as_user(first.user, own.with_suffix("")).run("true").returncode == 255


def test_another_exekutir_that_discovers_it_is_let_in(kommandir: Kommandir) -> None:
    provider, name = kommandir.provider, kommandir.name
    key = _key(provider.caller, _new_name())
    assert kommandir.as_user("root", key.with_suffix("")).run("true").returncode == 255
    words = provider.command("create", name, "--uuid", name, "--expires", "4000000001", "--public-key", str(key))
    for _ in range(2):
        outcome = provider.caller.run([*words, "--kommandir"])
        assert outcome.returncode == 0, outcome.stderr
    assert kommandir.as_user("root", key.with_suffix("")).said("id -u") == "0"
    assert kommandir.said("wc -l </run/exekutir/authorized_keys") == "2"
    refused = provider.caller.run(words)
    assert refused.returncode == 2
    assert "is a kommandir" in refused.stderr
    entry = next(entry for entry in provider.told("list") if entry["name"] == name)
    assert (entry["state"], entry["kommandir"], entry["expires"]) == ("running", True, 4000000001)


def test_what_a_user_started_outlives_the_connection_and_the_dead_are_buried(
    kommandir: Kommandir, users: list[Kommandir]
) -> None:
    user = users[0]
    user.said("setsid sh -c 'while ! test -e go; do sleep 0.05; done; echo done >result' </dev/null >/dev/null 2>&1 &")
    user.said("touch go")
    user.said("while ! test -s result; do sleep 0.05; done")
    user.said("for i in 1 2 3 4 5; do setsid -f true; done")
    deadline = time.monotonic() + 30
    while "Z" in (states := kommandir.said("ps -eo stat=")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "Z" not in states


def test_many_connections_at_once(kommandir: Kommandir, users: list[Kommandir], tmp_path: Path) -> None:
    """As twelve jobs have them: several connections each, and many sessions over one of them."""
    connections = [
        subprocess.Popen([*user.ssh_words(), "read line && echo $line"], stdin=-1, stdout=-1, text=True)
        for user in users
        for _ in range(18)
    ]
    assert [each.communicate("here\n", timeout=240)[0] for each in connections] == ["here\n"] * 36

    shared = ("-o", f"ControlPath={tmp_path / 'c'}", "-o", "ControlMaster=auto", "-o", "ControlPersist=60")
    users[0].said("true", *shared)
    try:
        sessions = [
            subprocess.Popen([*users[0].ssh_words(*shared), "cat"], stdin=-1, stdout=-1, text=True) for _ in range(15)
        ]
        assert [each.communicate("here\n", timeout=240)[0] for each in sessions] == ["here\n"] * 15
    finally:
        subprocess.run([*users[0].ssh_words(*shared, "-O", "exit")], check=True, capture_output=True)


def test_a_reboot_keeps_users_homes_and_peons(kommandir: Kommandir, users: list[Kommandir]) -> None:
    user, provider = users[0], kommandir.provider
    peon = user.create_peon("namespace", "web")
    peon.said("echo data >/root/kept; sync")
    user.said("echo data >kept")
    rebooted = provider.told("reboot", kommandir.name, "--uuid", kommandir.uuid)
    assert rebooted["boots"] == kommandir.told["boots"] + 1
    assert rebooted["ssh_host_key"] == kommandir.told["ssh_host_key"]
    kommandir.told.update(rebooted)
    assert user.said("cat kept; stat -c %a:%U $HOME /run/user/$(id -u)").split() == ["data", *[f"700:{user.user}"] * 2]
    assert "state: stopped" in user.said(user.calling("namespace", "list")).replace('"', "")
    again = user.create_peon("namespace", "web")
    assert again.said("cat /root/kept") == "data"
    again.destroy()


def test_an_uplink_of_its_peons_does_not_lead_back(
    kommandir: Kommandir, users: list[Kommandir], servers: list[list[object]]
) -> None:
    """Neither to the kommandir nor to its host, though the kommandir itself has one, nor does that one."""
    provider, user = kommandir.provider, users[0]
    if not _uplink_possible():
        refused = provider.caller.run(provider.create_command("up", "up", "--kommandir", "--uplink"))
        assert refused.returncode == 3
        assert "/dev/net/tun" in refused.stderr
        return
    port = 8000
    user.said(f"setsid -f python3 -m http.server {port} </dev/null >/dev/null 2>&1")
    peon = user.create_peon("namespace", "up", "--uplink")
    theirs = user.said("ip -o -4 address | awk '{print $4}' | cut -d/ -f1").split()
    hosts = [f"{entry[1]}/{entry[2]}" for entry in servers if "%" not in str(entry[1])]
    assert hosts
    for host, places in ((kommandir, hosts), (peon, [*hosts, *(f"{address}/{port}" for address in theirs)])):
        assert "default" in host.said("ip route")
        assert host.said(f"{_CONNECT} sh {' '.join(places)}") == ""
    peon.destroy()


def test_a_killed_creation_is_found(own_caller: Caller, job: str) -> None:
    provider, moments = Provider("podman", own_caller), random.Random(int(os.environ.get("EXEKUTIR_TEST_SEED", "20")))
    for number in range(3):
        name = f"k{number}-{job}"
        child = own_caller.start(provider.create_command(name, job, "--kommandir"))
        time.sleep(moments.uniform(0.1, 0.6))
        child.send_signal(signal.SIGKILL)
        child.wait()
        # podman itself goes on for a moment: destruction has to hold against that.
        provider.destroy(name, job)
        time.sleep(0.5)
        provider.destroy(name, job)
        assert left_of(provider, name) == []
        assert name not in _engine(provider, "volume", "ls", "--quiet")


def test_an_ordinary_users_kommandir_has_room_for_jobs_too(
    ordinary_caller: Caller, job: str, tar: Path, tmp_path: Path
) -> None:
    provider, name = Provider("podman", ordinary_caller), f"own-{job}"
    made = kommandirs.created(provider, name, job)
    try:
        assert made.told["job_slots"] >= 12
        size = made.told["job_identities"]
        made.install(tmp_path, tar)
        user = made.add_user(job, _key(provider.caller, job))
        assert int(user.said("grep ^$USER: /etc/subuid").split(":")[2]) == size >= 4096
        made.prepare_tree(job)
        peon = user.create_peon("namespace", "web")
        assert peon.said("id -u; su nobody -s /bin/sh -c 'id -u'").split() == ["0", "65534"]
        peon.destroy()
    finally:
        provider.destroy(name, job)
    assert left_of(provider, name) == []
    assert name not in _engine(provider, "volume", "ls", "--quiet")
