"""Module `kommandir_toolkit`: a release of the toolkit is installed on a kommandir, beside others, offline."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: kommandir_toolkit
short_description: Installs a release of the toolkit
description: What a killed call left is done again. What is complete is left alone, as jobs may be using it.
options:
  release: {type: str, required: true, description: Its name; it comes to /opt/exekutir/RELEASE.}
  bundle: {type: path, required: true, description: A tar of what belongs there; it is removed in the end.}
  python: {type: path, required: true, description: The Python that it gets.}
"""
RELEASES = "/opt/exekutir"
INCOMING = "/var/lib/exekutir/incoming"
LOCK = "/var/lib/exekutir/toolkit.lock"
LOG = "/var/lib/exekutir/toolkit.log"
COMPLETE = "complete.json"
#: What no job runs in place: compiling it would take half of the time.
NEVER_RUN = r"/ansible_test/|/ansible/modules/|/pygments/(lexers|styles)/|/tests?/"
#: Seconds for one program.
LIMIT = 900
#: Seconds after which nobody comes back for what he sent.
ABANDONED = 7200


class CallError(Exception):
    """A program failed; its output is in the log."""


def complete(release):
    """Whether all of it is there."""
    return os.path.exists(os.path.join(RELEASES, release, COMPLETE))


def installed_alone(release, bundle, python):
    """Install it unless somebody else just did: this module goes on here when the exekutir that called it is killed."""
    with open(LOCK, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = not complete(release)
        if done:
            installed(release, bundle, python)
        os.unlink(bundle)
        sweep()
    return done


def sweep():
    """Remove what killed set-ups left; what is young may be on its way."""
    for name in os.listdir(INCOMING):
        path = os.path.join(INCOMING, name)
        if os.lstat(path).st_mtime < time.time() - ABANDONED and not os.path.isdir(path):
            os.unlink(path)


def installed(release, bundle, python):
    """Install it, its mark last. Virtual environments name their own place, so it can't be made elsewhere and moved."""
    place = os.path.join(RELEASES, release)
    shutil.rmtree(place, ignore_errors=True)
    built(place, bundle, python)
    with open(os.path.join(place, COMPLETE), "w", encoding="utf-8") as file:
        json.dump({"release": release, "python": python, "time": int(time.time())}, file)
        file.flush()
        os.fsync(file.fileno())


def built(place, bundle, python):
    with open(LOG, "w", encoding="utf-8") as log:
        # Debian's Python has no ensurepip of its own, and what pip would do was done on the exekutir.
        called(log, [python, "-m", "venv", "--without-pip", place])
        # The program: where all code is translated, Python's own module takes three times as long.
        called(log, ["tar", "-x", "-z", "--no-same-owner", "-f", bundle, "-C", place])
        if not glob.glob(os.path.join(place, "lib", "python3*", "site-packages", "kommandir", "__pycache__")):
            # An exekutir with another Python could not. Jobs can't write there, so each of their processes would.
            own, lib = os.path.join(place, "bin", "python"), os.path.join(place, "lib")
            called(log, [own, "-m", "compileall", "-q", "-j", "0", "-x", NEVER_RUN, lib], good=(0, 1))
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
    if module.check_mode:
        module.exit_json(changed=not complete(release))
    os.umask(0o022)
    try:
        changed = installed_alone(release, bundle, python)
    except (CallError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"the toolkit {release} can't be installed: {error}\n{tail()}\nall of it, there: {LOG}")
    except OSError as error:
        module.fail_json(msg=f"the toolkit {release} can't be installed from {bundle}: {error!r}")
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
