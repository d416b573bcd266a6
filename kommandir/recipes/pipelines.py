"""``peon.pipelines``: a plan a peon, and elements that tell their ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from narval_engine import Element, Plan, StartPlan

_MARK = "pipeline-mark"


@dataclass(slots=True)
class _Batch:
    recipe: str
    left: set[str]
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Pipelines:
    """The pipelines of a run. All of it happens in the engine's thread."""

    def __init__(self) -> None:
        #: Puts an element into memory.
        self.post: Callable[[Element], object] = lambda _element: None
        self._batches: list[_Batch] = []

    def start(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the action makes: an order for a plan for each peon, with the peon in its context."""
        recipe = str(inputs["pipeline"].recipe)
        peons = {str(peon.name): peon for peon in inputs["peon"]}
        number = len(self._batches)
        self._batches.append(_Batch(recipe, set(peons)))
        if not peons:
            self._tell(self._batches[number])
        plans = [StartPlan(recipe, (peon.copied(), Element(_MARK, batch=number))) for peon in peons.values()]
        return {"start-plan": plans}

    def ended(self, plan: Plan) -> None:
        """A plan that was started by itself has ended: told, where it is a pipeline."""
        elements = plan.elements
        mark = next((each for each in elements if each.type == _MARK), None)
        peon = next((str(each.name) for each in elements if each.type == "peon"), "")
        batch = self._batches[mark.batch] if mark is not None else None
        if batch is None or peon not in batch.left:
            return
        batch.left.discard(peon)
        (batch.done if plan.state == "done" else batch.failed).append(peon)
        self.post(Element("pipeline", recipe=batch.recipe, peon=peon, state=plan.state))
        if not batch.left:
            self._tell(batch)

    def _tell(self, batch: _Batch) -> None:
        self.post(Element("pipelines", recipe=batch.recipe, done=list(batch.done), failed=list(batch.failed)))
