"""What root knows of the users that were made for jobs: a file each, written before what it tells is done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kommandir import atomic
from kommandir.errors import KommandirError
from kommandir.hosting import disk
from kommandir.hosting.numbers import Slot

MAKING, READY, REMOVING = "making", "ready", "removing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One user."""

    user: str
    uid: int
    #: None where this host has no slot for it: then it can have no peons here.
    slot: Slot | None
    #: making, ready or removing.
    state: str
    #: Seconds since the epoch: made, asked for last.
    made: float
    touched: float
    #: The releases of the toolkit that the job has used.
    releases: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[range]:
        """Its own number, and those of its peons."""
        own = [range(self.uid, self.uid + 1)]
        return [*own, range(self.slot.first, self.slot.last + 1)] if self.slot else own

    def changed(self, **values: object) -> Record:
        """The same with other values."""
        return replace(self, **values)  # type: ignore[arg-type]  # the names are those of fields


class Records:
    """All of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, user: str) -> Record | None:
        """The record of a user, or None. Raises KommandirError when it can't be understood."""
        path = self._path(user)
        try:
            told = json.loads(path.read_text())
            slot = told.pop("slot")
            return Record(**{**told, "slot": Slot(**slot) if slot else None, "releases": tuple(told["releases"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise KommandirError(
                f"the record {path} of a job's user is broken: {error}",
                hint=f"look at it; remove it and, if it is there, the user {user} (userdel)",
            ) from error

    def knows(self, user: str) -> bool:
        """Whether there is a record of a user, were it a broken one."""
        return self._path(user).exists()

    def write(self, record: Record) -> None:
        """Keep a record; it is on the disk when this returns. Raises OSError, which names its file."""
        path = self._path(record.user)
        with disk.writing(path):
            atomic.write(path, json.dumps(asdict(record)), mode=0o600)

    def discard(self, user: str) -> None:
        """Forget a user."""
        self._path(user).unlink(missing_ok=True)

    def sweep(self, user: str) -> None:
        """Remove what a call for this user left that was killed while it wrote; none may be under way."""
        atomic.sweep(self._path(user))

    def all(self) -> list[Record]:
        """All records, by name."""
        found = (self.read(path.stem) for path in sorted(self.folder.glob("*.json")))
        return [record for record in found if record]

    def sweep_last(self) -> None:
        """The same for the number that was given last."""
        atomic.sweep(self.folder / "last")

    @property
    def last_number(self) -> int | None:
        """The number that was given to a user last."""
        try:
            return int((self.folder / "last").read_text())
        except (FileNotFoundError, ValueError):
            return None

    @last_number.setter
    def last_number(self, number: int) -> None:
        path = self.folder / "last"
        with disk.writing(path):
            atomic.write(path, f"{number}\n", mode=0o600)

    def _path(self, user: str) -> Path:
        return self.folder / f"{user}.json"
