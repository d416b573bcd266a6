"""The exekutir's inventory: the kommandir in its groups, and what the templates of those groups make of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exekutir import kommandirs
from exekutir.job import Job
from kommandir import atomic
from kommandir.cloud_command import CloudCommand
from kommandir.errors import KommandirError, UsageError
from kommandir.yamlfile import did_you_mean

_GROUP_VARS = "group_vars"
#: Providers whose hosts have no room for other users.
PEONS_ONLY = ("namespace",)


def written(job: Job) -> Path:
    """Write the inventory below the workspace, for us and for people, and return its folder.

    The groups' variables are those that the job's own inventory has. Raises KommandirError when it can't be written.
    """
    folder = job.workspace.path / "inventory"
    groups = kommandirs.groups(job)
    lines = ["exekutir ansible_connection=local", kommandirs.NAME]
    lines += [line for group in groups for line in ("", f"[{group}]", kommandirs.NAME)]
    try:
        folder.mkdir(exist_ok=True)
        atomic.write(folder / "hosts", "\n".join(lines) + "\n", durable=False)
        source = job.workspace.kommandir / "inventory" / _GROUP_VARS
        if source.is_dir():
            shutil.copytree(source, folder / _GROUP_VARS, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise KommandirError(f"the inventory {folder} can't be written: {error}") from error
    return folder


class Templates:
    """The variables of the kommandir's host, evaluated by Ansible in this process; connects to nothing."""

    def __init__(self, job: Job, own: Mapping[str, Any]) -> None:
        """``own`` wins over everything that files say; plain values, never templates."""
        from ansible.errors import AnsibleError
        from ansible.inventory.manager import InventoryManager
        from ansible.parsing.dataloader import DataLoader
        from ansible.vars.manager import VariableManager

        self._groups, self._provider = kommandirs.groups(job), kommandirs.provider(job)
        self._loader = DataLoader()
        self._loader.set_basedir(str(job.workspace.path))
        try:
            inventory = InventoryManager(loader=self._loader, sources=[str(written(job))])
            manager = VariableManager(loader=self._loader, inventory=inventory)
            variables = manager.get_vars(host=inventory.get_host(kommandirs.NAME))
        except AnsibleError as error:
            raise UsageError("the inventory of the kommandir can't be read", why=str(error)) from error
        self._variables = {**variables, **{name: _trusted(value) for name, value in job.variables.items()}, **own}

    def demand_defined(self, name: str) -> None:
        """Raise UsageError where no group of the kommandir defines the variable ``name``."""
        if name in self._variables:
            return
        from kommandir.providers import registry

        known = [kommandirs.NOCLOUD, *(name for name in registry.names() if name not in PEONS_ONLY)]
        unknown = next((group for group in self._groups if group not in known), self._groups[0])
        raise UsageError(
            f"kommandir_groups: `{unknown}` defines no {name}{did_you_mean(unknown, known)}",
            hint=f"use one of {', '.join(known)}, or define {name} in the job's inventory/group_vars/{unknown}.yml",
        )

    def demand_address(self) -> None:
        """Raise UsageError where neither the inventory nor the job says where the host is."""
        if not self._variables.get("ansible_host"):
            raise UsageError(
                "kommandir_groups: `existing` is for a host that is there already, and nothing says which",
                hint="set kommandir_address to its name or address, and kommandir_host_key to its public host key",
            )

    def command(self, name: str) -> CloudCommand:
        """The command in the variable ``name``; raises UsageError where no group of the kommandir defines it."""
        self.demand_defined(name)
        return CloudCommand.parsed(self._value(name), name=name, host=kommandirs.NAME)

    def environment(self) -> dict[str, str]:
        """``cloud_environment``; raises UsageError when it is no mapping."""
        value = self._value("cloud_environment") or {}
        if not isinstance(value, Mapping):
            raise UsageError("cloud_environment must be a mapping of names to values", host=kommandirs.NAME)
        return {str(name): str(text) for name, text in value.items() if text is not None}

    def demand_asserts(self) -> None:
        """Raise UsageError for the first of ``cloud_asserts`` that does not hold."""
        asserts = self._variables.get("cloud_asserts") or []
        for condition in asserts if isinstance(asserts, list) else [asserts]:
            if not self._templar().evaluate_conditional(condition):
                raise UsageError(f"cloud_asserts: this does not hold: {condition}", host=kommandirs.NAME)

    def provider(self) -> str:
        """The group of its provider; "" where a command of the user's own creates it."""
        from kommandir.providers import registry

        if self._provider in PEONS_ONLY:
            raise UsageError(
                f"kommandir_groups: a host of `{self._provider}` is too small a host for a kommandir",
                hint="use podman, qemu or existing; peons of that provider may live inside of it",
            )
        return self._provider if self._provider in registry.SHIPPED else ""

    def _value(self, name: str) -> Any:
        from ansible.errors import AnsibleError

        if name not in self._variables:
            return None
        try:
            return _plain(self._templar().template(self._variables[name]))
        except AnsibleError as error:
            raise UsageError(f"{name} can't be evaluated for the kommandir", why=str(error)) from error

    def _templar(self) -> Any:
        from ansible.template import Templar

        return Templar(loader=self._loader, variables=self._variables)


def _trusted(value: Any) -> Any:
    """The same with templates in it: the user wrote it, as he wrote those in the job's inventory."""
    from ansible.template import trust_as_template

    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, Mapping):
        return {key: _trusted(item) for key, item in value.items()}
    return [_trusted(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value, default=str))
