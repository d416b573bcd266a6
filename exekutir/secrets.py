"""The secrets of a job, gathered from everything that sets variables, so that they can be redacted by value.

A secret is the value of a variable whose name looks like one, and whatever was encrypted by Ansible's vault. Vaults are
opened with ``ANSIBLE_VAULT_PASSWORD_FILE`` as Ansible does; one that can't be opened can't be leaked by us either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kommandir import yamlfile
from kommandir.errors import ExekutirError
from kommandir.redaction import scalars, secret_values
from kommandir.yamlfile import VaultValue

HEADER = "$ANSIBLE_VAULT;"


def of_variables(*variables: Mapping[str, Any]) -> Iterator[str]:
    """The secrets among variables, vault values opened."""
    ciphertexts: list[str] = []
    for mapping in variables:
        yield from (value for value in secret_values(mapping) if not value.startswith(HEADER))
        ciphertexts += _vault_values(mapping)
    yield from _opened(ciphertexts)


def of_folder(folder: Path) -> Iterator[str]:
    """The secrets in the variable files of a job or workspace; what is broken there is for others to complain about."""
    inventory = folder / "inventory"
    for path in (folder / "kommandir_vars.yml", *sorted(inventory.glob("*_vars/*")), *inventory.glob("*_vars/*/*")):
        try:
            if not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
            if text.startswith(HEADER):
                yield from _of_vault_file(text, path)
            else:
                yield from of_variables(yamlfile.checked_mapping(yamlfile.parse(text, str(path))).value)
        except (ExekutirError, OSError, UnicodeDecodeError):
            continue


def _of_vault_file(text: str, path: Path) -> Iterator[str]:
    for plain in _opened([text]):
        value = yamlfile.parse(plain, str(path)).value
        if isinstance(value, Mapping):
            yield from scalars(value)


def _vault_values(value: Any) -> Iterator[str]:
    if isinstance(value, VaultValue):
        yield str(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _vault_values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _vault_values(item)


def _opened(ciphertexts: list[str]) -> Iterator[str]:
    """The plain texts; Ansible is only imported where there is a vault and a password for it."""
    password_file = os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE")
    if not ciphertexts or not password_file:
        return
    from ansible.constants import DEFAULT_VAULT_IDENTITY
    from ansible.errors import AnsibleError
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import VaultLib, get_file_vault_secret

    try:
        secret = get_file_vault_secret(filename=password_file, loader=DataLoader())
        secret.load()
    except (AnsibleError, OSError):
        return
    vault = VaultLib([(DEFAULT_VAULT_IDENTITY, secret)])
    for ciphertext in ciphertexts:
        try:
            yield vault.decrypt(ciphertext.strip().encode()).decode(errors="replace")
        except AnsibleError:
            continue
