"""Copies of repositories for all jobs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kommandir.deadline import Deadline
from kommandir.errors import UsageError
from kommandir.hosting import mirrors
from kommandir.hosting.places import Places


def git(*words: str, cwd: Path) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass
class Served:
    """A repository, and the URL at which a server of git has it."""

    path: Path
    url: str


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    # The settings of the whole host are those of the test.
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "gitconfig"))
    place = tmp_path / "served" / "origin"
    place.mkdir(parents=True)
    git("init", "--quiet", cwd=place)
    git("commit", "--quiet", "--allow-empty", "--message=one", cwd=place)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [f"--base-path={place.parent}", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    server = subprocess.Popen(["git", "daemon", *words], start_new_session=True)
    try:
        served = Served(place, f"git://127.0.0.1:{port}/origin")
        moment = time.monotonic() + 60
        while subprocess.run(["git", "ls-remote", served.url], capture_output=True).returncode:
            assert time.monotonic() < moment
            time.sleep(0.05)
        yield served
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def fill(repository: str, places: Places) -> dict[str, object]:
    return mirrors.fill([{"repo": repository, "cachepath": "x"}], places, deadline=Deadline.after(120))


def test_a_repository_is_copied_once_and_then_brought_up_to_date(repository: Served, tmp_path: Path) -> None:
    places, url = Places(tmp_path), repository.url
    assert fill(url, places) == {"ready": [url], "refused": {}}
    mirror = mirrors.folder(url, places)
    assert git("rev-parse", "main", cwd=mirror) == git("rev-parse", "main", cwd=repository.path)
    git("commit", "--quiet", "--allow-empty", "--message=two", cwd=repository.path)
    fill(url, places)
    assert git("rev-parse", "main", cwd=mirror) == git("rev-parse", "main", cwd=repository.path)
    assert (tmp_path / "gitconfig").read_text().count(str(mirror)) == 1
    mirror.with_suffix(".new").mkdir()  # what a killed call leaves
    assert fill(url, places)["ready"] == [url]


def test_a_copy_that_can_not_be_brought_up_to_date_is_marked(repository: Served, tmp_path: Path) -> None:
    places, url = Places(tmp_path), repository.url
    fill(url, places)
    repository.path.rename(tmp_path / "elsewhere")
    assert fill(url, places)["ready"] == []
    assert (mirrors.folder(url, places) / mirrors.STALE).exists()
    (tmp_path / "elsewhere").rename(repository.path)
    assert fill(url, places)["ready"] == [url]
    assert not (mirrors.folder(url, places) / mirrors.STALE).exists()


def test_what_can_not_be_copied_is_told_and_no_error(repository: Served, tmp_path: Path) -> None:
    gone, local = repository.url.replace("origin", "gone"), repository.path.as_uri()
    program = "ext::touch " + str(tmp_path / "run")
    secret = "https://me:secret@example.com/private.git"
    wanted = [{"repo": gone}, {"repo": program}, {"repo": secret}, {"repo": local}, {"repo": repository.url}]
    told = mirrors.fill(wanted, Places(tmp_path), deadline=Deadline.after(120))
    assert told["ready"] == [repository.url]
    assert set(told["refused"]) == {gone, program, secret, local}
    assert "git failed" in told["refused"][gone]
    assert not (tmp_path / "run").exists()
    assert "which other jobs must not see" in told["refused"][secret]


def test_an_entry_without_a_repository_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        mirrors.fill([{"cachepath": "x"}], Places(tmp_path), deadline=Deadline.never())
