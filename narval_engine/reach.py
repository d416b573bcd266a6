"""Where a step or a transition looks for elements, nearest first: the ranks of manual tables 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from narval_engine.elements import Element
from narval_engine.index import Index
from narval_engine.plans import Plan
from narval_engine.programs import ARGUMENT, MEMORY, PLAN, PRODUCED, VALIDATED, Pattern

_LARGE = 64
_AGE = attrgetter("eid")


class Reach:
    """The areas of one step or transition. Areas are only looked at when a pattern asks for their rank."""

    __slots__ = ("_arguments", "_lineage", "_memory", "_produced", "_produced_index", "_validated", "plan")

    def __init__(
        self,
        plan: Plan,
        memory: Index,
        arguments: Sequence[Element] = (),
        validated: Sequence[Element] = (),
        produced: Sequence[Element] = (),
    ) -> None:
        self.plan = plan
        self._memory = memory
        self._arguments = arguments
        self._validated = validated
        self._produced = produced
        self._produced_index: Index | None = None
        self._lineage = tuple(plan.lineage())

    @classmethod
    def of_step(cls, plan: Plan, number: int, memory: Index) -> Reach:
        """What a step may take: its arguments, what led to it, and outwards."""
        arguments = plan.computed.get(number) or plan.program.steps[number].arguments
        entered = plan.entered.get(number)
        if entered is None:
            return cls(plan, memory, arguments)  # type: ignore[arg-type] # computed ones are in plan.computed
        validated = plan.validated.get(entered, ())
        if len(validated) > 1:
            validated = tuple(sorted(validated, key=_AGE))
        return cls(plan, memory, arguments, validated, _before(plan, entered))  # type: ignore[arg-type] # as above

    @classmethod
    def of_transition(cls, plan: Plan, number: int, memory: Index) -> Reach:
        """What may validate the conditions of a transition: what its in-steps produced, and outwards."""
        return cls(plan, memory, produced=_before(plan, number))

    def ranks(self, pattern: Pattern) -> Iterator[tuple[int, Iterable[Element]]]:
        """The areas that the pattern may look into, with their ranks; elements oldest first, none certain to match."""
        first, last = pattern.first, pattern.last
        for rank, near in ((ARGUMENT, self._arguments), (VALIDATED, self._validated)):
            if near and first <= rank <= last:
                yield rank, near
        if self._produced and first <= PRODUCED <= last:
            yield PRODUCED, self._of_produced(pattern)
        for depth, plan in enumerate(self._lineage):
            if first <= PLAN + depth <= last:
                yield PLAN + depth, plan.context.ask(pattern.question)
        if last >= MEMORY:
            yield MEMORY, self._of_memory(pattern)

    def found(self, pattern: Pattern, rank: int, area: Iterable[Element]) -> Iterator[Element]:
        """The elements of an area that the pattern fits."""
        return (element for element in area if pattern.fits(element))

    def _of_produced(self, pattern: Pattern) -> Iterable[Element]:
        if len(self._produced) < _LARGE:
            return self._produced
        if self._produced_index is None:
            self._produced_index = Index()
            for element in self._produced:
                if not element.outdated:
                    self._produced_index.add(element)
        return self._produced_index.ask(pattern.question)

    def _of_memory(self, pattern: Pattern) -> Iterable[Element]:
        """All of memory but what came into the contexts of this plan and its callers after they were made."""
        holders = [(plan.eid or 0, plan.context.elements) for plan in self._lineage if plan.context.elements]
        everything = self._memory.ask(pattern.question)
        if not holders:
            return everything
        return (
            element
            for element in everything
            if not any(element.eid in held and (element.eid or 0) > since for since, held in holders)
        )


def _before(plan: Plan, transition: int) -> list[Element]:
    """What the in-steps of a transition produced, oldest first."""
    produced = plan.produced
    if not produced:
        return []
    lists = [produced[step] for step, _flagged in plan.program.transitions[transition].links if step in produced]
    if len(lists) == 1:
        return lists[0]
    return sorted((element for each in lists for element in each), key=_AGE)
