"""The workspace is laid out whole, may be laid out again, and loses nothing of the user's."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from exekutir import workspace
from exekutir.workspace import Workspace
from kommandir.errors import ExekutirError, UsageError


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    (folder / "inventory").mkdir(parents=True)
    (folder / "setup.yml").write_text("- hosts: all\n")
    (folder / "inventory" / "peons").write_text("[peons]\none\n")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return workspace.opened(tmp_path / "ws", create=True)


def test_defaults_are_overlaid_by_the_job_and_kept_beside(place: Workspace, job: Path) -> None:
    workspace.made(place, job)
    assert (place.kommandir / "setup.yml").read_text() == "- hosts: all\n"
    assert (place.kommandir / "default_setup.yml").read_text() != "- hosts: all\n"
    assert (place.kommandir / "default_job.xn").read_text() == (place.kommandir / "job.xn").read_text()
    assert (place.kommandir / "playbooks" / "peon_creation.yml").exists()
    assert (place.kommandir / "roles" / "common" / "tasks" / "main.yml").exists()
    assert (place.kommandir / "inventory" / "peons").read_text() == "[peons]\none\n"
    assert os.access(place.kommandir / "tool.sh", os.X_OK)
    assert (place.path / "results").readlink() == Path("kommandir_workspace/results")


def test_keys_are_made_once_and_only_their_owner_reads_them(place: Workspace, job: Path) -> None:
    workspace.made(place, job)
    keys = [place.path / "ssh" / "exekutir_key", place.kommandir / "ssh" / "kommandir_key"]
    before = [key.read_bytes() for key in keys]
    workspace.made(place, job)
    assert [key.read_bytes() for key in keys] == before
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
        assert public.split()[:2] == key.with_suffix(".pub").read_text().split()[:2]


def test_a_key_that_was_given_is_copied(
    place: Workspace, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "given"], check=True)
    monkeypatch.setenv("ANSIBLE_PRIVATE_KEY_FILE", str(tmp_path / "given"))
    workspace.made(place, job)
    assert (place.path / "ssh" / "exekutir_key").read_bytes() == (tmp_path / "given").read_bytes()


def test_a_half_made_key_is_made_again(place: Workspace, job: Path) -> None:
    (place.path / "ssh").mkdir()
    (place.path / "ssh" / "exekutir_key").write_text("half")
    workspace.made(place, job)
    assert "PRIVATE KEY" in (place.path / "ssh" / "exekutir_key").read_text()


def test_what_left_the_job_leaves_the_workspace_and_nothing_else_does(place: Workspace, job: Path) -> None:
    (job / "old.yml").write_text("- hosts: all\n")
    workspace.made(place, job)
    (place.results / "mine.txt").write_text("result")
    (place.kommandir / "written_by_the_job.txt").write_text("x")
    (job / "old.yml").unlink()
    (job / "setup.yml").unlink()
    workspace.made(place, job)
    assert not (place.kommandir / "old.yml").exists()
    assert (place.kommandir / "setup.yml").read_text() == (place.kommandir / "default_setup.yml").read_text()
    assert (place.results / "mine.txt").exists()
    assert (place.kommandir / "written_by_the_job.txt").exists()


def test_state_of_ours_is_not_overlaid_by_a_job(place: Workspace, job: Path) -> None:
    for name in ("ssh", "results", "private"):
        (job / name).mkdir()
        (job / name / "file").write_text("theirs")
    (job / "journal.jsonl").write_text("theirs")
    workspace.made(place, job)
    assert not list(place.kommandir.glob("*/file"))
    assert not (place.kommandir / "journal.jsonl").exists()


def test_a_workspace_may_lie_inside_of_the_job(job: Path) -> None:
    place = workspace.opened(job / "deep" / "ws", create=True)
    workspace.made(place, job)
    workspace.made(place, job)
    assert not (place.kommandir / "deep").exists()


def test_links_are_followed_and_one_that_leads_nowhere_is_said(place: Workspace, job: Path) -> None:
    (job / "link.yml").symlink_to("setup.yml")
    workspace.made(place, job)
    assert not (place.kommandir / "link.yml").is_symlink()
    (job / "dangling.yml").symlink_to("nowhere.yml")
    with pytest.raises(UsageError, match=r"dangling\.yml"):
        workspace.made(place, job)


def test_read_only_files_and_folders_of_a_job_are_laid_twice(place: Workspace, job: Path) -> None:
    (job / "sub").mkdir()
    (job / "sub" / "file").write_text("1")
    (job / "sub" / "file").chmod(0o444)
    (job / "sub").chmod(0o555)
    workspace.made(place, job)
    (job / "sub").chmod(0o755)
    (job / "sub" / "file").chmod(0o644)
    (job / "sub" / "file").write_text("22")
    workspace.made(place, job)
    assert (place.kommandir / "sub" / "file").read_text() == "22"


def test_excludes_of_the_user_stay_out(place: Workspace, job: Path) -> None:
    (job / "big").mkdir()
    (job / "big" / "file").write_text("x")
    (job / ".git").mkdir()
    workspace.made(place, job, ["big"])
    assert not (place.kommandir / "big").exists()
    assert not (place.kommandir / ".git").exists()


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        workspace.opened(tmp_path / "file", create=True)


def test_a_workspace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `exekutir setup` first"):
        workspace.opened(tmp_path / "none", create=False)


def test_a_workspace_of_another_version_is_refused(place: Workspace) -> None:
    (place.path / workspace.FORMAT_FILE).write_text("99\n")
    with pytest.raises(UsageError, match="layout '99'"):
        workspace.opened(place.path, create=True)


def test_results_that_are_in_the_way_are_not_lost(place: Workspace, job: Path) -> None:
    (place.path / "results").mkdir()
    (place.path / "results" / "theirs").write_text("x")
    with pytest.raises(ExekutirError, match="is in the way"):
        workspace.made(place, job)
    assert (place.path / "results" / "theirs").exists()


def test_host_vars_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "one.yml"
    file.write_text("a: 1\nb: !vault |\n  $ANSIBLE_VAULT;1.1\n")
    assert workspace.updated_host_vars(file, {"a": 2, "c": 3}) == {"a": 2, "b": "$ANSIBLE_VAULT;1.1\n", "c": 3}
    assert "!vault" in file.read_text()
