"""Real virtual machines: identities, isolation, reboot, kills at any moment, as root and as an ordinary user.

They are slow without KVM, so each boot serves several questions, and most machines are clones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kommandir import image, yamlfile
from kommandir.providers import qemu_vm, vm_command, vm_control, vm_image, vm_process, vm_template, vm_watch
from tests.calls import Calls
from tests.end_to_end.providers.callers import FAR, Caller, Provider, left_of, running, users_of
from tests.end_to_end.providers.test_isolation import _reached
from tests.patience import until

#: Seconds that a call may take: a boot on a busy host without KVM takes minutes.
PATIENCE = 900.0
pytestmark = pytest.mark.timeout(1500)
_SEED = int(os.environ.get("EXEKUTIR_TEST_SEED", "20"))
#: What tells two machines apart; the clock in seconds comes last.
_WHO = """
hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id; ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key | cut -c1-60
head -c 16 /dev/urandom | od -An -tx1; date +%s
"""


@pytest.fixture(scope="session")
def built() -> Path:
    """The image, and a template of the default size, made in the caller's cache if need be."""
    found = image.build()
    vm_template.ensure(qemu_vm.machine_of(str(found)))
    return found


def _provider(caller: Caller) -> Provider:
    return Provider("qemu", dataclasses.replace(caller, patience=PATIENCE))


@pytest.fixture
def qemu(built: Path, own_caller: Caller, job: str) -> Iterator[Provider]:
    """The provider; what a failed test left of this job is destroyed."""
    found = _provider(own_caller)
    yield found
    _clear(found, job)


def _clear(provider: Provider, job: str) -> None:
    for entry in provider.told("list"):
        if entry["uuid"] == job:
            provider.destroy(entry["name"], job)


def processes_of(peon: str) -> list[str]:
    """The command lines of machines of that name."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if f"guest={peon}".encode() in words:
                found.append(" ".join(word.decode(errors="replace") for word in words))
    return found


def _nothing_left(provider: Provider, peon: str) -> None:
    assert processes_of(peon) == []
    assert left_of(provider, peon) == []
    assert not [entry for entry in provider.told("list") if entry["name"] == peon]


def _record(provider: Provider, peon: str) -> dict[str, Any]:
    told = json.loads((provider.directory(peon) / "peon.json").read_text())
    assert isinstance(told, dict)
    return told


def test_clones_are_hosts_of_their_own(qemu: Provider, job: str, servers: list[list[object]]) -> None:
    names = [f"one-{job}", f"two-{job}"]
    children = [qemu.caller.start(qemu.create_command(name, job, "--host-name", name[:3])) for name in names]
    assert [child.wait(PATIENCE) for child in children] == [0, 0]
    told = [qemu.create(name, job, "--host-name", name[:3]) for name in names]
    assert [entry["boots"] for entry in told] == [1, 1]
    assert told[0]["accelerator"] in ("kvm", "tcg")

    who = [qemu.said(entry, _WHO).splitlines() for entry in told]
    assert [lines[0] for lines in who] == ["one", "two"]
    assert not set(who[0][:-1]) & set(who[1][:-1])
    # They woke with the template's clock, which is older than they are.
    created = [int(_record(qemu, name)["created"]) for name in names]
    assert all(int(lines[-1]) >= since for lines, since in zip(who, created, strict=True))

    states = {entry["name"]: entry["state"] for entry in qemu.told("list") if entry["uuid"] == job}
    assert states == dict.fromkeys(names, "running")
    _keys_are_strict(qemu, told[0], names[0])
    _nothing_of_the_host_is_reached(qemu, told[1], servers)
    _it_serves_as_a_kommandir(qemu, told[1])
    for name in names:
        refused = qemu.call("destroy", name, "--uuid", "other")
        assert (refused.returncode, f"belongs to the job {job}" in refused.stderr) == (2, True)
        qemu.destroy(name, job)
        _nothing_left(qemu, name)
        qemu.destroy(name, job)
    assert users_of(qemu.caller.state / "qemu") == []


def _keys_are_strict(qemu: Provider, told: dict[str, Any], name: str) -> None:
    known_hosts = qemu.directory(name) / "known_hosts"
    kept = known_hosts.read_text()
    known_hosts.write_text(f"{name} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDvSwhp2WmZ9pwbvkUsYqqGDwgzHV0xRz2m4Ww4oQ6mR\n")
    refused = qemu.ssh(told, "true")
    assert (refused.returncode, "verification failed" in refused.stderr) == (255, True)
    known_hosts.write_text(kept)
    assert kept.split()[1:] == told["ssh_host_key"].split()


def _nothing_of_the_host_is_reached(qemu: Provider, told: dict[str, Any], servers: list[list[object]]) -> None:
    gateway = [[2, "10.0.2.2", port] for _, _, port in servers]
    attempt: dict[str, object] = {
        "servers": [*servers, *gateway, [2, "10.0.2.3", 53]],
        "abstract": [],
        "files": [str(qemu.caller.key)],
        "protected": [],
        "processes": [],
    }
    assert _reached(qemu, told, attempt) == []


def _it_serves_as_a_kommandir(qemu: Provider, told: dict[str, Any]) -> None:
    """systemd is up, sshd reads its directory, users have namespaces with overlays, nothing of the build is left."""
    overlay = "userxattr,lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w"
    inner = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/m"
    inner += f" && mount -t overlay o -o {overlay} /mnt/m && ls -d /mnt/m/bin"
    script = f"""
    systemctl is-system-running --wait
    useradd -m jobber && grep -c ^jobber: /etc/subuid
    su jobber -c 'unshare -U --map-auto --map-root-user -m sh -c "{inner}"'
    sshd -T | grep -i ^passwordauthentication
    apt-config dump | grep -ic 'acquire::.*proxy "' || true
    python3 -c 'import venv, ensurepip; print("venv")'
    """
    said = qemu.said(told, script).splitlines()
    assert said == ["running", "1", "/mnt/m/bin", "passwordauthentication no", "0", "venv"]


def test_a_reboot_is_a_real_one(qemu: Provider, job: str) -> None:
    """Of a machine with an uplink and a larger disk; then it is killed, and started by the next creation."""
    peon = f"boot-{job}"
    told = qemu.create(peon, job, "--uplink", "--disk", "21")
    script = "cat /proc/sys/kernel/random/boot_id; df -BG --output=size / | tail -1; ip route | grep -c ^default"
    first = qemu.said(told, f"echo data >/root/kept; {script}").split()
    again = qemu.told("reboot", peon, "--uuid", job)
    assert {**again, "boots": 1} == told
    second = qemu.said(again, f"{script}; cat /root/kept; hostname").split()
    assert first[0] != second[0]
    assert second[1:] == [*first[1:], "data", again["host_name"]]
    assert int(first[1].rstrip("G")) >= 20

    record = _record(qemu, peon)
    processes = {record["pid"], *(pid for pid, _ in record["uplink_processes"])}
    os.kill(record["pid"], signal.SIGKILL)
    _await_state(qemu, peon, "stopped")
    gone = qemu.ssh(again, "true")
    assert (gone.returncode, "create or reboot it" in gone.stderr) == (255, True)
    qemu.destroy(peon, job)
    assert running(processes) == set()
    _nothing_left(qemu, peon)


def _await_state(qemu: Provider, peon: str, wanted: str) -> None:
    deadline = time.monotonic() + 60
    while (states := [entry["state"] for entry in qemu.told("list") if entry["name"] == peon]) != [wanted]:
        assert time.monotonic() < deadline, states
        time.sleep(0.1)


def test_an_uplink_does_not_lead_back_to_the_host(qemu: Provider, job: str, servers: list[list[object]]) -> None:
    told = qemu.create(f"uplink-{job}", job, "--uplink")
    gateway = [[2, "10.0.2.2", port] for _, _, port in servers]
    attempt: dict[str, object] = {
        "servers": [*servers, *gateway],
        "abstract": [],
        "files": [],
        "protected": [],
        "processes": [],
    }
    assert _reached(qemu, told, attempt) == []


def test_a_killed_creation_leaves_nothing_that_destruction_does_not_find(qemu: Provider, job: str) -> None:
    moments = random.Random(_SEED)
    for number in range(5):
        peon = f"k{number}-{job}"
        child = qemu.caller.start(qemu.create_command(peon, job))
        time.sleep(moments.uniform(0.05, 2.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
        listed = [entry for entry in qemu.told("list") if entry["name"] == peon]
        assert [entry["uuid"] for entry in listed] == [job] * qemu.directory(peon).exists()
        if number == 4:
            assert qemu.said(qemu.create(peon, job), "echo well") == "well"
        qemu.destroy(peon, job)
        _nothing_left(qemu, peon)
    assert users_of(qemu.caller.state / "qemu") == []


def test_an_ordinary_user_boots_one(
    built: Path, own_caller: Caller, open_directory: Path, request: pytest.FixtureRequest, job: str
) -> None:
    """Cold, from an image that somebody else built; a template whose machine crashes is booted again, and one that is
    killed while it is made leaves nothing."""
    caller = request.getfixturevalue("other_caller") if os.geteuid() == 0 else own_caller
    provider = _provider(caller)
    copy = open_directory / f"image-{job}"
    shutil.copytree(built, copy)
    copy.chmod(0o755)
    size = ("--image", str(copy), "--memory", "512", "--cpus", "1")
    child = caller.start(provider.create_command(f"half-{job}", job, *size))
    vm = caller.cache / "vm"
    first = _machine_of_template(vm, child)
    os.kill(first, signal.SIGKILL)
    until(lambda: _machine_of_template(vm, child) != first)
    child.send_signal(signal.SIGKILL)
    child.wait()
    _await_end_of_templates(vm)
    peon = f"cold-{job}"
    try:
        told = provider.create(peon, job, *size, "--cold")
        said = provider.said(told, "hostname; nproc; id -u; systemctl is-system-running --wait").split()
        assert said == [peon, "1", "0", "running"]
        assert told["boots"] == 1
        owner = Path(f"/proc/{_record(provider, peon)['pid']}").stat().st_uid
        assert owner == caller.uid
    finally:
        provider.destroy(peon, job)
        shutil.rmtree(copy)
    _nothing_left(provider, peon)
    assert provider.told("list") == []


def _machine_of_template(vm: Path, maker: subprocess.Popen[bytes]) -> int:
    """The process of the machine that becomes a template, once there is one."""
    found: list[int] = []

    def there() -> bool:
        assert maker.poll() is None
        found.extend(_works_in({log.parent.resolve() for log in vm.glob(".template-new-*/qemu.log")}))
        return bool(found)

    until(there, PATIENCE)
    return found[0]


def _await_end_of_templates(vm: Path) -> None:
    """The machine of a template ends with whoever makes it; nobody has to find it."""
    folders = {entry.resolve() for entry in vm.glob(".template-new-*")}
    deadline = time.monotonic() + 60
    while any(_works_in(folders)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _works_in(folders: set[Path]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = (entry / "cwd").readlink()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if place in folders:
                yield int(entry.name)


def test_a_machine_that_stands_still_is_started_again(built: Path, tmp_path: Path) -> None:
    """The first one never gets to run, the next one does; what each wrote to its console is what tells."""
    begun: list[int] = []

    def start() -> None:
        begun.append(len(begun))
        machine = qemu_vm.machine_of(str(built), "still", memory=512, cpus=1)
        machine.disk, machine.waits = vm_template.DISK, len(begun) == 1
        vm_template.overlay(f"{built}/{vm_image.DISK}", f"{tmp_path}/{vm_template.DISK}")
        pid = vm_process.launch(vm_command.command(machine), str(tmp_path), lambda _: None, with_us=True)
        try:
            _seen_to_start(str(tmp_path), patience=3 if machine.waits else PATIENCE)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def again() -> None:
        for file in tmp_path.iterdir():
            file.unlink()

    vm_watch.persistently(start, again, str(tmp_path))
    assert begun == [0, 1]
    assert processes_of("still") == []


def _seen_to_start(folder: str, patience: float) -> None:
    """Its kernel writes to the console; or it stands still."""
    deadline = time.monotonic() + PATIENCE
    agent = vm_control.Agent(folder)
    with contextlib.closing(agent), contextlib.closing(vm_control.Control(folder, deadline)) as control:
        with vm_watch.watched(agent, control, patience):
            while not control.heard(deadline):
                with contextlib.suppress(TimeoutError):
                    agent.line(time.monotonic() + 2.5)
        assert "Linux version" in control.console(deadline, lines=10**6)


def test_what_a_killed_making_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".template-new-x").mkdir()
    (tmp_path / ".template-new-x" / "ram").write_text("x")
    vm_template._sweep(str(tmp_path / "template-1"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "saying"),
    [
        ({"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}, "all of it: "),
        ({"PATH": "/nowhere"}, "apt-get install mmdebstrap"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(
    own_caller: Caller, tmp_path: Path, environment: dict[str, str], saying: str
) -> None:
    left = tmp_path / "vm" / ".new-killed"
    left.mkdir(parents=True)
    outcome = subprocess.run(
        [own_caller.python, "-c", "import sys; from kommandir import image; sys.exit(image.main())", "build"],
        env={**os.environ, "EXEKUTIR_CACHE": str(tmp_path), "PYTHONPATH": str(own_caller.package), **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert outcome.returncode == 3
    assert saying in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert {path.name for path in (tmp_path / "vm").iterdir()} <= {".lock", "build.log"}


def test_describe_says_that_it_works(qemu: Provider) -> None:
    told = qemu.told("describe")
    assert (told["available"], told["why"]) == (True, None)
    assert {"memory", "cpus", "disk", "uplink", "image", "cold"} <= told["options"].keys()
    assert qemu.call("create", "x", "--uuid", "u", "--expires", str(FAR), "--public-key", "/nowhere").returncode == 2
    assert not [entry for entry in qemu.told("list") if entry["name"] == "x"]
    # In a user namespace of the test's own, whose setting can be changed without changing this host.
    inner = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", inner, "sh", *qemu.command("describe")]
    told = yaml.safe_load(qemu.caller.run(words).stdout)
    assert told["available"] is False
    assert "user.max_user_namespaces is 0" in told["why"]


def test_a_job_runs_on_one(built: Path, calls: Calls, tmp_path: Path) -> None:
    """The roles that serve every peon serve a machine too, and only the job's one variable says that it is one."""
    job = tmp_path / "job"
    (job / "inventory").mkdir(parents=True)
    (job / "inventory" / "peons").write_text("[peons]\nvm peon_groups='[\"qemu\"]'\n")
    (job / "kommandir_vars.yml").write_text("---\n")
    (job / "run.yml").write_text(_PLAY)
    calls.job = job
    calls("all")
    assert (calls.results / "said").read_text().split() == ["systemd", "vm"]
    uuid = yamlfile.mapping(calls.workspace / "exekutir_vars.yml").value["uuid"]
    assert calls.left() == []
    assert processes_of(f"vm-{uuid}") == []


_PLAY = """---
- name: Ask the machine
  hosts: peons
  gather_facts: false
  tasks:
    - name: What runs there
      ansible.builtin.command: {argv: [sh, -c, "cat /proc/1/comm; hostname"]}
      changed_when: false
      register: said
    - name: Keep the answer
      ansible.builtin.copy:
        content: "{{ said.stdout }}"
        dest: "{{ inventory_dir | dirname }}/results/said"
        mode: "0644"
      delegate_to: localhost
"""
