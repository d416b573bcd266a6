"""A wheel of the checkout, installed where there is no checkout, does all that the checkout does."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

CONTENT = ("ansible.cfg", "inventory", "job_path", "playbooks", "roles")


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Runs a command that has to succeed, with nothing of the test's own Python in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network by the build back end that is installed here."""
    place = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(place)]
    run([sys.executable, "-m", "pip", "wheel", *options, str(checkout)], place)
    [built] = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh virtual environment that holds the wheel and what it depends on."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", place], place.parent)
    constraints = checkout / "packaging" / "constraints.txt"
    run([place / "bin" / "pip", "install", "--quiet", "--constraint", constraints, wheel], place.parent)
    return place / "bin"


def test_the_wheel_holds_all_content_and_nothing_else(wheel: Path, checkout: Path) -> None:
    tracked = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *CONTENT], checkout).splitlines()
    prefix = "kommandir/_content/"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.removeprefix(prefix) for name in names if name.startswith(prefix)} == set(tracked)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"exekutir", "kommandir", "narval_engine"}


@pytest.mark.parametrize("command", ["exekutir", "kommandir", "narval"])
def test_the_commands_are_there(installed: Path, tmp_path: Path, command: str) -> None:
    assert "0." in run([installed / command, "--version"], tmp_path)


def test_content_comes_from_the_wheel(installed: Path, tmp_path: Path, checkout: Path) -> None:
    code = "from kommandir import content; print(content.root()); print(*content.bundled_jobs())"
    place, jobs = run([installed / "python", "-c", code], tmp_path).splitlines()
    assert Path(place).is_relative_to(installed.parent)
    assert jobs.split() == sorted(job.name for job in (checkout / "job_path").iterdir() if job.is_dir())


def test_scripts_of_the_content_can_still_be_run(installed: Path, tmp_path: Path, checkout: Path) -> None:
    root = Path(
        run([installed / "python", "-c", "from kommandir import content; print(content.root())"], tmp_path).strip()
    )
    scripts = [
        path
        for name in CONTENT[1:]
        for path in (checkout / name).rglob("*")
        if path.is_file() and path.stat().st_mode & 0o100
    ]
    assert [path for path in scripts if not (root / path.relative_to(checkout)).stat().st_mode & 0o100] == []


def test_a_bundled_job_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    run([installed / "exekutir", "all", "--workspace", workspace, "--job", "ci"], tmp_path)
    assert (workspace / "exekutir_cleanup.exit").read_text().strip() == "0"
