"""The command itself: its help, its page, its completion, and what it says to wrong calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exekutir import cli_reference
from exekutir.options import Duration
from kommandir.version import __version__

EXEKUTIR = Path(sys.executable).with_name("exekutir")


def exekutir(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(EXEKUTIR), *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


def test_the_page_is_made_from_the_code(checkout: Path) -> None:
    assert (checkout / "docs/reference/cli.md").read_text() == cli_reference.page(), (
        "run `python -m exekutir.cli_reference docs/reference/cli.md`"
    )


def test_version() -> None:
    assert exekutir("--version").stdout == f"exekutir {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["setup"], "no workspace was named"),
        (["setup", "-w", "w", "--timeout", "soon"], "90s, 15m, 2h or 1d"),
        (["setup", "-w", "w", "--keep", "perhaps"], "'never', 'on-failure', 'always'"),
        (["sutep"], "No such command"),
        (["run", "-w", "/nonexistent/place"], "is not there"),
        (["login", "-w", "/nonexistent/place", "one"], "is not there"),
        (["status", "-w", "/nonexistent/place"], "is not there"),
    ],
)
def test_wrong_calls_are_the_users_mistake(arguments: list[str], said: str) -> None:
    ended = exekutir(*arguments)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
    assert "Traceback" not in ended.stderr


def test_variables_of_the_command_line_are_added_to_those_of_the_environment(tmp_path: Path) -> None:
    asked = ("explain", "-j", "ci", "-w", str(tmp_path / "none"), "-e", "stonith=true")
    environment = {"EXEKUTIR_EXTRA_VARS": '{"kommandir_max_age": 5, "stonith": false}'}
    assert exekutir(*asked, "kommandir_max_age", **environment).stdout.startswith("kommandir_max_age: 5\n")
    assert exekutir(*asked, "stonith", **environment).stdout.startswith("stonith: true\n")


def test_cleanup_of_nothing_is_good(tmp_path: Path) -> None:
    ended = exekutir("cleanup", "-w", str(tmp_path / "never"))
    assert (ended.returncode, "nothing to clean up" in ended.stderr) == (0, True)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_shells(shell: str) -> None:
    assert "_EXEKUTIR_COMPLETE" in exekutir("completion", shell).stdout


def test_bash_really_completes(tmp_path: Path) -> None:
    script = f"""
        export PATH={EXEKUTIR.parent}:$PATH
        eval "$(exekutir completion bash)"
        COMP_WORDS=(exekutir cl) COMP_CWORD=1
        _exekutir_completion exekutir
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["cleanup"]


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds
