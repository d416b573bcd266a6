"""The user numbers of a kommandir's jobs: one a job for itself, and a slot of many for its peons."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

#: Numbers that a whole peon has.
WHOLE = 65536
#: The least that one can live with; the last one is then its user `nobody`.
LEAST = 4096
#: The most slots.
MOST = 64
#: Where slots begin on a host that has all numbers: above what useradd gives, below those of root's own peons.
BASE = 0x50000000
#: Users of jobs get these, in turn, so that what a job left somewhere does not belong to the next one.
USERS = range(10000, 12200)
_ALL = 4294967295


@dataclass(frozen=True, slots=True)
class Slot:
    """Numbers for the peons of one job at a time; what was prepared for them serves the next job too."""

    number: int
    first: int
    count: int

    @property
    def last(self) -> int:
        """The last of its numbers."""
        return self.first + self.count - 1

    def overlaps(self, first: int, count: int) -> bool:
        """Whether a range has any of them."""
        return self.first < first + count and first <= self.last


@dataclass(frozen=True, slots=True)
class Layout:
    """All slots of a kommandir."""

    first: int
    size: int
    slots: int
    #: What it has less than a whole host, for people; None for nothing.
    reduced: str | None

    def slot(self, number: int) -> Slot:
        """One of them."""
        return Slot(number, self.first + number * self.size, self.size)


def layout(numbers: int) -> Layout:
    """The slots of a host that has so many numbers, from 0 on; a container has few.

    Whole ones where there are enough numbers for one besides the host's own, else twelve small ones, else none.
    """
    if numbers >= _ALL:
        return Layout(BASE, WHOLE, MOST, None)
    whole = min(MOST, numbers // WHOLE - 1)
    if whole >= 1:
        told = None if whole == MOST else f"this host has {numbers} user numbers: {whole} jobs have peons at a time"
        return Layout(WHOLE, WHOLE, whole, told)
    if numbers >= WHOLE:
        told = f"this host has {numbers} user numbers: the peons of a job have {LEAST}"
        return Layout(3 * LEAST, LEAST, 12, told)
    return Layout(0, 0, 0, f"this host has {numbers} user numbers: no user of it can have peons")


def of_this_host(proc: Path = Path("/proc/self")) -> Layout:
    """The slots of this host, by the numbers that it has itself."""
    return layout(min(_available(proc / "uid_map"), _available(proc / "gid_map")))


def _available(file: Path) -> int:
    """How many numbers there are from 0 on without a gap."""
    known = 0
    for first, _, count in sorted(tuple(map(int, line.split())) for line in file.read_text().splitlines()):
        if first > known:
            break
        known = max(known, first + count)
    return known


def free_slot(layout: Layout, used: Collection[int], others: Iterable[tuple[int, int]]) -> Slot | None:
    """The first slot that no job has and that overlaps no range (first, count) of somebody else; None for none."""
    ranges = list(others)
    for number in range(layout.slots):
        slot = layout.slot(number)
        if number not in used and not any(slot.overlaps(*taken) for taken in ranges):
            return slot
    return None


def free_user(last: int | None, taken: Collection[int]) -> int | None:
    """The number after the last one that was given, in turn, that nobody has; None when all are taken."""
    start = USERS.index(last) + 1 if last is not None and last in USERS else 0
    turn = [*USERS[start:], *USERS[:start]]
    return next((number for number in turn if number not in taken), None)
