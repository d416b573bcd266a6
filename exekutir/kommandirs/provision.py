"""The commands that create, discover and destroy a generation of a remote kommandir, run on the exekutir."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import Any

from exekutir import kommandirs
from exekutir.generations import Generation
from exekutir.job import Job
from exekutir.kommandirs.inventory import Templates
from exekutir.remote.host import RemoteHost
from kommandir import atomic, host_vars, known_hosts
from kommandir.cloud_command import Output, run_command
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError, ProvisioningError

DAY = 86400
#: Days beyond its age for which a kommandir's lease lasts: ``exekutir reap`` destroys what everybody forgot.
SPARE_DAYS = 4
#: Days after which one that never gets too old is taken for forgotten, as nobody used it for so long.
AGELESS = 365


def created(job: Job, generation: Generation, key: Path, deadline: Deadline) -> dict[str, Any]:
    """Have the generation's host created or discovered; its host variables come back and are in the workspace.

    ``key`` is the private key with which root logs in there; its public half is beside it. Raises ProvisioningError,
    TimeOutError or StoppedError as ``kommandir.provisioning.create`` does, UsageError for variables that are wrong.
    """
    from kommandir import provisioning

    _key_given(job, key)
    _others_forgotten(job, generation)
    templates = Templates(job, _own(job, generation))
    templates.demand_asserts()
    told = provisioning.create(
        job.workspace.path,
        kommandirs.NAME,
        templates.command("cloud_provisioning_command"),
        templates.environment(),
        deadline,
        templates.command("cloud_destruction_command"),
        templates.provider(),
        kommandirs.lock_name(job),
        _expires(job),
        peon_name=generation.name,
        means=provisioning.Means(
            deadline=deadline,
            cancellation=job.cancellation,
            redactor=job.events.redactor,
            folder=job.workspace.kommandir,
            hint="raise the variable kommandir_timeout",
            templates=_of_ssh(job, generation, key),
        ),
    )
    _key_trusted(job, generation, told)
    return told


def remembered(job: Job, generation: Generation, key: Path) -> dict[str, Any]:
    """What the generation's host was told to be when it was last found, put into the workspace as ``created`` does."""
    from kommandir import provisioning

    told = dict(generation.host_vars)
    _others_forgotten(job, generation)
    try:
        provisioning.keep_told(job.workspace.path, kommandirs.NAME, told, _of_ssh(job, generation, key))
    except OSError as error:
        raise _unkept("host variables", error) from error
    _key_trusted(job, generation, told)
    return told


def _key_trusted(job: Job, generation: Generation, told: dict[str, Any]) -> None:
    """Take the host key that was told, and no other, for the generation's."""
    keys = known_hosts.keys_of(told, kommandirs.NAME)
    if not keys:
        raise ProvisioningError(
            "its provisioning command printed no `ssh_host_key`, so nobody could tell it from another host",
            host=generation.name,
            hint="print the content of its /etc/ssh/ssh_host_ed25519_key.pub under that name",
        )
    try:
        known_hosts.add(job.workspace.path, [generation.name], keys)
    except OSError as error:
        raise KommandirError(
            f"{known_hosts.path(job.workspace.path)} can't be written: {error.strerror}",
            hint="free some space or make it writable, then run the same command again",
        ) from error


def _of_ssh(job: Job, generation: Generation, key: Path) -> dict[str, str]:
    """How Ansible's ssh reaches it: as ``RemoteHost`` does. Of an option that is given twice ssh takes the first."""
    settings = (
        "ControlMaster=auto",
        "ControlPersist=30s",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        f"IdentityFile={key}",
        f"UserKnownHostsFile={known_hosts.path(job.workspace.path)}",
        f"HostKeyAlias={generation.name}",
    )
    return {"ansible_ssh_args": shlex.join([word for setting in settings for word in ("-o", setting)])}


def demand_commands(job: Job) -> None:
    """Raise UsageError unless the kommandir's groups define how it is created and how it is destroyed.

    One that is there already must also have an address.
    """
    templates = Templates(job, {})
    if templates.provider() == kommandirs.EXISTING and not job.setting("kommandir_address"):
        templates.demand_address()
    for name in ("cloud_provisioning_command", "cloud_destruction_command"):
        templates.demand_defined(name)


def reached(job: Job, generation: Generation, told: dict[str, Any], key: Path) -> RemoteHost:
    """How root gets to a host with these variables."""
    return RemoteHost.from_host_vars(generation.name, told, key=key, known_hosts=known_hosts.path(job.workspace.path))


def destroyed(job: Job, generation: Generation) -> None:
    """Destroy the generation's host; what is gone is destroyed well. Raises ProvisioningError when it may be there."""
    templates = Templates(job, _own(job, generation))
    command = templates.command("cloud_destruction_command")
    output = Output()
    outcome = run_command(
        command,
        uuid=job.uuid,
        environment={"WORKSPACE": str(job.workspace.path), **templates.environment()},
        folder=job.workspace.kommandir,
        deadline=Deadline.after(float(job.setting("kommandir_timeout"))),
        cancellation=job.cancellation,
        output=output,
        doing=f"destroying the kommandir {generation.name}",
    )
    if outcome is not None and not outcome.good:
        said = job.events.redactor.text(output.stderr.text or output.stdout.text)
        raise ProvisioningError(
            f"its destruction command failed: {outcome.end}",
            host=generation.name,
            why=said,
            hint=f"run `exekutir cleanup` again; by hand: {job.events.redactor.text(command.command)}",
        )


def _key_given(job: Job, key: Path) -> None:
    """Put the public key where the commands of peons find theirs, so that the same commands make kommandirs."""
    try:
        atomic.write(job.workspace.path / "ssh" / "kommandir_key.pub", Path(f"{key}.pub").read_bytes(), durable=False)
    except OSError as error:
        raise _unkept("public key", error) from error


def _others_forgotten(job: Job, generation: Generation) -> None:
    """What another generation told, such as its port, does not hold for this one."""
    used = job.workspace.kommandirs_used
    if used and used[-1].get("kommandir") != generation.name:
        try:
            host_vars.emptied(job.workspace.path, kommandirs.NAME)
        except OSError as error:
            raise _unkept("host variables", error) from error


def _unkept(what: str, error: OSError) -> KommandirError:
    return KommandirError(
        f"the kommandir's {what} can't be kept: {error.filename}: {error.strerror}",
        hint="free some space or make the workspace writable, then run the same command again",
    )


def _expires(job: Job) -> int:
    return int(time.time() + ((float(job.setting("kommandir_max_age")) or AGELESS) + SPARE_DAYS) * DAY)


def _own(job: Job, generation: Generation) -> dict[str, Any]:
    """The variables by which the groups of peons, and any group of the user's, speak of this host."""
    known = {
        "peon_name": generation.name,
        "uuid": kommandirs.lock_name(job),
        "peon_expires": _expires(job),
        "provider_role": "kommandir",
        "existing_shared": True,
        "workspace": str(job.workspace.path),
        "peon_memory": job.setting("kommandir_memory"),
        "peon_processes": job.setting("kommandir_processes"),
        "peon_cpus": job.setting("kommandir_cpus"),
        "peon_disk": job.setting("kommandir_disk"),
        "peon_uplink": job.setting("kommandir_uplink"),
        "peon_image": job.setting("kommandir_image"),
        "ansible_host": job.setting("kommandir_address"),
        "ansible_port": job.setting("kommandir_port"),
        "ansible_user": job.setting("kommandir_user"),
        "ssh_host_key": job.setting("kommandir_host_key"),
    }
    return {name: value for name, value in known.items() if value is not None}


def key_made(folder: Path) -> Path:
    """The key with which root logs in on every generation of a kommandir, made once in its folder of the locks."""
    from exekutir import workspace

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        workspace.keyed(folder / "key", "root on kommandirs", given=os.environ.get("ANSIBLE_PRIVATE_KEY_FILE"))
    except OSError as error:
        raise KommandirError(
            f"the folder {folder} can't be used: {error.strerror or error}",
            hint="make it writable, or name another one with the variable `lock_dir`",
        ) from error
    return folder / "key"
