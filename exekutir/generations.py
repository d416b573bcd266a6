"""The generations of a kommandir: ``NAME-g1``, ``NAME-g2``, ..., of which one takes new jobs and the others end.

A kommandir past its age, or of which somebody wants to be rid (``stonith``), is *retired*: new jobs get a fresh
generation at once, those that are registered finish on the old one, and whoever leaves it last destroys it. All that is
known of them is one file, ``generations.json`` in the folder of NAME beside its locks. Every call is made while
``NAME.setup`` is held; each writes that file once, atomically, before the effect that it stands for, so that whoever
comes after a killed exekutir goes on from what it says.

Ages and leases are reckoned by the clocks of exekutirs alone, never by a kommandir's; those may differ by ``SKEW``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kommandir import atomic
from kommandir.errors import KommandirError

FILE_NAME = "generations.json"
FORMAT = 1
#: Seconds by which the clocks of two exekutirs may differ without a job losing its kommandir.
SKEW = 300.0
#: How many destroyed generations are remembered, for people who look what became of them.
REMEMBERED = 3
DAY = 86400.0

CREATING, READY, RETIRED, DESTROYING, DESTROYED = "creating", "ready", "retired", "destroying", "destroyed"
#: The states in which a generation takes new jobs; there is never more than one such.
_CURRENT = (CREATING, READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One host that is, or was, the kommandir."""

    number: int
    #: Its name at the provider and in its locks: ``NAME-gN``.
    name: str
    #: creating, ready, retired, destroying, destroyed
    state: str
    #: The group of its provider.
    provider: str = ""
    #: The exekutir on which it lives; empty where all of them reach it.
    maker: Mapping[str, str] = field(default_factory=dict)
    #: When it was begun, in seconds since the epoch.
    created: float
    #: What its provisioning command told last.
    host_vars: Mapping[str, Any] = field(default_factory=dict)
    #: The release of the toolkit that was set up there last; "" as long as none is.
    release: str = ""
    #: The jobs that are registered: uuid, and when the registration ends by itself in seconds since the epoch.
    jobs: Mapping[str, float] = field(default_factory=dict)
    #: Why it was retired, and when (seconds since the epoch; 0: it was not).
    why_retired: str = ""
    retired: float = 0.0

    def used_by(self, moment: float) -> tuple[str, ...]:
        """The jobs whose registration has not ended at ``moment``, by the clock of any exekutir."""
        return tuple(uuid for uuid, expires in self.jobs.items() if moment <= expires + SKEW)

    def age(self, moment: float) -> float:
        """Seconds since it was begun; never negative."""
        return max(0.0, moment - self.created)


class Generations:
    """The generations of the kommandir NAME, whose ``folder`` is called so; hold ``NAME.setup`` for every call.

    Each call raises KommandirError when the file can't be read or written.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self._clock = clock

    def all(self) -> tuple[Generation, ...]:
        """Every generation that is remembered, oldest first. The lock is not needed for only looking."""
        return self._read()[1]

    def current(self) -> Generation | None:
        """The one that takes new jobs; with the state ``creating`` somebody began it and was killed: begin it again."""
        return next((one for one in self.all() if one.state in _CURRENT), None)

    def of_job(self, uuid: str) -> Generation | None:
        """Where a job is registered, retired or not; None when it is nowhere, or its generation is being destroyed."""
        found = (one for one in self.all() if one.state in (*_CURRENT, RETIRED))
        return next((one for one in found if uuid in one.used_by(self._clock())), None)

    def retire_aged(self, days: float) -> Generation | None:
        """Retire the current one when it is older than ``days`` (0: it never is); what was retired comes back."""
        one = self.current()
        if one is None or not days or one.age(self._clock()) <= days * DAY:
            return None
        return self.retire(one, f"it is older than {days:g} days")

    def begin(self, provider: str, maker: Mapping[str, str] | None = None) -> Generation:
        """The generation to create now, on record before its provisioning command runs.

        One that is still ``creating`` at the same provider is begun again: the command discovers or finishes what is
        there. Any other current one is retired. ``maker`` is the exekutir on which it will live, if it lives on one.
        """
        one = self.current()
        if one and one.state == CREATING and one.provider == provider:
            return one
        last, known = self._read()
        known = tuple(self._retired(old, "a new one was begun") if old.state in _CURRENT else old for old in known)
        name = f"{self.folder.name}-g{last + 1}"
        moment = self._clock()
        new = Generation(
            number=last + 1, name=name, state=CREATING, provider=provider, maker=dict(maker or {}), created=moment
        )
        self._write(last + 1, (*known, new))
        return new

    def ready(self, one: Generation, host_vars: Mapping[str, Any], release: str = "") -> Generation:
        """Note that it answers and is set up; also for one that is retired, whose host variables may have changed."""
        known = self._known(one, doing="be ready")
        if known.state == DESTROYING:
            raise self._not(known, "be ready")
        state = READY if known.state in _CURRENT else known.state
        return self._changed(
            replace(known, state=state, host_vars=dict(host_vars), release=release or known.release),
        )

    def retire(self, one: Generation, why: str) -> Generation:
        """Give it no more new jobs. Nothing changes for one that is retired, or further on its way, already."""
        known = self._known(one, doing="be retired")
        if known.state not in _CURRENT:
            return known
        return self._changed(self._retired(known, why))

    def enter(self, one: Generation, uuid: str, expires: float) -> Generation:
        """Register a job until ``expires`` (seconds since the epoch), there and nowhere else.

        A retired generation takes only jobs that are registered there already; raises KommandirError for others, and
        for a generation that is not ready.
        """
        known = self._known(one, doing="take a job")
        if not (known.state == READY or (known.state == RETIRED and uuid in known.used_by(self._clock()))):
            raise self._not(known, f"take the job {uuid}")
        last, every = self._read()
        entered = replace(known, jobs={**known.jobs, uuid: expires})
        left = (_without(other, uuid) for other in every)
        self._write(last, (entered if other.number == known.number else other for other in left))
        return entered

    def leave(self, uuid: str) -> Generation | None:
        """End the registration of a job, wherever it is; the generation that is to be destroyed by whoever left comes
        back: it is retired, and this was the last job there."""
        last, every = self._read()
        there = [one for one in every if uuid in one.jobs]
        if there:
            self._write(last, (_without(one, uuid) for one in every))
        return next((one for one in self.to_destroy() if one.number in {left.number for left in there}), None)

    def to_destroy(self) -> tuple[Generation, ...]:
        """Those that are retired and have no job registered, and those whose destruction was begun and not ended.

        A job that works longer than its registration lasts still holds ``NAME-gN.use``: who destroys takes that lock
        alone, and lets the generation be when he does not get it at once.
        """
        moment = self._clock()
        return tuple(
            one for one in self.all() if one.state == DESTROYING or (one.state == RETIRED and not one.used_by(moment))
        )

    def destroying(self, one: Generation) -> Generation:
        """Note that its destruction command is about to run; it is nobody's kommandir any more.

        Raises KommandirError when it is current, or a job is registered there.
        """
        known = self._known(one, doing="be destroyed")
        if known.state in _CURRENT or (known.state == RETIRED and known.used_by(self._clock())):
            raise self._not(known, "be destroyed")
        return self._changed(replace(known, state=DESTROYING, jobs={}))

    def destroyed(self, one: Generation) -> Generation:
        """Note that it is gone."""
        known = self._known(one, doing="be gone")
        if known.state != DESTROYING:
            raise self._not(known, "be gone")
        return self._changed(replace(known, state=DESTROYED, host_vars={}))

    def _retired(self, one: Generation, why: str) -> Generation:
        return replace(one, state=RETIRED, why_retired=why, retired=self._clock())

    def _known(self, one: Generation, *, doing: str) -> Generation:
        for known in self.all():
            if known.number == one.number and known.state != DESTROYED:
                return known
        raise self._not(replace(one, state=DESTROYED), doing)

    def _not(self, one: Generation, what: str) -> KommandirError:
        return KommandirError(
            f"{one.name} can't {what}: it is {one.state}",
            why=", ".join(f"job {uuid} is registered there" for uuid in one.used_by(self._clock())) or None,
            log=self.path,
            hint="run the same command again; it takes the generation that is current then",
        )

    def _changed(self, one: Generation) -> Generation:
        last, every = self._read()
        self._write(last, (one if known.number == one.number else known for known in every))
        return one

    def _read(self) -> tuple[int, tuple[Generation, ...]]:
        """The last number that was ever given, and the generations; none where there is no file."""
        try:
            told = json.loads(self.path.read_text())
        except FileNotFoundError:
            return 0, ()
        except (OSError, ValueError) as error:
            raise self._unreadable(str(error)) from error
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise self._unreadable("it was written by another version of exekutir")
        try:
            moment = self._clock()
            # A clock that was far ahead must not make a generation live as much longer.
            return int(told["last"]), tuple(
                replace(one, created=min(one.created, moment))
                for one in (Generation(**item) for item in told["generations"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(str(error)) from error

    def _write(self, last: int, every: Iterable[Generation]) -> None:
        moment = self._clock()
        kept = [replace(one, jobs={uuid: one.jobs[uuid] for uuid in one.used_by(moment)}) for one in every]
        gone = [one for one in kept if one.state == DESTROYED][:-REMEMBERED]
        told = {"format": FORMAT, "last": last, "generations": [asdict(one) for one in kept if one not in gone]}
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self.folder.glob(f".{FILE_NAME}.*.new"):  # by an exekutir that was killed: we hold the lock
                left.unlink(missing_ok=True)
            atomic.write(self.path, json.dumps(told, indent=1, default=str) + "\n", mode=0o600)
        except OSError as error:
            raise KommandirError(
                f"the generations of {self.folder.name} can't be kept: {error.strerror}",
                log=self.path,
                hint="free some space or make that folder writable, then run the same command again",
            ) from error

    def _unreadable(self, why: str) -> KommandirError:
        return KommandirError(
            f"the generations of {self.folder.name} can't be read",
            why=why,
            log=self.path,
            hint="use the version of exekutir that the others use; or destroy the hosts of that name at their provider "
            "and remove the file",
        )


def _without(one: Generation, uuid: str) -> Generation:
    if uuid not in one.jobs:
        return one
    return replace(one, jobs={job: expires for job, expires in one.jobs.items() if job != uuid})
