"""Calling providers as root and as an ordinary user, with a state directory of the test's own; what is left."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FAR = 4_000_000_000
PATIENCE = 240


@dataclass
class Caller:
    """A user who calls providers: with a directory, a Python and a copy of our package that he may read."""

    uid: int
    gid: int
    home: Path
    python: str
    package: Path
    cache: Path
    state: Path
    extra: dict[str, str] = field(default_factory=dict)
    patience: float = PATIENCE

    @property
    def key(self) -> Path:
        return self.home / "key"

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "CONTAINERS_CONF") if name in os.environ}
        places = {"EXEKUTIR_STATE": str(self.state), "EXEKUTIR_CACHE": str(self.cache), "HOME": str(self.home)}
        return {**kept, **places, **self.extra}

    def identity(self) -> dict[str, Any]:
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(self, command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.patience,
            **self.identity(),
            **more,
        )

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command, env=self.environment(), cwd="/", stdin=quiet, stdout=quiet, stderr=quiet, **self.identity()
        )


@dataclass
class Provider:
    """A provider as one user calls it."""

    name: str
    caller: Caller

    def command(self, *words: str) -> list[str]:
        file = self.caller.package / "kommandir" / "providers" / f"{self.name}.py"
        return [self.caller.python, "-I", "-S", str(file), *words]

    def create_command(self, peon: str, uuid: str, *more: str, expires: int = FAR) -> list[str]:
        lease = ("--uuid", uuid, "--expires", str(expires), "--public-key", f"{self.caller.key}.pub")
        return self.command("create", peon, *lease, *more)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.caller.run(self.command(*words))

    def create(self, peon: str, uuid: str, *more: str, expires: int = FAR) -> dict[str, Any]:
        outcome = self.caller.run(self.create_command(peon, uuid, *more, expires=expires))
        assert outcome.returncode == 0, outcome.stderr
        told = yaml.safe_load(outcome.stdout)
        assert isinstance(told, dict)
        return told

    def told(self, *words: str) -> Any:
        outcome = self.call(*words)
        assert outcome.returncode == 0, outcome.stderr
        return yaml.safe_load(outcome.stdout)

    def states(self, peon: str) -> list[str]:
        """The state of a peon as it is listed; empty where it is not."""
        return [entry["state"] for entry in self.told("list") if entry["name"] == peon]

    def directory(self, peon: str) -> Path:
        return self.caller.state / self.name / peon

    def destroy(self, peon: str, uuid: str) -> None:
        outcome = self.call("destroy", peon, "--uuid", uuid)
        assert outcome.returncode == 0, outcome.stderr

    def ssh(self, told: dict[str, Any], script: str) -> subprocess.CompletedProcess[str]:
        fixed = ["-F", "none", "-i", str(self.caller.key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=60"]
        where = ["-p", str(told["ansible_port"]), f"{told['ansible_user']}@{told['ansible_host']}"]
        return self.caller.run(["ssh", *fixed, *shlex.split(told["ansible_ssh_common_args"]), *where, script])

    def said(self, told: dict[str, Any], script: str) -> str:
        outcome = self.ssh(told, script)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout.strip()

    def init(self, peon: str) -> int:
        record = json.loads((self.directory(peon) / "peon.json").read_text(encoding="utf-8"))
        return int(record["pid"])


def members(pid: int) -> set[int]:
    """All processes in the same process namespace as ``pid``, by their numbers here."""
    wanted = Path(f"/proc/{pid}/ns/pid").readlink()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns" / "pid").readlink() == wanted:
                    found.add(int(entry.name))
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
    return found


def running(pids: set[int]) -> set[int]:
    """Those of ``pids`` that still run; one that only waits for its exit code to be taken does not."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            found.add(pid)
    return found


def users_of(state: Path) -> list[str]:
    """Command lines of processes that speak of ``state``, or were given it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            told = command + (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        # podman keeps one process a user, which holds his namespace and belongs to no container.
        if str(state).encode() in told and not command.startswith((b"podman", b"catatonit")):
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def left_of(provider: Provider, peon: str) -> list[str]:
    """What is left of a peon on this host: files, mounts, control groups, processes."""
    folder = provider.caller.state / provider.name
    files = [str(path) for path in folder.iterdir() if peon in path.name] if folder.is_dir() else []
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if peon in line]
    # `walk`, as other groups come and go meanwhile.
    groups = [place for place, _, _ in os.walk("/sys/fs/cgroup") if place.endswith(f"/exekutir-{peon}")]
    deadline = time.monotonic() + 10
    # A proxy or a shell of an ssh that was cut off needs a moment to notice.
    while (processes := users_of(folder / peon)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return files + mounts + groups + processes


def addresses() -> list[tuple[int, str]]:
    """All addresses of this host, with their families."""
    told = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    found = []
    for link in told:
        for entry in link.get("addr_info", []):
            family = socket.AF_INET if entry["family"] == "inet" else socket.AF_INET6
            scope = f"%{link['ifname']}" if entry.get("scope") == "link" else ""
            found.append((int(family), f"{entry['local']}{scope}"))
    return found


def usable_python(uid: int, gid: int, candidates: Sequence[str]) -> str:
    """The first Python, new enough for us, that a user may run."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    identity: dict[str, Any] = {} if os.geteuid() == uid else {"user": uid, "group": gid, "extra_groups": []}
    for candidate in candidates:
        try:
            if subprocess.run([candidate, "-I", "-S", "-c", check], cwd="/", **identity).returncode == 0:
                return candidate
        except (PermissionError, FileNotFoundError):
            continue
    raise AssertionError(f"no Python from 3.11 on that user {uid} may run among {', '.join(candidates)}")


def copy_package(checkout: Path, target: Path) -> Path:
    """A copy of what providers need, where every user may read it."""
    shutil.copytree(
        checkout / "kommandir", target / "kommandir", ignore=shutil.ignore_patterns("__pycache__", "_content")
    )
    return target
