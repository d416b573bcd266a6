"""The set-up of a checkout, tried on copies of it: killed half-way, twice at once, a second time, without root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def copy(checkout: Path) -> Iterator[Path]:
    """A copy of what is, or is about to be, committed, in a place that every user can read."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory(prefix="exekutir-setup-") as name:
        top = Path(name)
        top.chmod(0o755)
        for path in listed.split("\0"):
            if path and (checkout / path).is_file():
                (top / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(checkout / path, top / path)
        yield top


def start(top: Path, *, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    """Starts a set-up in a process group of its own."""
    return subprocess.Popen(
        [*before, top / "packaging" / "setup"],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(setup: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = setup.communicate(timeout=280)
    return setup.returncode, output


def wait_for(path: Path, setup: subprocess.Popen[str]) -> None:
    """Until `path` is there; a set-up that ended before that is a failure."""
    while not path.exists():
        assert setup.poll() is None, setup.communicate()[0]
        time.sleep(0.05)


def commands_of(top: Path) -> list[str]:
    """The command lines of all processes that still work in this copy."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(top) in command:
            found.append(command)
    return found


def test_a_set_up_that_was_killed_is_finished_by_the_next_one_and_then_there_is_nothing_to_do(copy: Path) -> None:
    killed = start(copy)
    wait_for(copy / ".venv" / ".unfinished", killed)
    os.killpg(killed.pid, signal.SIGKILL)
    finish(killed)
    first, second = start(copy), start(copy)
    outcomes = [finish(first), finish(second)]
    assert [code for code, _ in outcomes] == [0, 0], outcomes
    assert sum("another set-up of this checkout is at work" in output for _, output in outcomes) >= 1
    assert finish(start(copy)) == (0, "")
    done = subprocess.run([copy / ".venv/bin/exekutir", "--version"], capture_output=True, text=True, check=True)
    assert "0." in done.stdout


def test_a_set_up_that_is_interrupted_leaves_no_process_at_work(copy: Path) -> None:
    stopped = start(copy)
    wait_for(copy / ".venv", stopped)
    os.kill(stopped.pid, signal.SIGTERM)
    code, output = finish(stopped)
    assert (code, "type the same command again" in output) == (143, True), output
    while commands_of(copy):
        time.sleep(0.1)


def test_without_root_it_says_what_to_install(copy: Path) -> None:
    with (copy / "packaging" / "debian-packages.txt").open("a") as packages:
        packages.write("no-such-package|nor-this-one  # never there\n")
    before = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if os.geteuid() == 0 else ()
    code, output = finish(start(copy, before=before))
    assert code == 2
    assert "sudo apt-get update && sudo apt-get install --no-install-recommends no-such-package" in output
    assert not (copy / ".venv").exists()


def test_a_python_that_will_not_do_is_refused_before_anything_is_made(copy: Path) -> None:
    code, output = finish(start(copy, PYTHON="/bin/false"))
    assert (code, "no Python 3.11 or newer with venv" in output) == (2, True), output
    assert not (copy / ".venv").exists()
