"""Secrets are gathered from wherever variables are set, vaults included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exekutir import secrets
from kommandir import yamlfile


def encrypted(text: str, password_file: Path) -> str:
    command = [Path(sys.executable).with_name("ansible-vault"), "encrypt", "--vault-password-file", password_file]
    done = subprocess.run([*command, "--output", "-"], input=text, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "vault-password"
    file.write_text("open sesame\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(file))
    return file


def test_vaults_of_a_job_are_opened(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "job"
    (folder / "inventory" / "group_vars" / "all").mkdir(parents=True)
    value = encrypted("in-one-value", password_file).replace("\n", "\n  ")
    (folder / "kommandir_vars.yml").write_text(f"plain: x\nhidden: !vault |\n  {value}\n")
    whole = encrypted("anything: in-a-whole-file\nlist: [another-one]\n", password_file)
    (folder / "inventory" / "group_vars" / "all" / "vault.yml").write_text(whole)
    (folder / "inventory" / "group_vars" / "broken.yml").write_text("a: [")
    (folder / "inventory" / "group_vars" / "peons.yml").write_text("api_key: named-like-one\n")
    found = set(secrets.of_folder(folder))
    assert found == {"in-one-value", "in-a-whole-file", "another-one", "named-like-one"}


def test_a_vault_without_its_password_stays_closed(tmp_path: Path, password_file: Path) -> None:
    value = encrypted("closed", password_file)
    password_file.write_text("wrong")
    assert list(secrets.of_variables({"password": yamlfile.VaultValue(value)})) == []
