"""Virtual machines as far as no machine is needed: command lines, the agent and its scripts, checksums of images."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.providers import qemu_vm, vm_command, vm_control, vm_guest, vm_image, vm_socket, vm_watch
from kommandir.providers.command import parse
from kommandir.providers.faults import ProviderError, ProviderUsageError
from kommandir.providers.vm_command import Machine


def _machine(**more: object) -> Machine:
    machine = Machine(name="web", accelerator="tcg", memory=512, cpus=2, image="/cache/image", disk="disk.qcow2")
    for key, value in more.items():
        setattr(machine, key, value)
    return machine


def _after(words: list[str], option: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def test_a_machine_reaches_nothing_without_an_uplink() -> None:
    network = _after(vm_command.command(_machine()), "-netdev")
    assert network == ["user,id=net,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22"]
    assert "restrict=off" in _after(vm_command.command(_machine(uplink=True)), "-netdev")[0]


def test_the_port_is_the_one_that_the_proxy_goes_to() -> None:
    assert vm_socket.PORT == vm_command.SSH_PORT


def test_memory_is_its_own_shared_or_a_private_view() -> None:
    assert _after(vm_command.command(_machine()), "-object") == ["memory-backend-ram,id=ram,size=512M"]
    template = _machine(ram="/t,x/ram", shared_ram=True)
    assert _after(vm_command.command(template), "-object") == [
        "memory-backend-file,id=ram,size=512M,mem-path=/t,,x/ram,share=on"
    ]
    clone = vm_command.command(_machine(ram="/t/ram", waits=True))
    assert _after(clone, "-object")[0].endswith("share=off")
    assert clone[-3:] == ["-S", "-incoming", "defer"]


def test_qemu_starts_no_program_and_opens_no_window() -> None:
    words = vm_command.command(_machine())
    assert "spawn=deny" in _after(words, "-sandbox")[0]
    assert {"-no-user-config", "-nodefaults"} <= set(words)
    assert _after(words, "-display") == ["none"]


def test_a_saved_state_fits_to_size_and_devices_and_not_to_names() -> None:
    known = vm_command.kind(_machine())
    assert vm_command.kind(_machine(name="other", disk="other", image="/elsewhere", ram="/ram")) == known
    assert vm_command.kind(_machine(memory=1024)) != known
    assert vm_command.kind(_machine(cpus=1)) != known


@pytest.mark.parametrize(
    ("words", "saying"),
    [(["--memory", "64"], "256 MiB"), (["--cpus", "0"], "one processor"), (["--disk", "1"], "20 GiB")],
)
def test_a_size_that_cannot_be_is_refused(words: list[str], saying: str) -> None:
    request = parse(qemu_vm, ["create", "x", "--uuid", "u", "--expires", "1", "--public-key", "k", *words])
    with pytest.raises(ProviderUsageError, match=saying):
        qemu_vm.create(request)


def _identity(host_name: str = "web") -> vm_guest.Identity:
    identity = vm_guest.Identity(
        host_name=host_name, host_key="KEY\nof 'it'\n", authorized_keys="ssh-ed25519 AAAA it's\n", resolver=""
    )
    identity.seed, identity.epoch, identity.machine_id, identity.boot_id = b"s" * 64, 10.5, "ab" * 16, "b-o-o-t"
    return identity


@pytest.mark.parametrize("woken", [True, False])
def test_a_script_is_one_that_a_shell_understands(woken: bool) -> None:
    script = vm_guest.script(_identity(), woken=woken)
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert ("machine-id" in script) is woken
    assert script.index("ssh_host_ed25519_key") < script.index("start ssh")


@given(st.text())
def test_only_an_answer_is_taken_for_one(line: str) -> None:
    assert vm_guest.answered(line.replace("done", ""), 7) is None


@given(st.binary(max_size=60).map(lambda raw: raw.decode(errors="replace")))
def test_an_answer_is_told_without_control_characters(junk: str) -> None:
    answer = vm_guest.answered(f"done 7 3 {junk.replace(' ', '')}", 7)
    assert answer is None or all(c.isprintable() or c == "\n" for c in answer[1])


def test_the_agent_runs_what_it_is_sent(tmp_path: Path) -> None:
    """The agent itself, on the two ends of a terminal instead of a serial port."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    text = vm_guest.FILES["usr/local/lib/exekutir/agent"][1]
    script = text.replace("/dev/ttyS1", os.ttyname(theirs)).replace("/run/exekutir", str(tmp_path / "run"))
    agent = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        with os.fdopen(ours, "r+b", buffering=0) as port:
            lines = iter(port.readline, b"")
            assert next(lines).decode().strip() == vm_guest.READY
            port.write(b"noise\n" + vm_guest.framed(1, "printf '%s\\n' 'two  blanks \\n'; echo oops >&2; exit 3\n"))
            assert vm_guest.answered(next(lines).decode().strip("\r\n"), 1) == (3, "two  blanks \\n\noops")
            port.write(vm_guest.framed(2, "true\n"))
            assert vm_guest.answered(next(lines).decode().strip("\r\n"), 2) == (0, "")
    finally:
        agent.kill()
        agent.wait()
        os.close(theirs)


def test_one_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    begun: list[int] = []

    def start() -> None:
        begun.append(len(begun))
        raise vm_control.EndedError("its console: Kernel panic")

    with pytest.raises(ProviderError, match="started 3 times, the last time: its console: Kernel panic"):
        vm_watch.persistently(start, lambda: None, str(tmp_path))
    assert begun == [0, 1, 2]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with the smallest files."""
    folder = tmp_path / "image"
    folder.mkdir()
    sums = {}
    for name in vm_image.FILES:
        (folder / name).write_text(name)
        sums[name] = hashlib.sha256(name.encode()).hexdigest()
    (folder / vm_image.MANIFEST).write_text(json.dumps({"files": sums}))
    return folder


def test_an_image_is_what_was_built(image: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(image.name)
    assert vm_image.checked(str(link)) == str(image)
    assert vm_image.checked(str(image)) == str(image)
    (image / vm_image.KERNEL).write_text("kernel".upper())
    for _ in range(2):
        with pytest.raises(ProviderError, match="kernel is not what was built"):
            vm_image.checked(str(image))


@pytest.mark.parametrize("missing", [vm_image.MANIFEST, vm_image.DISK])
def test_a_directory_that_is_no_image_is_refused(image: Path, missing: str) -> None:
    (image / missing).unlink()
    with pytest.raises(ProviderUsageError, match="is no image of a virtual machine"):
        vm_image.checked(str(image))


def test_another_content_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    known = vm_image.key()
    monkeypatch.setitem(vm_guest.FILES, "etc/fstab", (0o644, "other\n"))
    assert vm_image.key() != known


def test_without_the_programs_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEKUTIR_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda program, path: None if program.startswith("qemu") else program)
    assert qemu_vm.why_not() == "missing here: apt-get install --no-install-recommends qemu-system-x86 qemu-utils"
