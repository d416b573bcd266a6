"""Module `kommandir_prepared`: the folders, the SSH server and the users' numbers of a kommandir that jobs share."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: kommandir_prepared
short_description: Prepares a host to be the kommandir of many jobs
description: Makes folders and settings, and tells which toolkit fits the host. Changes nothing that is as it must be.
options:
  release: {type: str, required: true, description: The release of the toolkit that is about to be installed.}
  python: {type: path, default: "", description: The Python of the kommandir; the newest that is there where empty.}
  free_mib: {type: int, default: 1024, description: MiB that must be free where folders are made.}
"""
#: Folder, mode; parents first.
FOLDERS = (
    ("/opt/exekutir", 0o755),
    ("/var/lib/exekutir", 0o755),
    ("/var/lib/exekutir/touchstone", 0o755),
    ("/var/lib/exekutir/accounts", 0o700),
    ("/var/lib/exekutir/incoming", 0o700),
    ("/var/lib/exekutir/jobs", 0o755),
    ("/var/cache/exekutir", 0o755),
    ("/var/cache/exekutir/git", 0o755),
    ("/etc/exekutir", 0o755),
    ("/etc/exekutir/authorized_keys", 0o755),
)
HOMES = "/home"
KEYS = "/etc/exekutir/authorized_keys/%u"
DROP_IN = "/etc/ssh/sshd_config.d/exekutir.conf"
SSHD = "/usr/sbin/sshd"
PID_FILES = ("/run/sshd.pid", "/var/run/sshd.pid")
PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")


class Preparation:
    """What is done, and what of it was needed."""

    def __init__(self, module):
        self.module = module
        self.done = []

    def changed(self, what):
        """Note a change; whether to make it."""
        self.done.append(what)
        return not self.module.check_mode

    def fail(self, text):
        self.module.fail_json(msg=text, done=self.done)


def folders(work):
    for path, mode in FOLDERS:
        folder(work, path, mode)


def folder(work, path, mode):
    known = os.stat(path) if os.path.isdir(path) else None
    if known and known.st_mode & 0o7777 == mode and known.st_uid == 0:
        return
    if work.changed(path):
        os.makedirs(path, exist_ok=True)
        os.chown(path, 0, 0)
        os.chmod(path, mode)


def space(work, wanted):
    """The free MiB; fails where they are fewer than `wanted`."""
    free = {}
    for path in ("/opt/exekutir", "/var/lib/exekutir", HOMES):
        place = path if os.path.isdir(path) else "/"
        free[path] = shutil.disk_usage(place).free >> 20
        if free[path] < wanted:
            work.fail(
                f"only {free[path]} MiB are free at {path} of {platform.node()}, and {wanted} are wanted: make room "
                "there (apt-get clean; `/opt/exekutir/RELEASE/bin/kommandir host purge --older-than 0`, where one is "
                "installed), or want less (kommandir_setup_free_mib)"
            )
    return free


def number_files(work):
    """The files from which jobs get the numbers of their peons; useradd passes over a file that is not there."""
    for path in ("/etc/subuid", "/etc/subgid"):
        if not os.path.exists(path) and work.changed(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def ssh_server(work):
    """Our settings, where an SSH server is a service of this host; checked before they count."""
    pid = server()
    if pid is None:
        return
    paths = effective("authorizedkeysfile") or [".ssh/authorized_keys"]
    wanted = settings([path for path in paths if path not in (KEYS, "none")])
    if read(DROP_IN) == wanted and KEYS in paths:
        return
    if not work.changed(DROP_IN):
        return
    before = read(DROP_IN)
    os.makedirs(os.path.dirname(DROP_IN), exist_ok=True)
    write(DROP_IN, wanted)
    why = refusal()
    if why:
        if before is None:
            os.unlink(DROP_IN)
        else:
            write(DROP_IN, before)
        work.fail(f"the SSH server keeps its settings, as it would not take ours ({DROP_IN}): {why}")
    os.kill(pid, signal.SIGHUP)


def settings(paths):
    lines = [
        "# Written by exekutir: the keys of jobs' users, and room for many jobs at once.",
        f"AuthorizedKeysFile {' '.join([*paths, KEYS])}",
        "MaxSessions 100",
        "MaxStartups 100:30:300",
        "ClientAliveInterval 15",
        "ClientAliveCountMax 8",
    ]
    return "\n".join(lines) + "\n"


def server():
    """The process of this host's SSH server, None where there is none of its own."""
    for path in PID_FILES:
        text = (read(path) or "").strip()
        if text.isdigit() and os.path.exists(SSHD) and "sshd" in (read(f"/proc/{text}/comm") or ""):
            return int(text)
    return None


def effective(name):
    """The words of a setting as the server would take it now."""
    told = subprocess.run([SSHD, "-T"], capture_output=True, text=True, check=False).stdout
    lines = (line.split() for line in told.splitlines())
    return [word for key, *words in filter(None, lines) if key == name for word in words]


def refusal():
    """Why the server would not take its settings with ours, or why ours would not hold; None when all is well."""
    tested = subprocess.run([SSHD, "-t"], capture_output=True, text=True, check=False)
    if tested.returncode:
        return tested.stderr.strip()
    if KEYS not in effective("authorizedkeysfile"):
        return "another file sets AuthorizedKeysFile first, or sshd_config has no line Include for that folder"
    return None


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def write(path, text):
    new = f"{path}.new~"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(new, path)


def python(work, given):
    """Path, version and C library of the Python that the toolkit gets."""
    script = "import json,platform,sys;print(json.dumps([sys.version_info[:2],platform.libc_ver()]))"
    seen = []
    for name in [given] if given else PYTHONS:
        path = shutil.which(name)
        if not path:
            continue
        told = subprocess.run([path, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
        if told.returncode:
            continue
        version, (library, release) = json.loads(told.stdout)
        seen.append(f"{path} {version[0]}.{version[1]}")
        if version >= [3, 11]:
            libc = f"{library}-{release}" if library == "glibc" else "musl-1.2"
            return {"path": path, "version": "{}.{}".format(*version), "libc": libc}
    work.fail(
        f"{platform.node()} has no Python from 3.11 on (there is: {', '.join(seen) or given or 'none'}): install one "
        "and name it by kommandir_setup_python"
    )
    return None


def main():
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "required": True},
            "python": {"type": "path", "default": ""},
            "free_mib": {"type": "int", "default": 1024},
        },
        supports_check_mode=True,
    )
    if os.geteuid():
        module.fail_json(msg="only root can set a kommandir up: log in as root, or let Ansible become root")
    work = Preparation(module)
    free = space(work, module.params["free_mib"])
    found = python(work, module.params["python"])
    folders(work)
    number_files(work)
    ssh_server(work)
    complete = os.path.exists(f"/opt/exekutir/{module.params['release']}/complete.json")
    module.exit_json(
        changed=bool(work.done),
        done=work.done,
        python=found,
        machine=platform.machine(),
        free_mib=free,
        toolkit_needed=not complete,
    )


if __name__ == "__main__":
    main()
