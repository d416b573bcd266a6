"""Module `kommandir_toolkit`: a release of the toolkit is installed on a kommandir, beside others, offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: kommandir_toolkit
short_description: Installs a release of the toolkit from its wheels
description: What a killed call left is done again. What is complete is left alone, as jobs may be using it.
options:
  release: {type: str, required: true, description: Its name; it comes to /opt/exekutir/RELEASE.}
  bundle: {type: path, required: true, description: The tar of its wheels on this host; it is removed in the end.}
  python: {type: path, required: true, description: The Python that it gets.}
"""
RELEASES = "/opt/exekutir"
INCOMING = "/var/lib/exekutir/incoming"
LOG = "/var/lib/exekutir/toolkit.log"
COMPLETE = "complete.json"
#: What no job runs in place: compiling it would take half of the time.
NEVER_RUN = r"/ansible_test/|/ansible/modules/|/pygments/(lexers|styles)/|/tests?/"
#: Seconds for one program.
LIMIT = 900


class CallError(Exception):
    """A program failed; its output is in the log."""


def installed(release, bundle, python):
    """Install it, its mark last. Virtual environments name their own place, so it can't be made elsewhere and moved."""
    place = os.path.join(RELEASES, release)
    shutil.rmtree(place, ignore_errors=True)
    for left in os.listdir(INCOMING):
        if left.startswith("wheels-"):
            shutil.rmtree(os.path.join(INCOMING, left))
    wheels = tempfile.mkdtemp(prefix="wheels-", dir=INCOMING)
    try:
        with tarfile.open(bundle) as archive:
            for member in archive:
                if member.isfile():
                    member.name = os.path.basename(member.name)
                    archive.extract(member, wheels)
        built(place, wheels, python)
        with open(os.path.join(place, COMPLETE), "w", encoding="utf-8") as file:
            json.dump({"release": release, "python": python, "time": int(time.time())}, file)
            file.flush()
            os.fsync(file.fileno())
    finally:
        shutil.rmtree(wheels, ignore_errors=True)
    os.unlink(bundle)


def built(place, wheels, python):
    with open(LOG, "w", encoding="utf-8") as log:
        # Debian's Python has no ensurepip of its own; pip runs from its wheel just as well.
        called(log, [python, "-m", "venv", "--without-pip", place])
        own = os.path.join(place, "bin", "python")
        pip = next(name for name in sorted(os.listdir(wheels)) if name.startswith("pip-"))
        quiet = ["--quiet", "--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
        these = ["--no-index", "--find-links", wheels, "--require-hashes", "-r", f"{wheels}/requirements.txt"]
        called(log, [own, os.path.join(wheels, pip, "pip"), "install", *quiet, "--no-compile", *these])
        # Jobs can't write there, so what is not compiled now would be compiled by each of their processes.
        called(
            log, [own, "-m", "compileall", "-q", "-j", "0", "-x", NEVER_RUN, os.path.join(place, "lib")], good=(0, 1)
        )
        called(log, [os.path.join(place, "bin", "kommandir"), "--version"])


def called(log, command, good=(0,)):
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
    }
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/", timeout=LIMIT, check=False
    )
    if ended.returncode not in good:
        raise CallError(f"{' '.join(command[:4])} ended with {ended.returncode}")


def tail():
    with open(LOG, encoding="utf-8", errors="replace") as file:
        return "\n".join(file.read().splitlines()[-12:])


def main():
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "required": True},
            "bundle": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    release, bundle, python = (module.params[name] for name in ("release", "bundle", "python"))
    if os.path.exists(os.path.join(RELEASES, release, COMPLETE)):
        module.exit_json(changed=False)
    if module.check_mode:
        module.exit_json(changed=True)
    os.umask(0o022)
    try:
        installed(release, bundle, python)
    except (CallError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"the toolkit {release} can't be installed: {error}\n{tail()}\nall of it, there: {LOG}")
    except (OSError, tarfile.TarError, StopIteration) as error:
        module.fail_json(msg=f"the toolkit {release} can't be installed from {bundle}: {error!r}")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
