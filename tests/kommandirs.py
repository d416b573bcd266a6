"""Jobs on a remote kommandir, which tests share as jobs do, and the proof that nothing is left of it."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exekutir.generations import FILE_NAME
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


def generations(state: Path) -> list[dict[str, object]]:
    """What is known of the generations of a kommandir."""
    file = state / "locks" / f"{prefix(state)}-kommandir" / FILE_NAME
    return list(json.loads(file.read_text())["generations"]) if file.exists() else []


@pytest.fixture(scope="session")
def kommandir_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose podman kommandir lives as long as the tests of this process; it must be gone at the end."""
    state = tmp_path_factory.mktemp("kommandir-state")
    yield state
    if generations(state):
        last = Calls(tmp_path_factory.mktemp("last") / "ws", state, "ci", on_podman(state))
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


def users(state: Path, container: str) -> set[str]:
    """The users of jobs on a podman kommandir."""
    engine = podman_engine.Engine(f"{state}/podman")
    text = engine.demand("exec", container, "ls", "/home")
    return set(text.split())


def killed(state: Path, container: str) -> None:
    """Kill a podman kommandir, as a host that loses its power."""
    podman_engine.Engine(f"{state}/podman").demand("kill", container)


def until(calls: Calls, kind: str, **wanted: str) -> None:
    """Wait until the job's events tell something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (calls.results / "events.jsonl").exists():
            for event in calls.events():
                if event["event"] == kind and all(event.get(key) == value for key, value in wanted.items()):
                    return
        time.sleep(0.1)
    raise AssertionError(f"{kind} {wanted} was never told")
