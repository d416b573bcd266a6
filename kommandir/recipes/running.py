"""Recipes of a ``job.xn`` run for a context by the engine: plans side by side, everything told as events."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from kommandir.errors import ExekutirError, ExitCode, TimeOutError, UsageError
from kommandir.failure import Failure
from kommandir.recipes import contexts
from kommandir.recipes.actions import registered
from kommandir.recipes.calls import Calls
from kommandir.recipes.counting import Counted, own_error, unhandled
from kommandir.recipes.pipelines import Pipelines
from kommandir.recipes.reading import Recipes
from kommandir.xn.call_notes import CallNotes, packed
from kommandir.xn.request import StepResult, XnRequest, XnResult, outcome_of
from kommandir.xn.stopping import watched
from kommandir.xn.surroundings import Surroundings
from narval_engine import Engine, Event, Plan
from narval_engine.journal import JournalLostError

if TYPE_CHECKING:
    from kommandir.xn.run_journal import RunJournal

#: Calls that run at the same time; most of them wait for a peon.
PARALLEL = 16


def run(request: XnRequest, recipes: Recipes) -> XnResult:
    """Run the first recipe, with the steps that take part in the request's context, and whatever plans that starts.

    A durable run goes on where an earlier one of the same context was killed.

    Returns when nothing more can happen. The result is that of the first step that failed in a plan that failed: an
    error that a transition handled does not count, unless ``job.fail`` says so. A plan that waits for what can't come
    any more is a mistake of the job (exit code 2).
    """
    if request.check:
        _say(request, recipes)
    elif not contexts.is_empty(recipes.recipes[0], recipes.recipes, recipes.contexts, request.context):
        with contextlib.closing(Surroundings(request)) as surroundings:
            return _Run(surroundings, recipes).result()
    return XnResult(exit_code=0, outcome=ExitCode.GOOD)


def _journal(request: XnRequest) -> RunJournal | None:
    if not request.durable:
        return None
    from kommandir.xn.run_journal import opened

    return opened(request)


def _say(request: XnRequest, recipes: Recipes) -> None:
    """Tell the steps that take part; which of them run, and how often, only running shows."""
    items = [item for item in recipes.items if item.is_for(request.context)]
    for number, item in enumerate(items, 1):
        line = f"{number}/{len(items)} {item.operation}: {item.title} ({item.place})"
        request.events.emit("output", step="check", stream="stdout", line=line)


class _Run:
    """One run: its engine, and what has failed so far."""

    def __init__(self, surroundings: Surroundings, recipes: Recipes) -> None:
        self.request, self.recipes = surroundings.request, recipes
        self.journal = _journal(self.request)
        self.notes = CallNotes(self.journal.kept if self.journal else None)
        surroundings.keep = self.notes.note
        self.calls = Calls(surroundings, self.notes)
        self.pipelines = Pipelines(self.notes)
        self.counted = Counted()

    def result(self) -> XnResult:
        registry = registered(self.calls.performing(self.pipelines.start))
        kept = self.journal.kept if self.journal else None
        with Engine(registry, workers=PARALLEL, journal=kept) as engine:
            try:
                self._run(engine)
            except JournalLostError as error:
                from kommandir.xn.run_journal import unwritable

                self.notes.strays_ended()
                raise unwritable(error) from error
        return self.counted.result()

    def _run(self, engine: Engine) -> None:
        def cancel(reason: str) -> None:
            if self.journal is not None:
                self.journal.stopped()
            engine.cancel(reason)

        self.calls.stop = cancel
        self.pipelines.post = engine.post_element
        engine.add_recipes(
            contexts.restricted(recipe, self.recipes.contexts, self.request.context) for recipe in self.recipes.recipes
        )
        engine.subscribe(self._told)
        first = self.recipes.recipes[0].full_name
        with watched(self.request, cancel):
            if self.journal is None:
                engine.start_plan(first)
            else:
                restored = functools.partial(self._restored, engine)
                self.journal.begin(engine, first, restored=restored, cut_off=self.calls.cut_off)
            engine.run()
        self.calls.ended()
        self._stopped()
        for plan in engine.plans:
            if plan.waiting:
                self._waits(plan)

    def _restored(self, engine: Engine) -> None:
        """Know again what the run that was killed knew, and what had failed in it."""
        self.notes.read()
        self.calls.restored()
        self.counted.restore(self.notes.others)
        self.notes.resumed(self.request.events)
        for plan in engine.plans:
            if plan.over and plan.parent is None and plan.eid not in self.counted.plans:
                self._count(plan)
        self.pipelines.restored(engine.plans, engine.memory)

    def _told(self, event: Event) -> None:
        """A plan that was started by itself has ended."""
        plan = event.plan
        if event.kind == "plan_ended" and plan is not None and plan.parent is None:
            self._count(plan)
            self.pipelines.ended(plan)

    def _count(self, plan: Plan) -> None:
        """What failed in a plan that has ended counts."""
        if plan.state != "failed" or plan.cancelled is not None:
            return
        found: list[tuple[int, StepResult]] = []
        for step, error in unhandled(plan):
            known = self.calls.counts(str(getattr(error, "call", "")))
            found.append(known if known is not None else own_error(plan, step, error, self.calls))
        for order, failed in found:
            self.counted.add(order, failed)
        self.notes.note("counted", plan=plan.eid, failures=[[order, packed(failed)] for order, failed in found])

    def _stopped(self) -> None:
        """What a signal or the deadline ended, where it was no step that was ended."""
        for order, result in self.calls.interrupted():
            self.counted.add(order, result)
        request = self.request
        if self.counted.stopped or not (request.cancellation.requested or request.deadline.expired):
            return
        try:
            request.cancellation.check("waiting for a step to become ready")
            raise TimeOutError(f"the plans were stopped: they took longer than {request.deadline.given:g} s")
        except ExekutirError as error:
            failure = Failure(step=self.recipes.recipes[0].full_name, message=str(error))
            self.counted.stop(outcome_of(error), failure)

    def _waits(self, plan: Plan) -> None:
        """A plan waits, and nothing runs that could make what it waits for."""
        waiting = [each for each in plan.recipe.transitions if plan.transitions[each.id].state == "wait-condition"]
        wanted = "; ".join(
            f"`{each.id}` ({each.place}) for {' and '.join(' '.join(one.expressions) for one in each.conditions)}"
            for each in waiting
        )
        error = UsageError(
            f"the plan {plan.name} waits for what never comes: {wanted or 'no transition can fire'}",
            hint="mend the condition, or the step that should make the element",
        )
        failed = self.calls.told_failure(f"{plan.name}-waits", str(error), outcome_of(error))
        self.counted.add(*failed)
