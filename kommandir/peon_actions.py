"""What the action plugins of our roles do: they only pass themselves and the variables of their host to here.

An action runs on the kommandir, in a process of Ansible's own for each host, so peons are created in parallel. What
Ansible knows is templated by Ansible; everything else is decided by the modules of this package.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kommandir import destruction, host_vars, peon_files, peon_results, provisioning
from kommandir.cancellation import Cancellation
from kommandir.cloud_command import CloudCommand
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, StoppedError, UnreachableError, UsageError
from kommandir.events import EventStream, place
from kommandir.leases import provider_program
from kommandir.peon_results import Failure
from kommandir.redaction import Redactor, is_secret_name

Result = dict[str, Any]

#: Seconds that a provisioning or destruction command may take where ``cloud_timeout`` says nothing.
CLOUD_TIMEOUT = 600.0
#: Hours of a peon's lease where ``peon_preservation`` says nothing.
PRESERVATION = 24.0
#: Variables that hold those of all hosts, or what Ansible found out.
_OF_OTHERS = frozenset({"hostvars", "vars", "groups", "ansible_facts"})
#: Seconds between two attempts to reach a peon, at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: Seconds that one attempt to connect may take; mitogen starts a Python in them too.
LONGEST_ATTEMPT, LONGEST_MITOGEN = 10, 60
#: How Ansible's ssh reaches a peon whose command told nothing else: strictly, with this workspace's keys, and with one
#: connection for all tasks that ends soon after the last one.
SSH_TEMPLATES = {
    "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=30s -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
    " -o PreferredAuthentications=publickey -o StrictHostKeyChecking=yes"
    " -o 'IdentityFile=\"{{ inventory_dir | dirname | replace('%', '%%') }}/ssh/kommandir_key\"'"
    " -o 'UserKnownHostsFile=\"{{ inventory_dir | dirname | replace('%', '%%') }}/ssh/known_hosts\"'",
}

#: Besides, for hosts that know no other key: an agent with many keys would use up the attempts.
ONLY_OUR_KEY = " -o IdentitiesOnly=yes"


class PeonTask:
    """A task of Ansible for one peon: the plugin that runs, and the variables of its host."""

    def __init__(self, action: Any, variables: Mapping[str, Any]) -> None:
        self.action, self.variables = action, variables
        self.cancellation = Cancellation()
        self.peon = str(variables["inventory_hostname"])
        inventory = variables.get("inventory_dir")
        self.workspace = Path(str(self.value("workspace") or (Path(str(inventory)).parent if inventory else ".")))
        self.uuid = str(self.value("uuid") or "")
        self.context = str(self.value("adept_context") or "")
        self.job = str(self.value("job_name") or "")
        self.redactor = Redactor(_secrets(variables))
        self.results = self.workspace / peon_files.RESULTS
        self.events = EventStream(place(self.results, os.environ), self.redactor, self.context)

    def value(self, name: str, **more: Any) -> Any:
        """A variable of the host, templated with ``more`` beside it, as plain values; None where it is undefined."""
        if name not in self.variables:
            return None
        templar = self.action._templar.copy_with_new_env(available_variables={**self.variables, **more})
        return _plain(templar.template(self.variables[name]))

    def argument(self, name: str, otherwise: Any = None) -> Any:
        """An argument of the task; ``otherwise`` where it has none or an empty one."""
        value = _plain(self.action._task.args.get(name))
        return otherwise if value in (None, "") else value

    def command(self, name: str, **more: Any) -> CloudCommand | None:
        """The command in a variable; None where it is empty. Raises UsageError when it is undefined or no command."""
        if name not in self.variables:
            raise UsageError(
                f"no group of it defines {name}",
                host=self.peon,
                hint="put it in the group of a provider: `peon_groups: [namespace]`, or define the command yourself",
            )
        value = self.value(name, **more)
        return CloudCommand.parsed(value, name=name, host=self.peon) if value else None

    def environment(self, **more: Any) -> dict[str, str]:
        """``cloud_environment``; raises UsageError when it is no mapping."""
        value = self.value("cloud_environment", **more) or {}
        if not isinstance(value, Mapping):
            raise UsageError("cloud_environment must be a mapping of names to values", host=self.peon)
        return {str(name): str(text) for name, text in value.items() if text is not None}

    def demand_asserts(self) -> None:
        """Raise UsageError for the first of ``cloud_asserts`` that does not hold."""
        asserts = self.variables.get("cloud_asserts") or []
        for condition in asserts if isinstance(asserts, list) else [asserts]:
            if not self.action._templar.evaluate_conditional(condition):
                raise UsageError(
                    f"cloud_asserts: this does not hold: {condition}",
                    host=self.peon,
                    hint="mend the variables that it speaks of; its command was not started",
                )

    def provider(self) -> str:
        """The group of its provider; "" where it is in none."""
        told = self.value("peon_provider")
        groups = [str(told)] if told else [str(group) for group in self.variables.get("group_names") or ()]
        return next((group for group in groups if told or provider_program(self.workspace, group)), "")

    def deadline(self) -> Deadline:
        """When its command has to be done."""
        return Deadline.after(float(self.value("cloud_timeout") or CLOUD_TIMEOUT))


def answered(action: Any, variables: Mapping[str, Any] | None, what: Callable[[PeonTask], Result]) -> Result:
    """Run ``what`` and return the task's result; an error of ours is told and kept, a signal ends the process."""
    stopped = 0
    task = PeonTask(action, variables or {})
    try:
        peon_files.demand_name(task.peon)
        with task.cancellation.handling_signals():
            result = what(task)
    except StoppedError as error:
        stopped, result = error.signal_number, _failed(task, error)
    except UnreachableError as error:
        # Ansible takes what is both failed and unreachable for failed.
        result = {**_failed(task, error), "failed": False, "unreachable": True}
    except ExekutirError as error:
        result = _failed(task, error)
    if stopped:
        os.kill(os.getpid(), stopped)
    return result


def _failed(task: PeonTask, error: ExekutirError) -> Result:
    role = getattr(task.action._task, "_role", None)
    name = str(role.get_name()) if role else ""
    error.host = None
    message = task.redactor.text(str(error))
    try:
        path = _relative(str(task.action._task.get_path() or ""), task.workspace)
        failure = Failure(role=name, task=str(task.action._task.name), why=message, path=path)
        peon_results.failed(task.workspace, task.peon, failure, job=task.job, context=task.context)
    except ExekutirError as unwritable:
        message += f"\n{unwritable.what}"
    return {"failed": True, "msg": message, "peon": task.peon}


def provisioned(task: PeonTask) -> Result:
    """Create or discover the peon by its ``cloud_provisioning_command``."""
    task.demand_asserts()
    hours = float(task.value("peon_preservation") or PRESERVATION)
    expires = int(time.time() + hours * 3600)
    name = str(task.value("peon_name") or f"{task.peon}-{task.uuid}")
    more = {"peon_name": name, "peon_expires": expires}
    command = task.command("cloud_provisioning_command", **more)
    if command is None:
        return _adopted(task)
    _demand_uuid(task)
    destruction_command = task.command("cloud_destruction_command", **more) if _defined(task) else None
    told = provisioning.create(
        task.workspace,
        task.peon,
        command,
        task.environment(**more),
        task.deadline(),
        destruction_command,
        task.provider(),
        task.uuid,
        expires,
        peon_name=name,
        means=provisioning.Means(
            deadline=task.deadline(),
            cancellation=task.cancellation,
            events=task.events,
            redactor=task.redactor,
            templates=_templates(task, adopted=task.provider() in ("", "existing")),
        ),
    )
    return {**_created(task), "changed": True, "host_name": str(told.get("host_name") or name)}


def _defined(task: PeonTask) -> bool:
    return "cloud_destruction_command" in task.variables


def _demand_uuid(task: PeonTask) -> None:
    if not task.uuid:
        raise UsageError("the variable uuid is not set", host=task.peon, hint="it belongs into kommandir_vars.yml")


def _templates(task: PeonTask, *, adopted: bool) -> dict[str, str]:
    """Those of SSH_TEMPLATES that the inventory does not set."""
    more = "" if adopted else ONLY_OUR_KEY
    return {key: text + more for key, text in SSH_TEMPLATES.items() if key not in task.variables}


def _adopted(task: PeonTask) -> Result:
    """A host with an empty command is there already, and its variables are in the inventory."""
    told = {key: task.value(key) for key in ("ansible_host", "ansible_port", "ssh_host_key") if key in task.variables}
    provisioning.keep_told(task.workspace, task.peon, told, _templates(task, adopted=True))
    return {**_created(task), "changed": False, "msg": "it has no cloud_provisioning_command, so it is there already"}


def _created(task: PeonTask) -> Result:
    return {"host_vars_file": str(host_vars.place(task.workspace, task.peon))}


def removed(task: PeonTask) -> Result:
    """Destroy the peon by its ``cloud_destruction_command``, or by what was recorded when it was created."""
    task.demand_asserts()
    name = str(task.value("peon_name") or f"{task.peon}-{task.uuid}")
    command = task.command("cloud_destruction_command", peon_name=name) if _defined(task) else None
    _disconnect(task)
    done = destruction.destroy(
        task.workspace,
        task.peon,
        command,
        task.environment(peon_name=name),
        deadline=task.deadline(),
        cancellation=task.cancellation,
        events=task.events,
        redactor=task.redactor,
    )
    return {"changed": done["state"] == "destroyed", **done}


def _disconnect(task: PeonTask) -> None:
    """End the connection that ssh keeps open for further tasks; a host that lives on would hold it for its time."""
    from ansible.errors import AnsibleError

    connection = task.action._connection
    if getattr(connection, "transport", "") == "ssh":
        with contextlib.suppress(AnsibleError, OSError):
            connection.reset()


def reached(task: PeonTask) -> Result:
    """Wait until a command runs on the peon through Ansible's own connection; ``test_command`` and ``timeout``."""
    limit = float(task.argument("timeout", 120))
    command = str(task.argument("test_command", "sleep 0.1"))
    deadline, began, pause, attempts = Deadline.after(limit), time.monotonic(), FIRST_PAUSE, 0
    while True:
        attempts += 1
        problem = _attempt(task, command, deadline)
        if problem is None:
            break
        task.cancellation.check("waiting for a peon")
        if deadline.remaining() <= pause:
            raise UnreachableError(
                f"it did not answer within {limit:g} s ({attempts} attempts)",
                why=problem,
                hint="look at its console or its provider's log; a slow host needs a larger wait_for_timeout",
            )
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    seconds = round(time.monotonic() - began, 3)
    if task.argument("state"):
        state, provider = str(task.argument("state")), task.provider()
        provisioning.mark(task.workspace, task.peon, state, provider, task.events, seconds)
    return {"changed": False, "attempts": attempts, "seconds": seconds}


def _attempt(task: PeonTask, command: str, deadline: Deadline) -> str | None:
    """Why the peon can't be used yet, None when it can."""
    from ansible.errors import AnsibleConnectionFailure, AnsibleError

    connection = task.action._connection
    try:
        if "timeout" in connection._options:
            of_mitogen = any(kind.__module__.startswith("ansible_mitogen") for kind in type(connection).__mro__)
            longest = LONGEST_MITOGEN if of_mitogen else LONGEST_ATTEMPT
            connection.set_option("timeout", max(1, min(longest, int(deadline.remaining()))))
        result = task.action._low_level_execute_command(command, sudoable=False)
    except (AnsibleConnectionFailure, AnsibleError) as error:
        return str(error)
    if result.get("rc", 1):
        return f"`{command}` ended with exit code {result.get('rc')}: {result.get('stderr') or result.get('stdout')}"
    return None


def restarted(task: PeonTask) -> Result:
    """Have the provider reboot the peon; ``supported`` tells whether it has a provider that can."""
    done = provisioning.reboot(task.workspace, task.peon, deadline=task.deadline(), cancellation=task.cancellation)
    if done:
        task.events.emit("peon", peon=task.peon, state="rebooted", provider=task.provider(), message="", seconds=0.0)
    return {"changed": done, "supported": done}


def result_written(task: PeonTask) -> Result:
    """Write ``adept_result.txt``: good, failed (and fail again, so that it counts), or a role that began."""
    template = task.argument("template")
    failure = _failure(task)
    outcome = task.argument("outcome")
    if template:
        path = _from_template(task, str(template))
    elif outcome == "good":
        path = peon_results.succeeded(task.workspace, task.peon, job=task.job, context=task.context)
    elif failure:
        path = peon_results.failed(
            task.workspace, task.peon, failure, job=task.job, context=task.context, redactor=task.redactor
        )
    else:
        role = str(task.argument("this_role", "that comes next"))
        path = peon_results.started(task.workspace, task.peon, role, job=task.job, context=task.context)
    shown = str(path.relative_to(task.workspace))
    if failure and outcome != "good":
        where = failure.role or failure.task
        return {"failed": True, "msg": task.redactor.text(f"{where} failed: {failure.why}\nsee {shown}"), "path": shown}
    return {"changed": True, "path": shown}


def _failure(task: PeonTask) -> Failure | None:
    """The failure at hand, where this runs in a ``rescue``."""
    result, told = task.variables.get("ansible_failed_result"), task.variables.get("ansible_failed_task")
    if not _in_rescue(task.action._task) or not isinstance(result, Mapping) or not isinstance(told, Mapping):
        return None
    failed = _rescued(task.action._task, str(told.get("uuid")))
    role = failed._role.get_name() if failed is not None and failed._role else task.argument("this_role", "")
    why = peon_results.why(_plain(result))
    if result.get("censored") or told.get("no_log"):
        why = "its output is hidden (no_log)"
    path = _relative(failed.get_path(), task.workspace) if failed is not None else ""
    return Failure(role=str(role), task=str(told.get("name") or told.get("action")), why=why, path=path)


def _in_rescue(task: Any) -> bool:
    """Whether ``task`` stands in a ``rescue``; what failed earlier in the play is over elsewhere."""
    inner, around = task, getattr(task, "_parent", None)
    while around is not None:
        if any(item._uuid == inner._uuid for item in getattr(around, "rescue", ())):
            return True
        inner, around = around, getattr(around, "_parent", None)
    return False


def _rescued(task: Any, uuid: str) -> Any:
    """The task with this id in the nearest block around ``task`` that has a ``rescue``; None for one that was included
    while the play ran, whose role Ansible does not tell."""
    around = task
    while around is not None:
        found = _within(getattr(around, "block", ()), uuid)
        if found is not None:
            return found
        around = getattr(around, "_parent", None)
    return None


def _within(items: Any, uuid: str) -> Any:
    for item in items:
        found = _within(item.block, uuid) if hasattr(item, "block") else item if item._uuid == uuid else None
        if found is not None:
            return found
    return None


def _relative(path: str, folder: Path) -> str:
    return path.removeprefix(f"{folder}/")


def _from_template(task: PeonTask, template: str) -> Path:
    from ansible.template import trust_as_template

    try:
        source = Path(template).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"results_template_filepath: {template} can't be read: {error.strerror}") from error
    text = str(task.action._templar.template(trust_as_template(source)))
    file = str(task.argument("file", peon_results.RESULT))
    try:
        return peon_results.rendered(task.workspace, task.peon, text, file, task.redactor)
    except ValueError as error:
        raise UsageError(f"results_filepath: {error}") from error


def facts_gathered(task: PeonTask) -> Result:
    """Gather facts of the peon with Ansible's ``setup`` and write them to ``results/NAME/facts.json``."""
    subset = {"gather_subset": task.argument("gather_subset", ["min"])}
    result: Result = task.action._execute_module(
        module_name="ansible.legacy.setup", module_args=subset, task_vars=dict(task.variables)
    )
    if result.get("failed") or "ansible_facts" not in result:
        return result
    facts = {name.removeprefix("ansible_"): value for name, value in _plain(result["ansible_facts"]).items()}
    path = peon_results.facts(task.workspace, task.peon, facts, task.redactor)
    return {**result, "path": str(path.relative_to(task.workspace))}


def _plain(value: Any) -> Any:
    """Without the marks that Ansible puts on values, which nothing else can store."""
    return json.loads(json.dumps(value, default=str))


def _secrets(variables: Mapping[str, Any]) -> Iterator[str]:
    """The values of variables that are secrets: by their name, or because they came out of a vault."""
    from ansible.errors import AnsibleError

    for name, value in variables.items():
        if name in _OF_OTHERS:
            continue
        with contextlib.suppress(AnsibleError):  # a vault whose password nobody gave holds no secret that we could tell
            yield from _secrets_in(value, named=is_secret_name(str(name)))


def _secrets_in(value: Any, *, named: bool) -> Iterator[str]:
    from ansible.parsing.vault import EncryptedString

    if isinstance(value, EncryptedString) or (named and isinstance(value, str)):
        yield str(value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _secrets_in(item, named=named or is_secret_name(str(name)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_in(item, named=named)
