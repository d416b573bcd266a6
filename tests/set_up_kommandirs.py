"""A kommandir that jobs share, set up by the playbook as a person would by hand: root's and its users' calls there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

#: Seconds after which a call is taken for hung.
PATIENCE = 280
_FAR = 4_000_000_000
_RECAP = re.compile(r"ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)")


@dataclass
class SetUpKommandir:
    """A container with SSH, and the inventory that names it ``kommandir``."""

    folder: Path
    checkout: Path
    told: dict[str, Any]

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text()

    def ssh(self, command: str, *, user: str = "root", stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
        """Run a line of shell there; what came of it."""
        options = shlex.split(self.told["ansible_ssh_common_args"])
        words = ["ssh", "-F", "none", "-i", str(self.key), "-o", "BatchMode=yes", *options]
        done = subprocess.run(
            [*words, f"{user}@{self.told['ansible_host']}", command],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env={**os.environ, "SHELL": "/bin/sh"},
            timeout=PATIENCE,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def said(self, command: str, **more: Any) -> str:
        """The same, which must succeed; its output."""
        done = self.ssh(command, **more)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    @property
    def releases(self) -> list[str]:
        """The releases that are whole, oldest first."""
        return [Path(name).stem for name in self.said("ls -tr /var/lib/exekutir/touchstone/*.yml").split()]

    def host(self, *words: str, stdin: str = "", release: str = "") -> dict[str, Any]:
        """Call ``kommandir host`` there as root; its answer."""
        told = self.said(self.host_command(*words, release=release), stdin=stdin)
        answer = json.loads(told)
        assert isinstance(answer, dict)
        return answer

    def host_command(self, *words: str, release: str = "") -> str:
        return shlex.join([f"/opt/exekutir/{release or self.releases[-1]}/bin/kommandir", "host", *words])

    def add(self, user: str, *words: str, release: str = "") -> dict[str, Any]:
        """Make a job's user, quickly unless told otherwise: without a root filesystem for peons."""
        return self.host("add-user", user, *(words or ("--no-rootfs",)), stdin=self.public_key, release=release)

    def play_command(self, playbook: Path, *more: str) -> list[str]:
        return [sys.executable, "-m", "ansible", "playbook", "-i", str(self.folder / "inventory"), str(playbook), *more]

    def surroundings(self, checkout: Path | None = None) -> dict[str, str]:
        """The environment of a play; ``checkout`` is the exekutir that plays."""
        place = checkout or self.checkout
        known = {"ANSIBLE_CONFIG": str(place / "ansible.cfg"), "PYTHONPATH": str(place)}
        return {**os.environ, **known, "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"), "SHELL": "/bin/sh"}

    def play(self, playbook: Path, *more: str, checkout: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a playbook on it, in the checkout."""
        return subprocess.run(
            self.play_command(playbook, *more),
            env=self.surroundings(checkout),
            cwd=checkout or self.checkout,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )

    def set_up(self, *more: str, checkout: Path | None = None) -> int:
        """Set it up; how many tasks changed something."""
        place = checkout or self.checkout
        return changes(self.play(place / "playbooks/kommandir_setup.yml", *more, checkout=checkout))

    def set_up_killed(self, when: str, *, checkout: Path) -> None:
        """Begin to set it up, and kill all of that as soon as the line of shell ``when`` holds there."""
        with subprocess.Popen(
            self.play_command(checkout / "playbooks/kommandir_setup.yml"),
            env=self.surroundings(checkout),
            cwd=checkout,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ) as child:
            self.said(f"until {when}; do sleep 0.05; done")
            assert child.poll() is None
            os.killpg(child.pid, signal.SIGKILL)


def changes(done: subprocess.CompletedProcess[str]) -> int:
    """How many tasks of a play changed something; all of them must be good."""
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    [numbers] = _RECAP.findall(done.stdout)
    assert numbers[2:] == ("0", "0")
    return int(numbers[1])


def provider(checkout: Path, folder: Path, *words: str) -> str:
    """Call the provider podman with a state of its own."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(checkout / "kommandir/providers/podman.py"), *words],
        env={**os.environ, "EXEKUTIR_STATE": str(folder / "state")},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(checkout: Path, folder: Path) -> Iterator[SetUpKommandir]:
    """A container that may be a kommandir, not set up yet; it does not stay."""
    job = f"t{uuid.uuid4().hex[:10]}"
    name = f"kommandir-{job}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    lease = ["--uuid", job, "--expires", str(_FAR), "--public-key", str(folder / "key.pub")]
    try:
        told = yaml.safe_load(provider(checkout, folder, "create", name, *lease, "--kommandir"))
        variables = {**told, "ansible_ssh_private_key_file": str(folder / "key")}
        (folder / "inventory" / "host_vars").mkdir(parents=True)
        (folder / "inventory" / "hosts").write_text("kommandir\n")
        (folder / "inventory" / "host_vars" / "kommandir.yml").write_text(yaml.safe_dump(variables))
        yield SetUpKommandir(folder, checkout, told)
    finally:
        provider(checkout, folder, "destroy", name, "--uuid", job)


@pytest.fixture(scope="session")
def shared_kommandir(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUpKommandir]:
    """One that is set up; tests share it, each with users of its own."""
    for found in made(checkout, tmp_path_factory.mktemp("kommandir")):
        assert found.set_up() > 0
        yield found


@pytest.fixture
def another(checkout: Path, tmp_path: Path) -> Path:
    """Another version of exekutir: a copy of the checkout in which a word differs."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=checkout,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.partition("/")[0] not in ("tests", "docs") and (checkout / name).is_file():
            (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, tmp_path / "other" / name)
    with (tmp_path / "other/kommandir/version.py").open("a") as file:
        file.write("# another one\n")
    return tmp_path / "other"
