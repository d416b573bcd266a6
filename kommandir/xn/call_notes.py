"""What is known of the calls of steps, noted before and after each: so a killed run knows how far it had come."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kommandir import strays
from kommandir.errors import ExitCode
from kommandir.events import EventStream
from kommandir.failure import Failure
from kommandir.xn.reading import Item
from kommandir.xn.request import StepResult
from kommandir.xn.schema import again_by_default
from kommandir.xn.surroundings import LOGS
from narval_engine import Element, Plan, running
from narval_engine.journal import JournalLostError, SqliteJournal

#: The step of a plan and the elements that it was called with: what stays the same when a call is made again.
Key = tuple[int, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A call that has begun."""

    #: As events name it: no two calls of a run have one name, but for one that is made again.
    name: str
    #: The same without the number that keeps it apart.
    base: str
    key: Key
    attempt: int
    #: By it all of its processes are found.
    mark: str
    #: Whether it may be made again where it was under way when it was killed.
    again: bool
    kind: str
    title: str
    place: str
    peon: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A call that has ended."""

    begun: Begun
    #: How many had ended before it.
    order: int
    result: StepResult
    #: What the event of its end says.
    told: dict[str, Any]


class CallNotes:
    """The calls of one run, from whatever thread; kept in ``journal``, where there is one."""

    def __init__(self, journal: SqliteJournal | None = None) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._last: dict[Key, Begun] = {}
        self._ends = 0
        self.begun: dict[str, Begun] = {}
        self.ended: dict[str, Ended] = {}
        #: Notes of other things, by their kind.
        self.others: dict[str, list[dict[str, Any]]] = {}

    def begin(self, begun: Begun) -> None:
        """A call is about to begin. Raises JournalLostError: then it must not."""
        if self._journal is not None:
            self._journal.note({"begun": dataclasses.asdict(begun)})
        with self._lock:
            self._begun(begun)

    def end(self, begun: Begun, result: StepResult, told: Mapping[str, Any]) -> Ended:
        """It has ended."""
        with self._lock:
            ended = self._ended(begun, result, dict(told))
        if self._journal is not None:
            record = {"name": begun.name, "result": packed(result), "told": ended.told}
            with contextlib.suppress(JournalLostError):  # the engine is about to find the same, and ends the run
                self._journal.note({"ended": record})
        return ended

    def note(self, kind: str, **data: Any) -> None:
        """Keep something else that has to be known again. Raises JournalLostError."""
        if self._journal is not None:
            self._journal.note({"other": kind, **data})

    def read(self) -> None:
        """Take what the journal of a killed run has."""
        for note in self._journal.notes() if self._journal is not None else ():
            if "begun" in note:
                plan, step, inputs = note["begun"].pop("key")
                self._begun(Begun(**note["begun"], key=(plan, step, tuple(inputs))))
            elif "ended" in note:
                record = note["ended"]
                self._ended(self.begun[record["name"]], unpacked(record["result"]), record["told"])
            else:
                self.others.setdefault(note.pop("other"), []).append(note)

    def _ended(self, begun: Begun, result: StepResult, told: dict[str, Any]) -> Ended:
        ended = Ended(begun=begun, order=self._ends, result=result, told=told)
        self._ends += 1
        self.ended[begun.name] = ended
        return ended

    def _begun(self, begun: Begun) -> None:
        self.begun[begun.name] = begun
        self._last[begun.key] = begun
        self.ended.pop(begun.name, None)

    def left_off(self, key: Key) -> Begun | Ended | None:
        """How far the last call of this kind had come when it was killed; None: it had not begun."""
        begun = self._last.get(key)
        return None if begun is None else self.ended.get(begun.name, begun)

    @property
    def under_way(self) -> list[Begun]:
        """Calls that have begun and not ended."""
        return [begun for name, begun in self.begun.items() if name not in self.ended]

    def strays_ended(self) -> None:
        """End the processes of calls that are under way, or were when whoever made them was killed."""
        for begun in self.under_way:
            if begun.mark:
                strays.end(begun.mark)

    def resumed(self, events: EventStream) -> None:
        """End what processes the killed calls have left, and tell with which calls the run goes on."""
        self.strays_ended()
        under_way = self.under_way
        if not self.begun:
            return
        events.emit(
            "resumed",
            done=list(self.ended),
            again=[begun.name for begun in under_way if begun.again],
            interrupted=[begun.name for begun in under_way if not begun.again],
        )


def key_of(plan: Plan, step: str, inputs: Mapping[str, Any]) -> Key:
    """The key of a call."""
    return (plan.eid or 0, step, tuple(_eids(inputs[name] for name in sorted(inputs))))


def _eids(values: Iterable[Any]) -> Iterable[int]:
    for value in values:
        for element in value if isinstance(value, list) else [value]:
            yield element.eid or 0 if isinstance(element, Element) else 0


def begun_now(
    item: Item, inputs: Mapping[str, Any], *, name: str, base: str, operation: str, kind: str, peon: str = ""
) -> Begun:
    """The call that is about to be made in this thread."""
    call = running()
    said = item.keys.get("idempotent")
    return Begun(
        name=name,
        base=base,
        key=key_of(call.plan, call.step.id, inputs),
        attempt=call.attempt,
        mark=strays.new_mark(),
        again=again_by_default(operation) if said is None else said == "yes",
        kind=kind,
        title=item.title,
        place=item.place,
        peon=peon,
    )


def killed(begun: Begun, context: str) -> StepResult:
    """What came of a call that was under way when the run was killed, and is not made again."""
    log = str(LOGS / f"{context}-{begun.name}.log")
    message = (
        f"{begun.title} ({begun.place}) was under way when {context} was killed; how far it had come is not known\n"
        f"next: look at its log, then call {context} once more, which begins anew; what may be done twice can say "
        f"`idempotent: yes`"
    )
    failure = Failure(step=begun.name, message=message, log=log)
    code = ExitCode.KOMMANDIR_FAILED
    return StepResult(exit_code=int(code), outcome=code, failures=(failure,), log=log, killed=True)


def packed(result: StepResult) -> dict[str, Any]:
    """A result as plain data."""
    return {**dataclasses.asdict(result), "outcome": int(result.outcome)}


def unpacked(record: Mapping[str, Any]) -> StepResult:
    """The result that was packed."""
    failures = tuple(Failure(**each) for each in record["failures"])
    outcome = next(code for code in ExitCode if code == record["outcome"])
    return StepResult(**{**record, "outcome": outcome, "failures": failures})
