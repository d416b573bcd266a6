"""A container that is a kommandir, and its users, as an exekutir and their jobs use them."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.end_to_end.providers.callers import FAR, PATIENCE, Provider

#: Where the package lies inside.
PACKAGE = "/opt/exekutir-test"
_TAR = "/root/peons.tar"


@dataclass
class Kommandir:
    """A kommandir as somebody logs in to it: by default its root, with the key that it was created with."""

    provider: Provider
    name: str
    uuid: str
    told: dict[str, Any]
    user: str = "root"
    key: Path | None = None

    def ssh_words(self, *options: str) -> list[str]:
        key = str(self.key or self.provider.caller.key)
        fixed = ["-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60"]
        common = shlex.split(self.told["ansible_ssh_common_args"])
        return ["ssh", *fixed, *common, *options, f"{self.user}@{self.told['ansible_host']}"]

    def run(self, script: str, *options: str, feed: Path | None = None) -> subprocess.CompletedProcess[str]:
        caller = self.provider.caller
        with Path(feed or "/dev/null").open("rb") as given:
            return subprocess.run(
                [*self.ssh_words(*options), script],
                env=caller.environment(),
                cwd="/",
                stdin=given,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                **caller.identity(),
            )

    def said(self, script: str, *options: str, feed: Path | None = None) -> str:
        outcome = self.run(script, *options, feed=feed)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout.strip()

    def as_user(self, user: str, key: Path | None = None) -> Kommandir:
        """The same, as somebody else logs in."""
        return replace(self, user=user, key=key or self.key)

    def install(self, scratch: Path, peons: Path) -> None:
        """Copy what providers need, and the root filesystem of peons, as a tar."""
        archive = scratch / f"{self.name}.tar"
        package = str(self.provider.caller.package)
        subprocess.run(
            ["tar", "-C", package, "--exclude=__pycache__", "--exclude=_content", "-cf", archive, "kommandir"],
            check=True,
        )
        self.said(f"mkdir {PACKAGE} && tar -C {PACKAGE} --no-same-owner -xf -", feed=archive)
        self.said(f"cat >{_TAR}", feed=peons)

    def add_user(self, user: str, public_key: Path) -> Kommandir:
        """A job's user, who logs in with a key of his own; the kommandir as he sees it."""
        keys = f"/etc/exekutir/authorized_keys/{user}"
        self.said(f"useradd -m -s /bin/bash {user} && cat >{keys}", feed=public_key)
        return self.as_user(user, public_key.with_suffix(""))

    def remove_user(self, user: str) -> None:
        """Remove a user with all that is his, if he is there; the next one gets his slot."""
        home = f"rm -rf /home/{user} /etc/exekutir/authorized_keys/{user}"
        self.said(f"! id -u {user} || {{ pkill -KILL -u {user}; userdel --force {user}; }} && {home}")

    def prepare_tree(self, user: str) -> str:
        """Have root unpack the root filesystem for the user's peons; what it said while it did."""
        command = f"cd {PACKAGE} && python3 -m kommandir.rootfs build --from {_TAR} --for {user}"
        outcome = self.run(command)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stderr

    def create_peon(self, provider: str, peon: str, *more: str) -> Peon:
        """Have this user create a peon of his own with a provider that ships."""
        self.said("test -e key || ssh-keygen -q -t ed25519 -N '' -f key")
        lease = f"--uuid {self.user} --expires {FAR} --public-key key.pub {shlex.join(more)}"
        told = yaml.safe_load(self.said(self.calling(provider, f"create {peon} {lease}")))
        return Peon(self, provider, peon, told)

    def calling(self, provider: str, words: str) -> str:
        """The script that calls a provider."""
        return f"python3 -I -S {PACKAGE}/kommandir/providers/{provider}.py {words}"


@dataclass
class Peon:
    """A peon inside of a kommandir, of one of its users."""

    owner: Kommandir
    provider: str
    name: str
    told: dict[str, Any]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        where = f"{self.told['ansible_user']}@{self.told['ansible_host']}"
        common = self.told["ansible_ssh_common_args"]
        return self.owner.run(f"ssh -n -F none -i key -o BatchMode=yes {common} {where} {shlex.quote(script)}")

    def said(self, script: str) -> str:
        outcome = self.run(script)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout.strip()

    def destroy(self) -> None:
        self.owner.said(self.owner.calling(self.provider, f"destroy {self.name} --uuid {self.owner.user}"))


def created(provider: Provider, name: str, uuid: str, *more: str) -> Kommandir:
    """A kommandir of a provider's caller."""
    told = provider.create(name, uuid, "--kommandir", *more)
    return Kommandir(provider, name, uuid, told)
