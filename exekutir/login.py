"""A shell on a peon: OpenSSH with exactly the connection that Ansible uses."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exekutir import workspace
from exekutir.options import Options
from kommandir import known_hosts, yamlfile
from kommandir.errors import KommandirError, UsageError
from kommandir.yamlfile import did_you_mean

if TYPE_CHECKING:
    from exekutir.remote.host import RemoteHost


def opened(options: Options, peon: str, command: Sequence[str]) -> int:
    """Replace this process by an SSH session on ``peon``, whose exit code is that of the command there.

    One word of ``command`` is a line for the shell there, several are a program and its arguments. Raises UsageError
    when there is no such peon alive.
    """
    if command[:1] == ("--",):
        command = command[1:]
    opened_workspace = workspace.opened(workspace.asked(options.workspace), create=False)
    peons = opened_workspace.peon_journal.peons()
    alive = [name for name, record in peons.items() if record.may_exist]
    if peon not in alive:
        there = f"alive are: {', '.join(alive)}" if alive else "no peon of this job is alive"
        raise UsageError(
            f"no peon `{peon}` is alive{did_you_mean(peon, alive)}", hint=f"{there}; see `exekutir status`"
        )
    ssh = shutil.which("ssh")
    if not ssh:
        raise KommandirError("ssh is missing", hint="install the package openssh-client")
    host_vars = yamlfile.mapping(opened_workspace.kommandir / "inventory" / "host_vars" / f"{peon}.yml").value
    line = [command[0] if len(command) == 1 else shlex.join(command)] if command else []
    kommandir = kommandir_of(opened_workspace)
    if kommandir is None:
        words = ["ssh", *ssh_arguments(opened_workspace.kommandir, peon, host_vars), *line]
    else:
        home = Path(f"/home/{kommandir.user}")
        terminal = [] if line else ["-t"]
        inner = shlex.join(["ssh", *terminal, *ssh_arguments(home, peon, host_vars), *line])
        words = [*kommandir.ssh(), *terminal, f"SHELL=/bin/sh {inner}"]
    # ssh starts its ProxyCommand by $SHELL, and bash would read ~/.bashrc each time.
    os.execve(ssh, words, {**os.environ, "SHELL": "/bin/sh"})  # noqa: S606  no shell is wanted here


def kommandir_of(place: workspace.Workspace) -> RemoteHost | None:
    """How the job's user gets to the remote kommandir that the job used last; None where it is this host."""
    used = place.kommandirs_used
    if not used:
        return None
    from exekutir.remote.host import RemoteHost

    told = yamlfile.mapping(workspace.kommandir_host_vars(place)).value
    key = place.path / "ssh" / "exekutir_key"
    name, uuid = str(used[-1]["kommandir"]), str(used[-1]["uuid"])
    host = RemoteHost.from_host_vars(name, told, key=key, known_hosts=known_hosts.path(place.path))
    return host.as_user(uuid, key)


def ssh_arguments(kommandir: Path, peon: str, host_vars: dict[str, Any]) -> list[str]:
    """The arguments of ``ssh`` that lead from the kommandir to a peon with these host variables, strict host keys.

    ``kommandir`` is its workspace, as it sees it.
    """
    ssh = kommandir / "ssh"
    arguments = [
        "-i",
        str(host_vars.get("ansible_ssh_private_key_file") or ssh / "kommandir_key"),
        *("-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"),
        *("-o", f"UserKnownHostsFile={ssh / 'known_hosts'}"),
        *shlex.split(str(host_vars.get("ansible_ssh_common_args") or "")),
    ]
    if host_vars.get("ansible_port"):
        arguments += ["-p", str(host_vars["ansible_port"])]
    user = host_vars.get("ansible_user")
    address = str(host_vars.get("ansible_host") or peon)
    return [*arguments, f"{user}@{address}" if user else address]
