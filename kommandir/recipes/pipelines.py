"""``peon.pipelines``: a plan a peon, and elements that tell their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kommandir.xn.call_notes import CallNotes
from narval_engine import Element, Plan, StartPlan

_MARK = "pipeline-mark"
#: What tells the end of one, and of all that one step started.
_ENDS = ("pipeline", "pipelines")


@dataclass(slots=True)
class _Batch:
    number: int
    recipe: str
    left: set[str]
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Pipelines:
    """The pipelines of a run. All of it happens in the engine's thread."""

    def __init__(self, notes: CallNotes) -> None:
        #: Puts an element into memory.
        self.post: Callable[[Element], object] = lambda _element: None
        self._notes = notes
        self._batches: list[_Batch] = []
        #: The ends that were told, by what tells them and its number.
        self._told: set[tuple[str, int | None]] = set()

    def start(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the action makes: an order for a plan for each peon, with the peon in its context."""
        recipe = str(inputs["pipeline"].recipe)
        peons = {str(peon.name): peon for peon in inputs["peon"]}
        number = len(self._batches)
        self._notes.note("batch", recipe=recipe, peons=list(peons))
        self._batches.append(_Batch(number, recipe, set(peons)))
        if not peons:
            self._tell(self._batches[number])
        plans = [StartPlan(recipe, (peon.copied(), Element(_MARK, batch=number))) for peon in peons.values()]
        return {"start-plan": plans}

    def restored(self, plans: Iterable[Plan], memory: Iterable[Element]) -> None:
        """Know again what pipelines a run had when it was killed, and tell the ends that it did not come to tell."""
        self._told = {(each.type, getattr(each, "number", None)) for each in memory if each.type in _ENDS}
        for record in self._notes.others.get("batch", ()):
            self._batches.append(_Batch(len(self._batches), record["recipe"], set(record["peons"])))
        for record in self._notes.others.get("pipeline", ()):
            self._ended(self._batches[record["batch"]], record["peon"], record["state"], record["number"])
        for plan in plans:
            if plan.parent is None and plan.over:
                self.ended(plan)
        for batch in self._batches:
            if not batch.left:
                self._tell(batch)

    def ended(self, plan: Plan) -> None:
        """A plan that was started by itself has ended: told, where it is a pipeline."""
        elements = plan.elements
        mark = next((each for each in elements if each.type == _MARK), None)
        peon = next((str(each.name) for each in elements if each.type == "peon"), "")
        batch = self._batches[mark.batch] if mark is not None else None
        if batch is None or peon not in batch.left:
            return
        self._notes.note("pipeline", batch=batch.number, peon=peon, state=plan.state, number=plan.eid)
        self._ended(batch, peon, plan.state, plan.eid or 0)
        if not batch.left:
            self._tell(batch)

    def _ended(self, batch: _Batch, peon: str, state: str, number: int) -> None:
        batch.left.discard(peon)
        (batch.done if state == "done" else batch.failed).append(peon)
        self._post("pipeline", recipe=batch.recipe, peon=peon, state=state, number=number)

    def _tell(self, batch: _Batch) -> None:
        done, failed = list(batch.done), list(batch.failed)
        self._post("pipelines", recipe=batch.recipe, done=done, failed=failed, number=batch.number)

    def _post(self, kind: str, *, number: int, **data: Any) -> None:
        if (kind, number) not in self._told:
            self._told.add((kind, number))
            self.post(Element(kind, **data, number=number))
