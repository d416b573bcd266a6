"""Where things lie on a kommandir that jobs share."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a kommandir below ``root``, which is another one than ``/`` in tests only."""

    root: Path = Path("/")

    @property
    def releases(self) -> Path:
        """A virtual environment a release of the toolkit."""
        return self.root / "opt/exekutir"

    @property
    def touchstones(self) -> Path:
        """A file a release that is set up."""
        return self.root / "var/lib/exekutir/touchstone"

    @property
    def accounts(self) -> Path:
        """Root's records of the users that were made for jobs."""
        return self.root / "var/lib/exekutir/accounts"

    @property
    def reserve(self) -> Path:
        """Room on the disk of the records, for when there is no other."""
        return self.root / "var/lib/exekutir/reserve"

    @property
    def purged(self) -> Path:
        """When users that nobody asks for were removed the last time because a job came: its time."""
        return self.root / "var/lib/exekutir/purged"

    @property
    def reaped(self) -> Path:
        """What was done about peons whose leases had ended, the last time."""
        return self.root / "var/lib/exekutir/reaped.json"

    @property
    def clock(self) -> Path:
        """What the clock was when it was first looked at, gone with the host's boot."""
        return self.root / "run/exekutir-clock"

    @property
    def jobs(self) -> Path:
        """A folder a job, its user's own: state and runs."""
        return self.root / "var/lib/exekutir/jobs"

    @property
    def keys(self) -> Path:
        """A file of authorized keys a user."""
        return self.root / "etc/exekutir/authorized_keys"

    @property
    def cache(self) -> Path:
        """What all jobs read and none writes."""
        return self.root / "var/cache/exekutir"

    @property
    def mirrors(self) -> Path:
        """Copies of repositories, a folder each."""
        return self.cache / "git"

    @property
    def files(self) -> Path:
        """Packages, images and the like, each named by its SHA-256."""
        return self.cache / "files"

    @property
    def homes(self) -> Path:
        """The workspaces."""
        return self.root / "home"

    @property
    def runtime(self) -> Path:
        """Folders by number of user, gone with the host's boot."""
        return self.root / "run/user"


def program() -> str:
    """The command line that calls this ``kommandir host`` again, for hints: no release is on root's path."""
    return f"{sys.prefix}/bin/kommandir host"


def own_release() -> str | None:
    """The name of the release that this process runs from; None where it is none that a kommandir was set up with."""
    prefix = Path(sys.prefix)
    return prefix.name if prefix.parent == Places().releases else None
