"""Jobs on a remote kommandir, which tests share as jobs do, and the proof that nothing is left of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exekutir.generations import FILE_NAME
from kommandir import yamlfile
from kommandir.providers import podman_engine
from tests.calls import PATIENCE, Calls


def prefix(state: Path) -> str:
    """The first part of the names of kommandirs, since all tests share one podman."""
    return f"t{zlib.crc32(str(state).encode()):08x}"


def first(state: Path) -> str:
    """The name of the first generation."""
    return f"{prefix(state)}-kommandir-g1"


def on_podman(state: Path, **more: object) -> dict[str, str]:
    """What in the environment of a call makes it use a podman kommandir, with further variables."""
    variables = {"kommandir_groups": ["podman"], "kommandir_name_prefix": prefix(state), **more}
    return {"EXEKUTIR_EXTRA_VARS": json.dumps(variables)}


def containers(state: Path) -> list[str]:
    """The names of the containers whose records are below ``state``."""
    engine = podman_engine.Engine(f"{state}/podman")
    found = engine.containers(f"label={podman_engine.STATE}={state}/podman")
    return sorted(podman_engine.labels(one)[podman_engine.TAG] for one in found)


def generations(state: Path) -> list[dict[str, Any]]:
    """What is known of the generations of a kommandir."""
    file = state / "locks" / f"{prefix(state)}-kommandir" / FILE_NAME
    return list(json.loads(file.read_text())["generations"]) if file.exists() else []


def job_of_commands(folder: Path, **scripts: str) -> Path:
    """Write a job without peons and without Ansible: a shell script for each context that is named."""
    folder.mkdir(parents=True)
    items = [
        {"command": {"contexts": [context], "filepath": "/bin/sh", "arguments": f"-c {shlex.quote(script)}"}}
        for context, script in scripts.items()
    ]
    (folder / "job.xn").write_text(yamlfile.dump(items))
    return folder


@pytest.fixture(scope="session")
def kommandir_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose podman kommandir lives as long as the tests of this process; it must be gone at the end."""
    state = tmp_path_factory.mktemp("kommandir-state")
    yield state
    if generations(state):
        folder = tmp_path_factory.mktemp("last")
        last = Calls(folder / "ws", state, job_of_commands(folder / "job", setup="true"), on_podman(state))
        last("setup")
        last("cleanup", "-e", "stonith=true")
    assert containers(state) == []


@pytest.fixture
def remote_calls(tmp_path: Path, kommandir_state: Path) -> Iterator[Callable[[str], Calls]]:
    """Makes calls of jobs, each by its name a workspace of its own, on the podman kommandir that is shared."""
    made: list[Calls] = []

    def make(name: str = "ws", job: str | Path = "quickstart", state: Path = kommandir_state) -> Calls:
        calls = Calls(tmp_path / name, state, job, on_podman(state))
        made.append(calls)
        return calls

    yield make
    for calls in made:
        if (calls.workspace / "exekutir_vars.yml").exists():
            calls("cleanup", code=None)


def current(state: Path) -> str:
    """The name of the generation that takes new jobs."""
    return next(str(one["name"]) for one in generations(state) if one["state"] in ("creating", "ready"))


def registered(state: Path) -> set[str]:
    """The jobs that are registered on any generation."""
    return {str(uuid) for one in generations(state) for uuid in dict(one["jobs"])}


def users(state: Path, container: str) -> set[str]:
    """The users of jobs on a podman kommandir."""
    return set(inside(state, container, "ls", "/home").split())


def inside(state: Path, container: str, *words: str) -> str:
    """Run a command as root of a podman kommandir; its output."""
    return podman_engine.Engine(f"{state}/podman").demand("exec", container, *words)


def process_of(state: Path, container: str) -> str:
    """The number of the first process of a podman kommandir, by which its namespaces can be entered."""
    return podman_engine.Engine(f"{state}/podman").demand("inspect", "--format", "{{.State.Pid}}", container)


def lay_wire(state: Path, container: str, wire: str, net: str) -> None:
    """Lay a wire from this host (``net``.1) into a podman kommandir (``net``.2); it goes with either end."""
    pid = process_of(state, container)
    for words in (
        ["ip", "link", "add", wire, "type", "veth", "peer", "name", "wire0", "netns", pid],
        ["ip", "address", "add", f"{net}.1/24", "dev", wire],
        ["ip", "link", "set", wire, "up"],
        ["nsenter", "-t", pid, "-n", "ip", "address", "add", f"{net}.2/24", "dev", "wire0"],
        ["nsenter", "-t", pid, "-n", "ip", "link", "set", "wire0", "up"],
    ):
        subprocess.run(words, check=True)


def killed(state: Path, container: str) -> None:
    """Kill a podman kommandir, as a host that loses its power: its provider starts it again, with its disks."""
    podman_engine.Engine(f"{state}/podman").demand("kill", container)


def lost(state: Path, container: str) -> None:
    """Take a podman kommandir away with its disks: what its provider makes in its place is another host."""
    engine = podman_engine.Engine(f"{state}/podman")
    command = ("rm", "--force", "--ignore", "--time", "0", "--volumes", container)
    # Its mounts may be busy for a moment after its processes are gone.
    wait_for(lambda: engine.call(*command).returncode == 0, f"{container} can't be removed")


def until(calls: Calls, kind: str, *, after: int = 0, call: subprocess.Popen[str] | None = None, **wanted: str) -> None:
    """Wait until the job's events tell something, beyond the ``after`` first of them; ``call`` must go on meanwhile."""

    def told() -> bool:
        events = calls.events()[after:] if (calls.results / "events.jsonl").exists() else []
        assert call is None or call.poll() is None, call.communicate()[1]
        return any(
            event["event"] == kind and all(event.get(key) == value for key, value in wanted.items()) for event in events
        )

    wait_for(told, f"{kind} {wanted} was never told")


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
