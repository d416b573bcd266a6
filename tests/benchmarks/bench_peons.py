"""Real peons, from nothing to the first SSH answer and back to nothing, beside bare `unshare` and `nsenter`.

usage: python tests/benchmarks/bench_peons.py [NUMBER...]      how many namespace peons at once; default: 1 and 32
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from kommandir import rootfs
from kommandir.errors import ProvisioningError
from kommandir.providers import identities, registry

UUID = "bench"
PODMAN_NUMBER = 8
MACHINES = 4
#: Seconds that a host may take: a machine that boots without KVM takes some minutes on a busy host.
PATIENCE = 900.0
#: What a bare peon is: the same mounts, made by a shell.
_BARE = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
hostname bare
echo ready
exec sleep 600
"""


def at_once(names: Sequence[str], action: Callable[[str], None]) -> tuple[float, float]:
    """Wall and CPU seconds of an action for each, all of them at once; the CPU time is that of the programs called."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(action, names))
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Bare:
    """Hosts made by `unshare`, entered by `nsenter`; no SSH, no record, no limits."""

    def __init__(self, folder: Path, tree: str) -> None:
        self.folder, self.tree = folder, tree
        self.children: dict[str, subprocess.Popen[str]] = {}
        user = [] if os.geteuid() == 0 else ["-U", "--map-auto", "--map-root-user"]
        self.unshare = [
            "unshare",
            *user,
            "-n",
            "-m",
            "-u",
            "-i",
            "-p",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            _BARE,
            "sh",
        ]
        self.enter = [
            "nsenter",
            *([] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]),
            "-m",
            "-u",
            "-i",
            "-n",
            "-t",
        ]

    def create(self, name: str) -> None:
        place = self.folder / name
        place.mkdir()
        child = subprocess.Popen([*self.unshare, str(place), self.tree], stdout=subprocess.PIPE, text=True)
        self.children[name] = child
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        inner = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0]
        subprocess.run([*self.enter, inner, "true"], check=True)

    def destroy(self, name: str) -> None:
        child = self.children.pop(name)
        child.kill()
        child.communicate()
        (self.folder / name).rmdir()


class Real:
    """Hosts of a provider, each answered once by SSH with its host key checked."""

    def __init__(self, provider: str, key: Path, *options: str) -> None:
        self.provider, self.key, self.options = provider, key, options

    def create(self, name: str) -> None:
        lease = ["--uuid", UUID, "--expires", "4000000000", "--public-key", f"{self.key}.pub"]
        said = registry.called(self.provider, "create", name, *lease, *self.options, seconds=PATIENCE)
        told = yaml.load(said, Loader=yaml.CSafeLoader)
        arguments = ["-F", "none", "-i", str(self.key), *shlex.split(told["ansible_ssh_common_args"])]
        subprocess.run(["ssh", *arguments, f"root@{told['ansible_host']}", "true"], check=True)

    def destroy(self, name: str) -> None:
        registry.called(self.provider, "destroy", name, "--uuid", UUID)


#: (wall, CPU) seconds to create, and to destroy.
Figures = tuple[tuple[float, float], tuple[float, float]]


def measured(kind: Bare | Real, number: int, rounds: int) -> Figures:
    """The best of some rounds: wall and CPU seconds to create, and to destroy, that many at once."""
    created, destroyed = [], []
    for turn in range(rounds):
        names = [f"b{turn}-{n}-{UUID}" for n in range(number)]
        try:
            created.append(at_once(names, kind.create))
        finally:
            destroyed.append(at_once(names, kind.destroy))
    return min(created), min(destroyed)


def main(numbers: list[int]) -> None:
    """Print the figures, a line a kind and number."""
    tree = str(rootfs.build_tree(identities.of_this_user()))
    folder = Path(tempfile.mkdtemp(prefix="exekutir-bench-"))
    folder.chmod(0o755)
    os.environ["EXEKUTIR_STATE"] = str(folder / "state")
    key = folder / "key"
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        print(f"{'hosts':>5} {'created, s':>10} {'CPU, s':>7} {'destroyed, s':>12} {'CPU, s':>7}")
        for number in numbers:
            rounds = 5 if number == 1 else 2
            bare = measured(Bare(folder, tree), number, rounds)
            _print(number, bare, None, "bare unshare and nsenter, no SSH")
            _print(number, measured(Real("namespace", key), number, rounds), bare, "namespace, to the first SSH answer")
        _podman(key)
        _qemu(key)
    finally:
        shutil.rmtree(folder)


def _podman(key: Path) -> None:
    try:
        Real("podman", key).create(f"warm-{UUID}")
    except ProvisioningError as error:
        print(f"podman: {error}")
        return
    Real("podman", key).destroy(f"warm-{UUID}")
    for number in (1, PODMAN_NUMBER):
        _print(number, measured(Real("podman", key), number, 1), None, "podman, to the first SSH answer")


def _qemu(key: Path) -> None:
    """Virtual machines: one that boots is the floor of those that are cloned."""
    from kommandir import image
    from kommandir.providers import qemu_vm, vm_template

    reason = qemu_vm.why_not()
    if reason:
        print(f"qemu: {reason}")
        return
    machine = qemu_vm.machine_of(str(image.build()))
    vm_template.ensure(machine)
    booted = measured(Real("qemu", key, "--cold"), 1, 1)
    _print(1, booted, None, f"qemu ({machine.accelerator}), booted, to the first SSH answer")
    for number in (1, MACHINES):
        cloned = measured(Real("qemu", key), number, 2)
        share = booted[0][0] / (cloned[0][0] / number)
        _print(number, cloned, None, f"qemu ({machine.accelerator}), cloned: {share:.0f} times as fast as a boot each")


def _print(number: int, seconds: Figures, floor: Figures | None, what: str) -> None:
    ratios = f": {seconds[0][0] / floor[0][0]:.1f} and {seconds[1][0] / floor[1][0]:.1f} times bare" if floor else ""
    (created, creating), (destroyed, destroying) = seconds
    print(f"{number:>5} {created:>10.3f} {creating:>7.2f} {destroyed:>12.3f} {destroying:>7.2f}  {what}{ratios}")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 32])
