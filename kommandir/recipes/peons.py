"""What the actions ``peon.*`` do with peons."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kommandir import destruction, leases, peon_files, process, yamlfile
from kommandir.errors import ProvisioningError, UsageError
from kommandir.journal import FILE_NAME as JOURNAL
from kommandir.journal import Journal
from kommandir.playbook import strategy
from kommandir.provisioning_result import announce
from kommandir.recipes.item import StepItem
from kommandir.recipes.surroundings import StepSurroundings
from kommandir.xn import playbook
from kommandir.xn.command import run_command
from kommandir.xn.playbook import run_playbook
from kommandir.xn.request import GOOD, StepResult
from kommandir.xn.schema import PLAYBOOK
from narval_engine import Element

HOSTS = "peons:!nocloud"
INVENTORY = "inventory"
CREATION = "peon_creation.yml"
PATHS = "/var/log"
HOURS = "24"
_PROGRAM = Path(__file__).with_name("inventory.py")
_PLAYBOOKS = Path(__file__).with_name("playbooks")

#: For playbooks that do a task or two on one peon: mitogen's start there costs more than it saves.
_PLAIN = {strategy.VARIABLE: "never"}

#: Runs an operation for one peon, or for none.
Action = Callable[[StepItem, StepSurroundings], StepResult]


def listed(item: StepItem, surroundings: StepSurroundings) -> list[Element]:
    """An element ``peon`` of each peon of the inventory, in its order.

    Raises UsageError where the inventory can't be read.
    """
    source = surroundings.file(_with(item, inventory=INVENTORY), "inventory")
    pattern = surroundings.text(_with(item, hosts=HOSTS), "hosts")
    request = surroundings.request
    ended = process.run(
        [sys.executable, "-P", str(_PROGRAM), str(pattern), request.limit or "", str(source)],
        environment=playbook.environment_of(_playbook(item, CREATION), surroundings),
        folder=surroundings.workspace,
        deadline=request.deadline,
        cancellation=request.cancellation,
        doing="Ansible reading the inventory",
    )
    if not ended.good:
        why = surroundings.redactor.text(ended.stderr)
        raise UsageError(f"{item.place}: the inventory {source} can't be read", why=why, hint="mend it")
    return [_peon(told, surroundings) for told in json.loads(ended.stdout)]


def _peon(told: dict[str, Any], surroundings: StepSurroundings) -> Element:
    program = leases.provider_program
    groups = [str(group) for group in told["groups"]]
    provider = next((group for group in groups if program(surroundings.workspace, group)), "")
    return Element("peon", name=str(told["name"]), groups=groups, provider=provider)


def _with(item: StepItem, **defaults: str) -> StepItem:
    """The item, with keys that it does not have."""
    return replace(item, keys={**defaults, **item.keys})


def _playbook(item: StepItem, filepath: str, **defaults: str) -> StepItem:
    """The item as one of a playbook."""
    keys = {name: text for name, text in item.keys.items() if name in PLAYBOOK.keys}
    return replace(item, kind=PLAYBOOK, keys={"filepath": filepath, "inventory": INVENTORY, **defaults, **keys})


def create(item: StepItem, surroundings: StepSurroundings) -> StepResult:
    """Run the playbook that creates peons, for this one."""
    surroundings.defaults = _PLAIN
    return run_playbook(_playbook(item, CREATION), surroundings)


def up(item: StepItem, surroundings: StepSurroundings) -> StepResult:
    """Wait until the peon answers."""
    surroundings.defaults = _PLAIN
    return run_playbook(_playbook(item, str(_PLAYBOOKS / "peon_up.yml")), surroundings)


def play(item: StepItem, surroundings: StepSurroundings) -> StepResult:
    """Run a playbook of the job for this peon."""
    return run_playbook(_playbook(item, item.keys["filepath"]), surroundings)


def logs(item: StepItem, surroundings: StepSurroundings) -> StepResult:
    """Fetch logs of the peon among its results."""
    paths = surroundings.text(_with(item, paths=PATHS), "paths") or PATHS
    collecting = _playbook(item, str(_PLAYBOOKS / "peon_logs.yml"))
    variables = (*surroundings.request.optional, "--extra-vars", json.dumps({"peon_logs_paths": paths}))
    surroundings.request = replace(surroundings.request, optional=variables)
    surroundings.defaults = _PLAIN
    return run_playbook(collecting, surroundings)


def keep(item: StepItem, surroundings: StepSurroundings) -> StepResult:
    """Renew the lease of the peon."""
    text = surroundings.text(_with(item, hours=HOURS), "hours") or HOURS
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < 1e6:
        raise UsageError(f"{item.place}: `hours` is {text}", hint="a number of hours, 0 or more")
    leases.keep(surroundings.workspace, item.peon, int(time.time() + hours * 3600))
    record = peon_files.record_of(surroundings.workspace, item.peon)
    provider = record.provider if record else ""
    announce(surroundings.request.events, item.peon, "kept", provider, f"for {hours:g} hours")
    return GOOD


def destroy(item: StepItem, surroundings: StepSurroundings) -> StepResult:
    """Destroy the peon by what was recorded before it was created, unless peons are kept.

    Raises ProvisioningError where it may still be there.
    """
    request = surroundings.request
    if _kept(surroundings):
        return GOOD
    done = destruction.destroy(
        surroundings.workspace,
        item.peon,
        deadline=request.deadline,
        cancellation=request.cancellation,
        events=request.events,
        redactor=surroundings.redactor,
    )
    known = Journal(surroundings.workspace / JOURNAL).peons().get(item.peon)
    if done["state"] == "absent" and known is not None and known.may_exist:
        raise ProvisioningError("it could not be destroyed", host=item.peon, hint="run `exekutir cleanup`")
    return GOOD


def _kept(surroundings: StepSurroundings) -> bool:
    """Whether the variable ``cleanup`` says that peons are kept; the command line wins."""
    for path in (surroundings.request.extra_vars, surroundings.workspace / "kommandir_vars.yml"):
        if path is not None and path.is_file():
            told = yamlfile.mapping(path).value.get("cleanup")
            if told is not None:
                return str(told).lower() in ("false", "no", "0", "off")
    return False


ACTIONS: dict[str, Action] = {
    "peon.create": create,
    "peon.up": up,
    "peon.playbook": play,
    "peon.command": run_command,
    "peon.logs": logs,
    "peon.keep": keep,
    "peon.destroy": destroy,
}
