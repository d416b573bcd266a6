"""Which providers there are: those that ship, and those of a job, which win by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kommandir.errors import ProvisioningError, UsageError
from kommandir.providers import registry


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / registry.FOLDER
    folder.mkdir()
    (folder / "notes.txt").write_text("no provider, as it is not executable")
    return tmp_path


def _provider(workspace: Path, name: str, script: str) -> Path:
    file = workspace / registry.FOLDER / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_those_that_ship_are_there(workspace: Path) -> None:
    assert registry.names() == ["namespace", "podman", "qemu", "existing"]
    assert registry.names(workspace) == registry.names()
    for name, file in registry.SHIPPED.items():
        command = registry.provider_executable(name)
        assert command[0] == sys.executable
        assert command[-1].endswith(f"/kommandir/providers/{file}")


def test_a_new_one_is_one_file(workspace: Path) -> None:
    file = _provider(workspace, "mine", "echo '{name: mine, summary: my own, available: true, why: null, options: {}}'")
    assert registry.names(workspace)[-1] == "mine"
    assert registry.provider_executable("mine", workspace) == [str(file)]
    mine = next(info for info in registry.available_providers(workspace) if info.name == "mine")
    assert (mine.summary, mine.available, mine.why) == ("my own", True, None)


def test_one_of_the_job_wins_over_one_that_ships(workspace: Path) -> None:
    file = _provider(workspace, "podman", "exit 3")
    assert registry.provider_executable("podman", workspace) == [str(file)]
    assert registry.names(workspace).count("podman") == 1


@pytest.mark.parametrize("script", ["exit 3", "echo '['", "echo '- a list'", "true"])
def test_one_that_does_not_answer_is_not_available_and_says_why(workspace: Path, script: str) -> None:
    _provider(workspace, "mine", script)
    mine = next(info for info in registry.available_providers(workspace) if info.name == "mine")
    assert not mine.available
    assert mine.why


def test_a_name_that_is_none_is_the_users_mistake(workspace: Path) -> None:
    with pytest.raises(UsageError, match="no such provider"):
        registry.provider_executable("../../bin/sh", workspace)


def test_what_a_provider_said_is_in_the_error(workspace: Path) -> None:
    _provider(workspace, "mine", "echo quota >&2; exit 3")
    with pytest.raises(ProvisioningError) as caught:
        registry.called("mine", "create", "x", workspace=workspace)
    assert "quota" in str(caught.value)


def test_starting_a_provider_imports_nothing_heavy() -> None:
    """What it imports is what a peon's creation costs; a set of names, not a time, so that a busy machine agrees."""
    command = [*registry.provider_executable("namespace")]
    code = (
        "import sys; sys.argv = ['namespace', 'describe']; sys.path.insert(0, sys.orig_argv[-1]);"
        "from kommandir.providers import command, namespace_peon; print(*sys.modules)"
    )
    checkout = str(Path(command[-1]).parents[2])
    outcome = subprocess.run(
        [*command[:-1], "-c", code, checkout], capture_output=True, text=True, check=True, cwd="/", timeout=60
    )
    loaded = set(outcome.stdout.split())
    assert not loaded & {"pathlib", "argparse", "dataclasses", "subprocess", "socket", "typing", "yaml", "shutil"}
