"""The engine: drives the machine with the clock, the workers and the journal (all that is not pure is here)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from narval_engine import callbacks, events, outcomes
from narval_engine.actions import Registry
from narval_engine.clocks import Clock, SystemClock
from narval_engine.current import RunningStep
from narval_engine.elements import Element
from narval_engine.machine import DEPTH, Call, Machine
from narval_engine.memory import Memory
from narval_engine.outcomes import Outcome
from narval_engine.pacing import PATIENCE, Holding
from narval_engine.places import Mistake, RecipeError
from narval_engine.plans import ERROR, Plan, PlanStep
from narval_engine.programs import program_of
from narval_engine.recipes import Given, Recipe
from narval_engine.timers import Timers
from narval_engine.validity import mistakes_of
from narval_engine.workers import Job, Workers, perform
from narval_engine.world import Fact

if TYPE_CHECKING:
    from narval_engine.journal import Journal

_Mail = Callable[[], None]
#: A signal that comes between Python's last look and its falling asleep does not wake it, and a clock can be set.
_LONGEST_SLEEP = 0.5


class Engine:
    """Runs plans of recipes whose actions are in ``registry``.

    ``workers`` is how many calls run at the same time besides the inline ones; ``strict`` refuses to choose between
    elements of one rank; ``journal`` makes it durable; elements that no live plan has and that nothing has brought or
    used for ``forget_after`` seconds are forgotten. Not more than one thread may be in ``run``; ``cancel`` and
    ``add_element`` may be called from any. Use it as a context manager, or call ``close``.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        clock: Clock | None = None,
        workers: int = 32,
        strict: bool = False,
        depth: int = DEPTH,
        journal: Journal | None = None,
        forget_after: float | None = None,
    ) -> None:
        self.registry = registry if registry is not None else Registry()
        self.clock = clock or SystemClock()
        self.machine = Machine(strict=strict, depth=depth, forget_after=forget_after)
        self.recipes: dict[str, Recipe] = {}
        self._slots = workers
        self._journal = journal
        self._subscribers: list[Callable[[events.Event], None]] = []
        self._mail: SimpleQueue[_Mail] = SimpleQueue()
        self._workers = Workers(lambda job, outcome: self._mail.put(lambda: self._came_back(job, outcome)))
        #: Calls that have started but not been handed to a worker: (job, attempt).
        self._backlog: deque[Job] = deque()
        #: Calls that are being made, in the order in which they began; of these so many have come back.
        self._running: dict[int, Job] = {}
        self._back = 0
        self._holding = False
        self._quiet: list[threading.Event] = []
        self._holds = Holding()
        self._timers = Timers()
        #: Attempts that wait before they are made.
        self._retries: dict[int, Job] = {}
        self._thread: int | None = None
        self._cancelled: str | None = None
        self._grace: float | None = None
        self._held = 0
        self.machine.now = self.clock.now()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Tells running steps to end, and gives back threads and journal. A closed engine can still be looked at."""
        for job in list(self._running.values()):
            job.running.cancel("the engine was closed")
        self._workers.close()
        if self._journal is not None:
            self._journal.close()

    # What there is.

    @property
    def memory(self) -> Memory:
        """All elements."""
        return self.machine.world.memory

    @property
    def plans(self) -> list[Plan]:
        """All plans that are not forgotten, in the order in which they were made."""
        return list(self.machine.world.plans.values())

    def add_recipe(self, recipe: Recipe, *, unchecked: bool = False) -> list[Mistake]:
        """Makes one recipe known; see add_recipes."""
        return self.add_recipes([recipe], unchecked=unchecked)

    def add_recipes(self, recipes: Iterable[Recipe], *, unchecked: bool = False) -> list[Mistake]:
        """Makes recipes known, which may name each other. Returns warnings.

        Raises RecipeError with all mistakes, and then knows none of them. ``unchecked`` only asks that a recipe has a
        start and an end step; what else is wrong becomes an error element of the step that it concerns.
        """
        added = list(recipes)
        known = {**self.recipes, **{recipe.full_name: recipe for recipe in added}}
        mistakes = [each for recipe in added for each in mistakes_of(recipe, self.registry.get, known)]
        if not unchecked and any(not each.warning for each in mistakes):
            raise RecipeError(mistake for mistake in mistakes if not mistake.warning)
        programs = [program_of(recipe, self.registry.get) for recipe in added]
        for recipe, program in zip(added, programs, strict=True):
            self.memory.keep_recipe(self.recipes.get(recipe.full_name), recipe)
            self.recipes[recipe.full_name] = recipe
            self.machine.programs[recipe.full_name] = program
        return [each for each in mistakes if each.warning]

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Calls ``callback(event)`` for everything from now on, in the thread of ``run``; returns what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    # What may be asked of it.

    def start_plan(self, name: str, elements: Sequence[Given] = ()) -> Plan:
        """Makes a plan of the recipe "group.name", with these elements in its context; ``run`` then runs it.

        Raises RecipeError if there is no such recipe.
        """
        program = self.machine.programs.get(name)
        if program is None:
            known = ", ".join(sorted(self.machine.programs)) or "none"
            raise RecipeError([Mistake(f"there is no recipe {name!r}; known are: {known}")])
        self._refuse_unkept(elements)
        self.machine.now = self.clock.now()
        plan = self.machine.start_plan(program, elements)
        self.machine.settle()
        self.flush()
        return plan

    def add_element(self, *elements: Element) -> None:
        """Puts elements into memory, now or (from another thread than that of ``run``) as soon as ``run`` can."""
        self._refuse_unkept(elements)
        self._soon(lambda: self.machine.add_elements(elements))

    def _refuse_unkept(self, elements: Sequence[Given]) -> None:
        problem = self._problem(elements)
        if problem is not None:
            raise ValueError(problem)

    def remove_element(self, *elements: Element) -> None:
        """Takes elements out of memory and out of all contexts, at the time that ``add_element`` says."""
        self._soon(lambda: self.machine.remove_elements(elements))

    def replace_element(self, old: Element, new: Element) -> None:
        """Takes an element out and puts another in its place; the new one gets a number of its own."""

        def change() -> None:
            self.machine.remove_elements([old])
            self.machine.add_elements([new])

        self._soon(change)

    def cancel(self, reason: str = "cancelled", *, grace: float | None = None) -> None:
        """Ends all plans: running steps are told (``running().cancelled``, ``on_cancel``), no other is started.

        May be called from any thread and from a signal handler; ``run`` returns when the running steps have ended, or
        after ``grace`` seconds: those in workers that have not are left to themselves, and count as killed.
        Each plan is then failed, with an error element of type "cancelled" and ``plan.cancelled`` set.
        """
        self._grace = grace
        self._cancelled = reason
        for job in list(self._running.values()):
            job.running.cancel(reason)
        self.wake()

    def _soon(self, change: _Mail) -> None:
        def apply() -> None:
            self.machine.now = self.clock.now()
            change()
            self.machine.settle()

        if self._thread in {None, threading.get_ident()}:
            apply()
            self.flush()
        else:
            self._mail.put(apply)

    # Running.

    def run(self, timeout: float | None = None, *, wait: bool = True) -> None:
        """Runs until nothing more can happen without something from outside, or ``timeout`` seconds have passed.

        Times in the future are waited for, if the clock goes on by itself and ``wait`` is true.
        """
        until = None if timeout is None else time.monotonic() + timeout
        self._thread = threading.get_ident()
        try:
            while self._step(until, wait=wait):
                pass
        finally:
            self._thread = None
            self.flush()

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Runs until ``stopped()``, also while nothing can happen; ``wake`` and ``post_element`` have it look again."""
        self._thread = threading.get_ident()
        try:
            while not stopped():
                if not self._step(None, wait=True):
                    self._tell_quiet()
                    with suppress(Empty):
                        self._mail.get(timeout=_LONGEST_SLEEP)()
        finally:
            self._thread = None
            self.flush()

    def wake(self) -> None:
        """Has ``run`` or ``serve`` look again whether there is something to do; from any thread."""
        self._mail.put(lambda: None)

    def post_element(self, element: Element) -> threading.Event:
        """Puts an element into memory as soon as ``run`` or ``serve`` can; from any thread.

        The event that is returned is set once what follows from it has been done, but for calls that are not quick.
        """
        done = threading.Event()

        def change() -> None:
            self.machine.add_elements([element])
            self.machine.settle()
            self._quiet.append(done)

        self._mail.put(change)
        return done

    def _tell_quiet(self) -> None:
        young = time.monotonic() - PATIENCE
        if self._quiet and not any(job.begun > young for job in self._running.values()):
            for event in self._quiet:
                event.set()
            self._quiet.clear()

    def _step(self, until: float | None, *, wait: bool) -> bool:
        """One round; false when there is nothing more to do."""
        mail = self._mail
        while not mail.empty():
            mail.get()()
        machine = self.machine
        machine.now = self.clock.now()
        if self._cancelled is not None:
            self._cancel_all(self._cancelled)
        if self._back:
            self._release()
        world = machine.world
        if self._timers or world.alarms or world.decays or machine.forget_after is not None:
            self._advance()
        if until is not None and time.monotonic() >= until:
            return False
        if self._backlog or machine.agenda.queued:
            self._hand_out()
        call = machine.next_call(queued=False)
        if call is not None:
            self.flush()
            self._perform_inline(self._jobs(call, range(call.left)))
            return True
        self.flush()
        return not mail.empty() or self._wait(until, wait=wait)

    def _wait(self, until: float | None, *, wait: bool) -> bool:
        """Sleeps until something comes; false if nothing can."""
        machine = self.machine
        if machine.agenda.quick or (machine.agenda.queued and len(self._running) < self._slots and not self._holding):
            return True
        alarm = machine.world.next_alarm()
        may_wait = alarm is not None and wait and self.clock.waits
        timer = self._timers.next()
        if not self._running and timer is None and not may_wait:
            return False
        self._tell_quiet()
        limits = [_LONGEST_SLEEP] if until is None else [_LONGEST_SLEEP, until - time.monotonic()]
        if self._back or self._holding or self._quiet:
            limits.append(PATIENCE)
        if timer is not None:
            limits.append(timer - time.monotonic())
        if alarm is not None and self.clock.waits:
            limits.append(alarm - self.clock.now())
        with suppress(Empty):
            self._mail.get(timeout=max(0.0, min(limits)))()
        return True

    def _advance(self) -> None:
        self._timers.run_due()
        self.machine.advance(self.machine.now)

    def _cancel_all(self, reason: str) -> None:
        self._cancelled = None
        self.machine.cancel(reason)
        for job in [*self._backlog, *self._retries.values()]:
            self._answered(job, outcomes.never_begun(reason))
        self._backlog.clear()
        self._retries.clear()
        for job in self._running.values() if self._grace is not None else ():
            self._timers.add(time.monotonic() + (self._grace or 0), partial(self._given_up, job, reason), job)

    def _given_up(self, job: Job, reason: str) -> None:
        self._answered(job, outcomes.never_begun(f"{reason}; it was told, and did not end"))

    # Calls.

    def _hand_out(self) -> None:
        """Gives workers what they can take. Facts are written before the first action runs."""
        started: list[Job] = []
        while len(self._running) < self._slots:
            if not self._backlog:
                self._holding = self._holds(self.machine.agenda.queued, self._running.values())
                if self._holding:
                    break
                call = self.machine.next_call(queued=True)
                if call is None:
                    break
                self._backlog.extend(self._jobs(call, range(call.left)))
                continue
            job = self._backlog.popleft()
            if not job.answered:
                job.begun = time.monotonic()
                self._running[id(job)] = job
                started.append(job)
        self.flush()
        for job in started:
            self._begin(job)
            self._workers.submit(job)

    def run_again(self, call: Call, places: Iterable[int]) -> None:
        """Has these calls of a step made once more, because the process that made them has died."""
        jobs = self._jobs(call, places)
        if call.step.quick:
            self._mail.put(lambda: self._perform_inline(jobs))
        else:
            self._backlog.extend(jobs)

    def _jobs(self, call: Call, places: Iterable[int]) -> list[Job]:
        step = PlanStep(call.plan, call.step)
        return [Job(call, at, RunningStep(call.plan, step)) for at in places]

    def _begin(self, job: Job) -> None:
        """A job begins: its deadline is set."""
        limit = job.call.step.source.deadline
        if limit is not None:
            job.running.deadline = time.monotonic() + limit
            self._timers.add(job.running.deadline, lambda: self._late(job, limit), job)

    def _late(self, job: Job, limit: float) -> None:
        job.running.cancel(f"the deadline of {limit:g} s has passed")
        # What the action still does in its thread nobody can end; its answer counts no more.
        self._answered(job, outcomes.timed_out(job.call.plan.name, job.call.step, limit))

    def _perform_inline(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if self._cancelled is not None:
                self._answered(job, outcomes.never_begun(self._cancelled))
                continue
            self._running[id(job)] = job
            if job.call.step.source.deadline is not None:
                job.running.deadline = time.monotonic() + job.call.step.source.deadline
            self._answered(job, perform(job))

    def _came_back(self, job: Job, outcome: Outcome) -> None:
        """A worker is done. What is quick counts in the order in which it began, and so a plan goes the same way twice.

        One that takes longer than ``PATIENCE`` is waited for no more.
        """
        if job.answered:
            return
        job.outcome = outcome
        self._back += 1
        self._release()

    def _release(self) -> None:
        now = time.monotonic()
        for job in list(self._running.values()):
            if job.outcome is not None:
                self._answered(job, job.outcome)
            elif job.begun + PATIENCE > now:
                return

    def _answered(self, job: Job, outcome: Outcome) -> None:
        """A call came back. It is tried again if the step has attempts left, else it counts."""
        self._running.pop(id(job), None)
        if job.answered:
            return
        if job.outcome is not None:
            self._back -= 1
        job.answered = True
        source = job.call.step.source
        attempt = job.running.attempt
        if outcome.state == ERROR and attempt < source.attempts and job.running.cancelled is None:
            again = Job(job.call, job.at, RunningStep(job.running.plan, job.running.step, attempt + 1))
            delay = source.backoff * 2 ** (attempt - 1)
            self._retries[id(again)] = again
            self._timers.add(time.monotonic() + delay, lambda: self._again(again), again)
            return
        self.machine.now = self.clock.now()
        self.machine.call_ended(job.call, job.at, self._kept(outcome, job))

    def _kept(self, outcome: Outcome, job: Job) -> Outcome:
        """The outcome, or an error where there is a journal that cannot hold it."""
        problem = self._problem((*outcome.outputs, *outcome.errors))
        if problem is None:
            return outcome
        return outcomes.bad_output(job.call.plan, job.call.step, problem)

    def _problem(self, elements: Iterable[Any]) -> str | None:
        if self._journal is None or self._journal.lenient:
            return None
        from narval_engine.encoding import problem_of

        return problem_of(elements)

    def _again(self, job: Job) -> None:
        del self._retries[id(job)]
        if self.machine.world.plans.get(job.call.plan.eid or 0) is None or job.call.plan.cancelled is not None:
            self._answered(job, outcomes.never_begun("cancelled"))
        elif job.call.step.quick:
            self._running[id(job)] = job
            self._answered(job, perform(job))
        else:
            self._backlog.append(job)

    # Telling.

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is done inside goes to the journal as one: after a crash all of it has happened, or nothing."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self.flush()

    def flush(self) -> None:
        """Writes facts to the journal, then tells subscribers, and the callbacks that actions declared."""
        facts = self.machine.facts
        if self._held:
            return
        if facts:
            self.machine.facts = []
            if self._journal is not None:
                self._journal.write(facts)
            if self._subscribers:
                for event in events.of_facts(facts, self.machine.now):
                    for subscriber in list(self._subscribers):
                        subscriber(event)
            for fact in facts:
                if fact.kind == "plan_ended" and fact.plan is not None:
                    self._call_back(fact.plan)
        skipped = self.machine.agenda.skipped
        while skipped:
            self._call_back(*skipped.popleft())

    def _call_back(self, plan: Plan, number: int = -1) -> None:
        """Calls what the actions of a plan that is over, or of a step that has become impossible, have declared.

        That it was done is written down afterwards: after a crash in between it is done again.
        """
        if callbacks.called(plan, number) and self.machine.world.plans.get(plan.eid or 0) is plan:
            told = Fact("called_back", plan, number)
            self.machine.world.apply(told)
            if self._journal is not None:
                self._journal.write([told])

    def call_missed(self) -> None:
        """Makes the calls of ``finalizer`` and ``nonexecuted`` that a process that died did not come to."""
        for plan, number in callbacks.missed(self.plans):
            self._call_back(plan, number)
