"""The toolkit as it lies on a kommandir: installed and compiled here once, so that a slow kommandir only unpacks it."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from exekutir.toolkit.wheels import Target
from kommandir import process
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError

#: What no job runs in place: compiling it would take half of the time.
NEVER_RUN = r"/ansible_test/|/ansible/modules/|/pygments/(lexers|styles)/|/tests?/"
#: Seconds for one program.
LIMIT = 900.0
#: Of gzip: more costs a slow network less than it costs here.
_LEVEL = 5


def packed(
    wheels: Path, target: Target, place: str, tar: Path, *, deadline: Deadline, cancellation: Cancellation | None = None
) -> None:
    """Write ``tar``, in one step, compressed by gzip: what belongs into ``place``, a virtual environment of ``target``.

    ``wheels`` is a folder with wheels, pip's among them, and ``requirements.txt``. Where this Python is another version
    than the target's nothing is compiled, which the kommandir does then. Raises KommandirError with pip's own reason,
    TimeOutError, StoppedError, OSError.
    """
    with tempfile.TemporaryDirectory(prefix=".tree-", dir=tar.parent) as name:
        site = Path(name, "site")
        inside = f"lib/python{target.python}/site-packages"
        _installed(wheels, target, site, deadline, cancellation)
        commands = [_moved(script, Path(name), f"{place}/bin/python") for script in sorted(site.glob("bin/*"))]
        shutil.rmtree(site / "bin", ignore_errors=True)
        if target.python == "{}.{}".format(*sys.version_info[:2]):
            _compiled(site, f"{place}/{inside}", deadline, cancellation)
        new = Path(name, "new")
        with tarfile.open(new, "w:gz", compresslevel=_LEVEL) as archive:
            archive.add(site, arcname=inside, filter=_nobodys)
            for command in commands:
                archive.add(command, arcname=f"bin/{command.name}", filter=_nobodys)
        new.chmod(0o644)
        new.replace(tar)


def _installed(wheels: Path, target: Target, site: Path, deadline: Deadline, cancellation: Cancellation | None) -> None:
    """Have pip, which runs from its wheel, put the wheels into a folder as it would there."""
    pip = next(wheels.glob("pip-*.whl")) / "pip"
    quiet = ["--quiet", "--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"]
    these = ["--no-index", "--find-links", str(wheels), "--require-hashes", "-r", str(wheels / "requirements.txt")]
    platforms = [word for platform in target.platforms() for word in ("--platform", platform)]
    there = ["--python-version", target.python, "--implementation", "cp", *platforms, "--only-binary", ":all:"]
    words = [sys.executable, str(pip), "install", *quiet, "--no-deps", *these, *there, "--target", str(site)]
    _run(words, site.parent, deadline, cancellation)


def _compiled(site: Path, place: str, deadline: Deadline, cancellation: Cancellation | None) -> None:
    words = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-x", NEVER_RUN, "-s", ".", "-p", place, "."]
    # A file that does not compile is no program of Python's of this version, and its package knows that.
    _run(words, site, deadline, cancellation, good=(0, 1))


def _run(
    words: list[str], folder: Path, deadline: Deadline, cancellation: Cancellation | None, good: Sequence[int] = (0,)
) -> None:
    outcome = process.run(
        words,
        environment={**os.environ, "PIP_CONFIG_FILE": os.devnull},
        folder=folder,
        deadline=deadline.within(LIMIT),
        cancellation=cancellation,
        doing="putting the toolkit for the kommandir together",
    )
    if outcome.code not in good:
        raise KommandirError(
            f"the toolkit for a kommandir can't be put together: {outcome.end}",
            why=outcome.stderr or outcome.stdout,
            hint=f"by hand: {' '.join(words)}",
        )


def _moved(script: Path, folder: Path, python: str) -> Path:
    """A copy of a command in ``folder``/bin that runs the kommandir's Python where it would run ours."""
    text = script.read_bytes()
    first, _, rest = text.partition(b"\n")
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec'"):
        # How pip names a Python whose path is long or has spaces.
        text = rest.partition(b"' '''\n")[2]
    elif first.startswith(b"#!") and sys.executable.encode() in first:
        text = rest
    else:
        python = ""
    moved = folder / "bin" / script.name
    moved.parent.mkdir(exist_ok=True)
    moved.write_bytes((f"#!{python}\n".encode() if python else b"") + text)
    moved.chmod(0o755)
    return moved


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by root there, and open to all jobs, whoever packed it with whatever mask."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
