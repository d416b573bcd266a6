"""Which element goes to which input or condition (manual I.5.2, I.6.6).

An element goes to one place at most. Places are served in their order, each with the nearest and then the oldest
element; where that would leave another without, it is a matching and not first come, first served.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from narval_engine.elements import Element
from narval_engine.programs import InputProgram, Pattern
from narval_engine.reach import Reach

#: A search that has tried so much gives up: the recipe's expressions leave too much open.
_MOST_TRIALS = 50_000
Assigned = dict[str, Any]
_Candidates = list[tuple[int, Element]]


class UnassignedError(Exception):
    """No assignment: ``kind`` is the type of the error element, ``name`` the input that is to blame."""

    def __init__(self, kind: str, name: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name


@dataclass(slots=True)
class Slot:
    """A place that wants an element, or with ``many`` all elements of one rank."""

    name: str
    pattern: Pattern
    many: bool = False
    required: bool = True


def slots_of(inputs: Sequence[InputProgram], foreach: int | None) -> list[Slot]:
    """The slots of a step's inputs; the one that it is repeated for takes all elements of its rank."""
    return [
        Slot(each.id, each.pattern, each.is_list or at == foreach, not each.optional) for at, each in enumerate(inputs)
    ]


def assign(slots: Sequence[Slot], reach: Reach, *, strict: bool = False) -> Assigned:
    """An element, a list (for ``many``) or ``None`` for each slot by name. Raises UnassignedError.

    ``strict`` refuses to choose between several elements of one rank.
    """
    if not any(slot.pattern.named for slot in slots):
        quick = _first_come(slots, reach, strict=strict)
        if quick is not None:
            return quick
    found = [list(_candidates(slot, reach)) for slot in slots]
    for slot, candidates in zip(slots, found, strict=True):
        if slot.required and not candidates:
            raise _missing(slot)
    nearest = [[pair for pair in candidates if pair[0] == candidates[0][0]] for candidates in found]
    wanted = [bool(candidates) for candidates in found]
    assigned = _search(slots, nearest, wanted) or _search(slots, found, [slot.required for slot in slots])
    if assigned is None:
        raise _missing(_unserved(slots, found))
    return assigned


def _missing(slot: Slot) -> UnassignedError:
    return UnassignedError("missing input", slot.name, f"no element is there for input {slot.name!r}")


def _candidates(slot: Slot, reach: Reach) -> Iterator[tuple[int, Element]]:
    for rank, area in reach.ranks(slot.pattern):
        for element in reach.found(slot.pattern, rank, area):
            yield rank, element


def _first_come(slots: Sequence[Slot], reach: Reach, *, strict: bool) -> Assigned | None:
    """Each slot served in turn; that is the best assignment if nobody goes without. ``None`` if somebody does."""
    assigned: Assigned = {}
    taken: set[int] = set()
    for slot in slots:
        pick = _nearest(slot, reach, taken, all_of_rank=slot.many or strict)
        if slot.many:
            assigned[slot.name] = pick
        elif not pick:
            assigned[slot.name] = None
        elif len(pick) > 1:
            raise UnassignedError("undecidable input", slot.name, f"{len(pick)} elements fit input {slot.name!r} alike")
        else:
            assigned[slot.name] = pick[0]
        if not pick and (slot.required or taken):
            # Alone it simply finds nothing; after others it may be that they took what it needs.
            if taken:
                return None
            raise _missing(slot)
        taken.update(map(id, pick))
    return assigned


def _nearest(slot: Slot, reach: Reach, taken: set[int], *, all_of_rank: bool) -> list[Element]:
    for rank, area in reach.ranks(slot.pattern):
        fitting = reach.found(slot.pattern, rank, area)
        if taken:
            fitting = (element for element in fitting if id(element) not in taken)
        if all_of_rank:
            whole = list(fitting)
            if whole:
                return whole
        else:
            for element in fitting:
                return [element]
    return []


def _search(slots: Sequence[Slot], found: Sequence[_Candidates], wanted: Sequence[bool]) -> Assigned | None:
    """The first assignment, in order of slots, ranks and ages, that serves every wanted slot."""
    return _Search(slots, found, wanted).run()


class _Search:
    def __init__(self, slots: Sequence[Slot], found: Sequence[_Candidates], wanted: Sequence[bool]) -> None:
        self._slots = slots
        self._found = found
        self._wanted = wanted
        self._trials = 0

    def run(self) -> Assigned | None:
        return self._from(0, {}, set())

    def _from(self, at: int, assigned: Assigned, taken: set[int]) -> Assigned | None:
        if at == len(self._slots):
            return dict(assigned)
        self._trials += 1
        slot = self._slots[at]
        if self._trials > _MOST_TRIALS:
            raise UnassignedError("undecidable input", slot.name, f"too many elements could go to input {slot.name!r}")
        if not _all_served(self._found[at:], self._wanted[at:], taken):
            return None
        choices = self._lists(at, assigned, taken) if slot.many else self._singles(at, assigned, taken)
        for value, elements in choices:
            assigned[slot.name] = value
            done = self._from(at + 1, assigned, taken | set(map(id, elements)))
            if done is not None:
                return done
        assigned.pop(slot.name, None)
        return None

    def _singles(self, at: int, assigned: Assigned, taken: set[int]) -> Iterator[tuple[Any, list[Element]]]:
        pattern = self._slots[at].pattern
        for _rank, element in self._found[at]:
            if id(element) not in taken and pattern.agrees(element, assigned):
                yield element, [element]
        if not self._wanted[at]:
            yield None, []

    def _lists(self, at: int, assigned: Assigned, taken: set[int]) -> Iterator[tuple[Any, list[Element]]]:
        pattern = self._slots[at].pattern
        fitting = [
            (rank, element)
            for rank, element in self._found[at]
            if id(element) not in taken and pattern.agrees(element, assigned)
        ]
        for rank in dict.fromkeys(rank for rank, _element in fitting):
            whole = [element for its, element in fitting if its == rank]
            kept = self._sparing(at, whole, taken)
            if kept:
                yield kept, kept
        if not self._wanted[at]:
            yield [], []

    def _sparing(self, at: int, whole: list[Element], taken: set[int]) -> list[Element]:
        """As many of these as leave enough for the slots after it."""
        rest, wanted = self._found[at + 1 :], self._wanted[at + 1 :]
        held = taken | set(map(id, whole))
        if _all_served(rest, wanted, held):
            return whole
        kept, held = [], set(taken)
        for element in whole:
            if _all_served(rest, wanted, held | {id(element)}):
                kept.append(element)
                held.add(id(element))
        return kept


def _all_served(found: Sequence[_Candidates], wanted: Sequence[bool], taken: set[int]) -> bool:
    """Whether each wanted slot can have an element of its own, whatever the elements say of each other."""
    holders: dict[int, int] = {}
    return all(_augment(at, found, taken, holders, set()) for at, needed in enumerate(wanted) if needed)


def _augment(at: int, found: Sequence[_Candidates], taken: set[int], holders: dict[int, int], seen: set[int]) -> bool:
    for _rank, element in found[at]:
        key = id(element)
        if key in taken or key in seen:
            continue
        seen.add(key)
        holder = holders.get(key)
        if holder is None or _augment(holder, found, taken, holders, seen):
            holders[key] = at
            return True
    return False


def _unserved(slots: Sequence[Slot], found: Sequence[_Candidates]) -> Slot:
    """The first slot with which the required ones cannot all be served."""
    required = [slot.required for slot in slots]
    for at in range(1, len(slots) + 1):
        if required[at - 1] and _search(slots[:at], found[:at], required[:at]) is None:
            return slots[at - 1]
    return slots[-1]
