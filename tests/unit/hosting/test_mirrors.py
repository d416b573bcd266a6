"""Copies of repositories for all jobs."""

from __future__ import annotations

import subprocess
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


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The settings of the whole host are those of the test.
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "gitconfig"))
    place = tmp_path / "origin"
    place.mkdir()
    git("init", "--quiet", cwd=place)
    git("commit", "--quiet", "--allow-empty", "--message=one", cwd=place)
    return place


def fill(repository: str, places: Places) -> dict[str, object]:
    return mirrors.fill([{"repo": repository, "cachepath": "x"}], places, deadline=Deadline.after(120))


def test_a_repository_is_copied_once_and_then_brought_up_to_date(repository: Path, tmp_path: Path) -> None:
    places, url = Places(tmp_path), repository.as_uri()
    assert fill(url, places) == {"ready": [url], "refused": {}}
    mirror = mirrors.folder(url, places)
    assert git("rev-parse", "main", cwd=mirror) == git("rev-parse", "main", cwd=repository)
    git("commit", "--quiet", "--allow-empty", "--message=two", cwd=repository)
    fill(url, places)
    assert git("rev-parse", "main", cwd=mirror) == git("rev-parse", "main", cwd=repository)
    assert (tmp_path / "gitconfig").read_text().count(str(mirror)) == 1
    mirror.with_suffix(".new").mkdir()  # what a killed call leaves
    assert fill(url, places)["ready"] == [url]


def test_a_copy_that_can_not_be_brought_up_to_date_is_marked(repository: Path, tmp_path: Path) -> None:
    places, url = Places(tmp_path), repository.as_uri()
    fill(url, places)
    repository.rename(tmp_path / "elsewhere")
    assert fill(url, places)["ready"] == []
    assert (mirrors.folder(url, places) / mirrors.STALE).exists()
    (tmp_path / "elsewhere").rename(repository)
    assert fill(url, places)["ready"] == [url]
    assert not (mirrors.folder(url, places) / mirrors.STALE).exists()


def test_what_can_not_be_copied_is_told_and_no_error(repository: Path, tmp_path: Path) -> None:
    gone = (tmp_path / "gone").as_uri()
    program = "ext::touch " + str(tmp_path / "run")
    secret = "https://me:secret@example.com/private.git"
    wanted = [{"repo": gone}, {"repo": program}, {"repo": secret}, {"repo": repository.as_uri()}]
    told = mirrors.fill(wanted, Places(tmp_path), deadline=Deadline.after(120))
    assert told["ready"] == [repository.as_uri()]
    assert set(told["refused"]) == {gone, program, secret}
    assert "git failed" in told["refused"][gone]
    assert not (tmp_path / "run").exists()
    assert "which other jobs must not see" in told["refused"][secret]


def test_an_entry_without_a_repository_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        mirrors.fill([{"cachepath": "x"}], Places(tmp_path), deadline=Deadline.never())
