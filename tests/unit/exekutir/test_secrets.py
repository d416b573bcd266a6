"""Secrets are gathered from wherever variables are set, vaults included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exekutir import secrets
from kommandir import yamlfile


def encrypted(text: str) -> str:
    """The vault of a text, under the password of the environment."""
    command = [str(Path(sys.executable).with_name("ansible-vault")), "encrypt", "--output", "-"]
    return str(subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "vault-password"
    file.write_text("open sesame\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(file))
    return file


@pytest.mark.usefixtures("password_file")
def test_vaults_of_a_job_are_opened(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    (folder / "inventory" / "group_vars" / "all").mkdir(parents=True)
    value = encrypted("in-one-value").replace("\n", "\n  ")
    (folder / "kommandir_vars.yml").write_text(f"plain: x\nhidden: !vault |\n  {value}\n")
    whole = encrypted("anything: in-a-whole-file\nlist: [another-one]\n")
    (folder / "inventory" / "group_vars" / "all" / "vault.yml").write_text(whole)
    (folder / "inventory" / "group_vars" / "broken.yml").write_text("a: [")
    (folder / "inventory" / "group_vars" / "peons.yml").write_text("api_key: named-like-one\n")
    found = set(secrets.of_folder(folder))
    assert found == {"in-one-value", "in-a-whole-file", "another-one", "named-like-one"}


def test_a_vault_without_its_password_stays_closed(password_file: Path) -> None:
    value = encrypted("closed")
    password_file.write_text("wrong")
    assert list(secrets.of_variables({"password": yamlfile.VaultValue(value)})) == []
