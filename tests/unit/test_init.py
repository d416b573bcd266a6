from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exekutir.init import create_job
from exekutir.variables.validation import validate
from kommandir import content, yamlfile
from kommandir.errors import UsageError


@pytest.fixture
def job(tmp_path: Path) -> Path:
    create_job(tmp_path / "deep" / "job")
    return tmp_path / "deep" / "job"


def test_a_new_job_is_valid(job: Path) -> None:
    assert validate(job, workspace=None, extra={}) == []


def test_the_files_are_told_and_say_whose_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    files = create_job(tmp_path / "mine")
    assert {str(file.relative_to(tmp_path / "mine")) for file in files} == {
        "README.md",
        "kommandir_vars.yml",
        "inventory/peons",
        "setup.yml",
        "run.yml",
        "cleanup.yml",
    }
    assert all(file.read_text().startswith(("#", "---\n#")) for file in files)
    assert files[0].read_text().startswith("# mine\n")


def test_what_is_there_is_never_touched(job: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        create_job(job)
    with pytest.raises(UsageError, match="is a file"):
        create_job(job / "setup.yml")
    with pytest.raises(UsageError, match="can't be written"):
        create_job(Path("/proc/exekutir/job"))


def test_ansible_takes_its_playbooks_in_a_workspace(job: Path, tmp_path: Path) -> None:
    laid = tmp_path / "laid"
    laid.mkdir()
    for name in ("roles", "inventory"):
        (laid / name).symlink_to(content.root() / name)
    for file in content.playbooks().glob("*.yml"):
        (laid / file.name).symlink_to(file)
    for name in ("kommandir_vars.yml", "setup.yml", "run.yml", "cleanup.yml"):
        (laid / name).unlink(missing_ok=True)
        (laid / name).write_text((job / name).read_text())
    names = ("setup.yml", "run.yml", "cleanup.yml")
    command = [sys.executable, "-m", "ansible", "playbook", "--syntax-check", "-i", str(job / "inventory"), *names]
    ran = subprocess.run(command, cwd=laid, env=dict(os.environ), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_variables_are_used(job: Path) -> None:
    own = yamlfile.mapping(job / "kommandir_vars.yml").value
    assert "greeting" in own
    assert "{{ greeting }}" in (job / "setup.yml").read_text()
