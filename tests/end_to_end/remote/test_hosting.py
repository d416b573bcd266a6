"""The users of jobs on a shared kommandir: apart from each other, made and removed at any moment, leaving nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.patience import until
from tests.set_up_kommandirs import SetUpKommandir

JOBS = 12


@pytest.fixture
def users(shared_kommandir: SetUpKommandir) -> Iterator[list[str]]:
    """Names of jobs, whose users are removed in the end."""
    names = [f"t{uuid.uuid4().hex[:8]}-{number}" for number in range(JOBS)]
    yield names
    for job in shared_kommandir.host("status")["jobs"]:
        if job["user"] in names:
            shared_kommandir.host("remove-user", job["user"])
    assert left(shared_kommandir, names) == ""


def left(kommandir: SetUpKommandir, names: list[str]) -> str:
    """Whatever names one of these users on the kommandir, a line each."""
    pattern = shlex.quote("|".join(names))
    files = "/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid"
    places = "/home /etc/exekutir /var/lib/exekutir /run/user /tmp /var/tmp /dev/shm /var/lib/systemd"
    return kommandir.said(
        f"cat {files} | grep -E {pattern}; find {places} -xdev 2>/dev/null | grep -E {pattern};"
        f" ps -eo user:40,args | grep -E {pattern} | grep -v grep; true"
    )


def test_twelve_jobs_at_once_have_users_and_numbers_of_their_own(
    shared_kommandir: SetUpKommandir, users: list[str]
) -> None:
    release = shared_kommandir.releases[0]
    with ThreadPoolExecutor(JOBS) as pool:
        told = list(pool.map(lambda name: shared_kommandir.add(name, release=release), users))
    assert [each["user"] for each in told] == users
    assert len({each["uid"] for each in told}) == JOBS
    slots = sorted((each["slot"]["first"], each["slot"]["count"]) for each in told)
    assert len(slots) == JOBS
    assert all(first + count <= following for (first, count), (following, _) in pairwise(slots))
    with ThreadPoolExecutor(JOBS) as pool:
        again = list(pool.map(lambda name: shared_kommandir.add(name, release=release), users))
    assert again == told
    with ThreadPoolExecutor(JOBS) as pool:
        removed = list(pool.map(lambda name: shared_kommandir.host("remove-user", name, release=release), users))
    assert all(each["removed"] for each in removed)
    assert left(shared_kommandir, users) == ""


def test_users_log_in_and_see_nothing_of_each_other(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    one, other = users[:2]
    told = shared_kommandir.add(one)
    shared_kommandir.add(other)
    assert shared_kommandir.said("id -un; pwd", user=one).split() == [one, f"/home/{one}"]
    shared_kommandir.said("echo secret >mine; chmod 644 mine", user=one)
    for place in (f"/home/{one}", told["state"], told["environment"]["XDG_RUNTIME_DIR"]):
        assert shared_kommandir.ssh(f"ls {place}", user=other).returncode == 2
        assert shared_kommandir.said(f"stat -c %a {place}") == "700"
    shared = f"{told['cache']} /opt/exekutir /etc/exekutir/authorized_keys /home"
    assert shared_kommandir.said(f"for p in {shared}; do touch $p/x 2>/dev/null && echo $p; done; true", user=one) == ""
    assert shared_kommandir.ssh("cat /var/lib/exekutir/accounts/*", user=one).returncode != 0
    refused = shared_kommandir.ssh(f"{told['environment']['PATH'].partition(':')[0]}/kommandir host status", user=one)
    assert refused.returncode == 2
    assert "only root" in refused.stderr


def test_what_it_tells_lets_a_job_have_peons_and_all_goes_with_it(
    shared_kommandir: SetUpKommandir, users: list[str]
) -> None:
    job = users[0]
    told = shared_kommandir.host("add-user", job, stdin=shared_kommandir.public_key)
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in told["environment"].items())
    lease = f"--uuid {job} --expires 4000000000 --public-key k.pub"
    at_work = f"{told['environment']['PATH'].partition(':')[0]}/python -c 'import time; time.sleep(1000)'"
    stubborn = "sh -c 'trap : TERM; while :; do sleep 1; done'"
    script = (
        f"export {words}; ssh-keygen -q -t ed25519 -N '' -f k"
        f" && kommandir provider call namespace create p-{job} {lease} >/dev/null && echo x >/tmp/of-{job}"
        f" && (setsid {at_work} >/dev/null 2>&1 & setsid {stubborn} >/dev/null 2>&1 &)"
    )
    shared_kommandir.said(script, user=job)
    assert f"p-{job}" in shared_kommandir.said(f"export {words}; kommandir provider call namespace list", user=job)
    [known] = [each for each in shared_kommandir.host("status")["jobs"] if each["user"] == job]
    assert known["at_work"]
    assert shared_kommandir.host("purge", "--older-than=0")["users"] == []
    assert left(shared_kommandir, [job])
    assert told["rootfs"]
    assert shared_kommandir.ssh(f"touch {told['rootfs']}/x").returncode == 1
    assert shared_kommandir.host("remove-user", job) == {"user": job, "removed": True}
    first, last = told["slot"]["first"], told["slot"]["first"] + told["slot"]["count"]
    running = shared_kommandir.said("ps -eo uid= --no-headers").split()
    assert not [uid for uid in map(int, running) if uid == told["uid"] or first <= uid < last]
    assert shared_kommandir.host("remove-user", job) == {"user": job, "removed": False}


def test_peons_whose_leases_ended_go_when_the_next_job_comes(
    shared_kommandir: SetUpKommandir, users: list[str]
) -> None:
    one, other, comes = users[:3]
    for job, expires in ((one, 1_000_000_000), (other, 4_000_000_000)):
        told = shared_kommandir.add(job, "--")
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in told["environment"].items())
        create = f"kommandir provider call namespace create p-{job} --uuid {job} --public-key k.pub --expires {expires}"
        shared_kommandir.said(f"export {words}; ssh-keygen -q -t ed25519 -N '' -f k && {create} >/dev/null", user=job)
    shared_kommandir.said("rm -f /var/lib/exekutir/reaped.json")
    shared_kommandir.add(comes)
    until(lambda: shared_kommandir.host("status")["reaped"])
    told = shared_kommandir.host("status")["reaped"]
    assert (told["destroyed"], told["failed"], told["refused"]) == ([f"{one}: namespace p-{one}"], [], [])
    running = shared_kommandir.said("ls -d /var/lib/exekutir/jobs/*/state/namespace/p-*")
    assert running == f"/var/lib/exekutir/jobs/{other}/state/namespace/p-{other}"
    # Nobody looks again so soon, unless asked to.
    shared_kommandir.add(comes)
    assert shared_kommandir.host("status")["reaped"] == told
    assert shared_kommandir.host("reap")["destroyed"] == []
    # By a clock that was turned since the first job came no lease is judged.
    shared_kommandir.said("cp /run/exekutir-clock /run/kept; echo 86400 >/run/exekutir-clock")
    [why] = shared_kommandir.host("reap")["refused"]
    assert "the clock was turned by" in why
    shared_kommandir.said("mv /run/kept /run/exekutir-clock")
    assert shared_kommandir.host("reap")["refused"] == []


def test_a_user_that_nobody_asks_for_is_purged(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    shared_kommandir.add(users[0])
    assert shared_kommandir.host("purge", "--older-than=1000")["users"] == []
    assert users[0] in shared_kommandir.host("purge", "--older-than=0")["users"]
    assert left(shared_kommandir, users) == ""


def test_users_that_nobody_asks_for_go_when_a_job_comes_after_days(
    shared_kommandir: SetUpKommandir, users: list[str]
) -> None:
    old, busy, young, comes = users[:4]
    for job in (old, busy, young):
        shared_kommandir.add(job)
    shared_kommandir.said("setsid sleep 1000 >/dev/null 2>&1 &", user=busy)
    for job in (old, busy):
        aged(shared_kommandir, job)
    until(lambda: shared_kommandir.ssh("pgrep -f 'host rea[p]'").returncode == 1)
    shared_kommandir.said("rm -f /var/lib/exekutir/purged /var/lib/exekutir/reaped.json")
    shared_kommandir.add(comes)
    until(lambda: shared_kommandir.host("status")["reaped"])
    told = shared_kommandir.host("status")["reaped"]
    assert (told["purged"], told["refused"]) == ([old], [])
    assert left(shared_kommandir, [old]) == ""
    assert {job["user"] for job in shared_kommandir.host("status")["jobs"]} == {busy, young, comes}
    # Not again so soon, were there one more.
    aged(shared_kommandir, young)
    assert shared_kommandir.host("reap")["purged"] == []
    shared_kommandir.said(f"touch -d '2 hours ago' /var/lib/exekutir/purged; pkill -u {busy}")
    until(lambda: shared_kommandir.ssh(f"pgrep -u {busy}").returncode == 1)
    assert shared_kommandir.host("reap")["purged"] == sorted([busy, young])


def aged(kommandir: SetUpKommandir, job: str) -> None:
    """Make it so that nobody has asked for a user for more than three days."""
    changed(kommandir, job, touched=time.time() - 3 * 86400 - 10)
    kommandir.said(f"touch -d '4 days ago' /home/{job}")


def changed(kommandir: SetUpKommandir, job: str, **values: object) -> None:
    """Change what root knows of a user; one that is not known gets the record of one that is being made."""
    file = f"/var/lib/exekutir/accounts/{job}.json"
    new: dict[str, object] = {"user": job, "slot": None, "state": "making", "made": 1.0, "touched": 1.0, "releases": []}
    known = json.loads(kommandir.said(f"cat {file} 2>/dev/null || echo '{{}}'"))
    kommandir.said(f"cat >{file}", stdin=json.dumps({**(known or new), **values}))


def test_another_workspace_does_not_take_over_a_user_of_whom_something_runs(
    shared_kommandir: SetUpKommandir, users: list[str], tmp_path: Path
) -> None:
    job = users[0]
    told = shared_kommandir.add(job)
    shared_kommandir.said("setsid sleep 1000 >/dev/null 2>&1 & echo mine >it", user=job)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    other = (tmp_path / "other.pub").read_text()
    add = shared_kommandir.host_command("add-user", job, "--no-rootfs")
    refused = shared_kommandir.ssh(add, stdin=other)
    assert refused.returncode == 2
    assert f"another workspace uses the uuid {job} on " in refused.stderr
    assert f"kommandir host remove-user {job}" in refused.stderr
    assert shared_kommandir.add(job) == told
    assert shared_kommandir.said("pgrep -u $(id -u) sleep; cat it", user=job).endswith("mine")
    # With nothing of it at work there is nobody to be disturbed.
    shared_kommandir.said(f"pkill -u {job}")
    until(lambda: shared_kommandir.ssh(f"pgrep -u {job}").returncode == 1)
    assert json.loads(shared_kommandir.said(add, stdin=other)) == told
    assert shared_kommandir.said(f"cat /etc/exekutir/authorized_keys/{job}") == other.strip()


def test_a_call_that_is_killed_is_done_by_the_next(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    job = users[0]
    add, remove = (shared_kommandir.host_command(action, job) for action in ("add-user", "remove-user"))
    for step in range(4):
        delay = 0.08 + 0.05 * step
        shared_kommandir.ssh(f"timeout -s KILL {delay:.2f} {add}", stdin=shared_kommandir.public_key)
        told = shared_kommandir.add(job)
        assert told["slot"] is not None
        assert shared_kommandir.said("id -u", user=job) == str(told["uid"])
        assert shared_kommandir.said(f"grep -c ^{job}: /etc/subuid") == "1"
        shared_kommandir.ssh(f"timeout -s KILL {delay:.2f} {remove}")
        shared_kommandir.host("remove-user", job)
        assert left(shared_kommandir, users) == ""


def test_a_half_made_user_is_made_again(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    job = users[0]
    told = shared_kommandir.add(job)
    record = f"/var/lib/exekutir/accounts/{job}.json"
    known = json.loads(shared_kommandir.said(f"cat {record}"))
    shared_kommandir.said(f"cat >{record}", stdin=json.dumps({**known, "state": "making"}))
    shared_kommandir.said(f"sed -i /^{job}:/d /etc/shadow /etc/subuid /etc/group")
    assert shared_kommandir.add(job) == told
    assert shared_kommandir.said("id -gn", user=job) == job
    # Without its record it is still known to be a job's.
    shared_kommandir.said(f"rm {record}")
    assert shared_kommandir.host("remove-user", job)["removed"]


def test_a_user_of_the_host_is_left_alone(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    shared_kommandir.said("useradd --create-home a-person")
    try:
        for action in ("add-user", "remove-user"):
            refused = shared_kommandir.ssh(
                shared_kommandir.host_command(action, "a-person"), stdin=shared_kommandir.public_key
            )
            assert refused.returncode == 2
            assert "was not made for a job: left alone" in refused.stderr
        shared_kommandir.said("test -d /home/a-person; id a-person; test ! -e /etc/exekutir/authorized_keys/a-person")
    finally:
        shared_kommandir.said("userdel --remove a-person 2>/dev/null")


@pytest.fixture
def person(shared_kommandir: SetUpKommandir) -> Iterator[int]:
    """The number of somebody whom nobody made for a job, of whom something runs, with files and a home of his."""
    number = 12100
    shared_kommandir.said(f"useradd --uid {number} --create-home a-person; touch /home/a-person/it")
    shared_kommandir.said(
        "setpriv --reuid a-person --clear-groups sh -c 'touch /tmp/his; setsid sleep 1000 &' >/dev/null 2>&1"
    )
    yield number
    assert shared_kommandir.said("pgrep -u a-person sleep; stat -c %U /tmp/his /home/a-person/it")
    shared_kommandir.said("pkill -KILL -u a-person; rm /tmp/his; userdel --remove a-person 2>/dev/null")


def test_numbers_that_became_a_persons_are_left_alone(
    shared_kommandir: SetUpKommandir, users: list[str], person: int
) -> None:
    job, other = users[:2]
    # Killed between giving the number and making the user, while somebody else got the number.
    changed(shared_kommandir, job, uid=person)
    refused = shared_kommandir.ssh(shared_kommandir.host_command("add-user", job), stdin=shared_kommandir.public_key)
    assert refused.returncode == 5
    assert f"or the number {person}, has become somebody else's" in refused.stderr
    assert left(shared_kommandir, [job]) == ""
    assert shared_kommandir.add(job)["uid"] != person
    for state, action in (("making", ("purge", "--older-than=0")), ("removing", ("remove-user", other))):
        changed(shared_kommandir, other, uid=person, state=state)
        shared_kommandir.host(*action)
        assert left(shared_kommandir, [other]) == ""


def test_a_person_is_not_removed_for_a_record_of_that_name(shared_kommandir: SetUpKommandir, person: int) -> None:
    changed(shared_kommandir, "a-person", uid=person, state="ready")
    assert shared_kommandir.host("remove-user", "a-person")["removed"]
    assert shared_kommandir.host("purge", "--older-than=1000")["refused"] == []


def test_numbers_and_names_that_others_have_are_passed_over(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    one, two, three, four = users[:4]
    number = shared_kommandir.add(one)["uid"]
    shared_kommandir.said(f"groupadd --gid {number + 1} a-group; groupadd {three}")
    # Without a shell, it is none of the lines that we read: only the host's own functions find him.
    shared_kommandir.said(f"echo 'far-away:x:{number + 2}:99::/' >>/etc/passwd")
    try:
        assert shared_kommandir.add(two)["uid"] == number + 3
        refused = shared_kommandir.ssh(
            shared_kommandir.host_command("add-user", three), stdin=shared_kommandir.public_key
        )
        assert refused.returncode == 5
        assert "choose another `uuid`" in refused.stderr
        assert not shared_kommandir.host("remove-user", three)["removed"]
        # A group that came after the number was given.
        changed(shared_kommandir, four, uid=number + 1)
        refused = shared_kommandir.ssh(
            shared_kommandir.host_command("add-user", four), stdin=shared_kommandir.public_key
        )
        assert f"a group of this host has the number {number + 1}" in refused.stderr
        assert shared_kommandir.said(f"getent group a-group {three} | wc -l") == "2"
        assert left(shared_kommandir, [four]) == ""
    finally:
        shared_kommandir.said(f"groupdel a-group; groupdel {three}; sed -i /^far-away:/d /etc/passwd")


@pytest.mark.parametrize("name", ["root", "Upper", "../x", "a_b"])
def test_what_can_be_no_job_is_refused(shared_kommandir: SetUpKommandir, name: str) -> None:
    refused = shared_kommandir.ssh(shared_kommandir.host_command("add-user", name), stdin=shared_kommandir.public_key)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_repositories_are_copied_once_for_all_jobs(shared_kommandir: SetUpKommandir, users: list[str]) -> None:
    place, url = f"/srv/{users[0]}", f"git://127.0.0.1/{users[0]}"
    git = f"git -C {place} -c user.name=t -c user.email=t@example.com"
    shared_kommandir.said(f"git init --quiet {place}; {git} commit --quiet --allow-empty -m one; {git} tag v1")
    serve = "git daemon --detach --pid-file=/run/git.pid --base-path=/srv --export-all --listen=127.0.0.1"
    shared_kommandir.said(f"{serve} >/dev/null 2>&1; until git ls-remote {url} >/dev/null 2>&1; do sleep 0.1; done")
    wanted = [{"repo": url, "cachepath": "it", "version": "v1"}]
    filled = shared_kommandir.host("fill-caches", stdin=json.dumps({"git_cache_args": wanted}))
    assert filled == {"ready": [url], "refused": {}}
    # With its server gone, it can only be the copy.
    shared_kommandir.said(f"kill $(cat /run/git.pid); rm -r {place}")
    for job in users[:2]:
        told = shared_kommandir.add(job)
        variables = json.dumps({"git_cache_args": wanted, "workspace": told["home"]})
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in told["environment"].items())
        book = "- hosts: localhost\n  gather_facts: false\n  roles: [caches_filled]\n"
        shared_kommandir.said("mkdir -p cache; cat >book.yml", user=job, stdin=book)
        play = (
            f"export {words}; R=$(python -c 'from kommandir import content; print(content.root())');"
            " ANSIBLE_CONFIG=$R/ansible.cfg ansible-playbook -i localhost, -c local book.yml"
            f" -e {shlex.quote(variables)} -e ansible_python_interpreter=/usr/bin/python3"
        )
        assert "changed=1" in shared_kommandir.said(play, user=job)
        assert "changed=0" in shared_kommandir.said(play, user=job)
        assert shared_kommandir.said("git -C cache/it remote get-url origin", user=job) == url
        assert shared_kommandir.said("git -C cache/it log --format=%s", user=job) == "one"
    again = shared_kommandir.host("fill-caches", stdin=json.dumps({"git_cache_args": wanted}))
    assert list(again["refused"]) == [url]
