"""Where actions run: here (inline), in threads, in an event loop, or in processes of their own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from narval_engine import outcomes
from narval_engine.current import CURRENT, RunningStep
from narval_engine.machine import Call
from narval_engine.outcomes import Outcome

if TYPE_CHECKING:
    import asyncio


class Job:
    """One call of an action that is to be run.

    ``begun`` is the monotonic time at which a worker got it, ``outcome`` what came back; ``answered`` is set once an
    outcome counts, whoever says it.
    """

    __slots__ = ("answered", "at", "begun", "call", "outcome", "running")

    def __init__(self, call: Call, at: int, running: RunningStep) -> None:
        self.call = call
        self.at = at
        self.running = running
        self.begun = 0.0
        self.outcome: Outcome | None = None
        self.answered = False

    @property
    def inputs(self) -> dict[str, Any]:
        """What was assigned to the inputs."""
        return self.call.inputs[self.at]

    def given(self) -> dict[str, Any]:
        """What the action is called with: a mapping, and lists, that are its own to change."""
        return {name: [*value] if isinstance(value, list) else value for name, value in self.inputs.items()}


Answer = Callable[[Job, Outcome], None]


def perform(job: Job) -> Outcome:
    """Calls the action in this thread, and says how that ended. Never raises what the action raises."""
    step = job.call.step
    action = step.action
    assert action is not None
    token = CURRENT.set(job.running)
    try:
        return outcomes.of_return(action.function(job.given()), job.call.plan, step, job.inputs)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            # That is somebody at the keyboard; any other becomes the step's error.
            raise
        return outcomes.of_exception(error)
    finally:
        CURRENT.reset(token)


async def _awaited(job: Job) -> Outcome:
    """Awaits the action. What it raises must not get out of its task, for some of it would end the loop."""
    import asyncio

    step = job.call.step
    assert step.action is not None
    try:
        coroutine: Coroutine[Any, Any, Any] = step.action.function(job.given())
        return outcomes.of_return(await coroutine, job.call.plan, step, job.inputs)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 -- as in perform
        return outcomes.of_exception(error)


def _in(loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> None:
    loop.call_soon_threadsafe(task.cancel)


class Workers:
    """Threads and an event loop, each made when first needed; ``answer`` is called from them."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        #: One for each thread that has nothing to do; a semaphore would cost as much as a step.
        self._idle: deque[None] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Has the job done by whoever fits it."""
        action = job.call.step.action
        assert action is not None
        if action.is_coroutine:
            self._in_loop(job)
            return
        try:
            self._idle.pop()
        except IndexError:
            thread = threading.Thread(target=self._work, name=f"narval-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            source = job.call.step.source
            action = job.call.step.action
            if (action is not None and action.options.isolated) or source.memory or source.cpu:
                from narval_engine.isolation import perform_isolated

                outcome = perform_isolated(job)
            else:
                outcome = perform(job)
            self._idle.append(None)
            self._answer(job, outcome)

    def _in_loop(self, job: Job) -> None:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop_thread = threading.Thread(target=self._loop.run_forever, name="narval-loop", daemon=True)
            self._loop_thread.start()
        asyncio.run_coroutine_threadsafe(self._await(job), self._loop)

    async def _await(self, job: Job) -> None:
        import asyncio

        CURRENT.set(job.running)
        task = asyncio.ensure_future(_awaited(job))
        loop = asyncio.get_running_loop()
        job.running.on_cancel(lambda: _in(loop, task))
        try:
            outcome = await task
        except asyncio.CancelledError:
            outcome = outcomes.of_exception(RuntimeError(f"cancelled: {job.running.cancelled}"))
        self._answer(job, outcome)

    def close(self) -> None:
        """Ends threads and loop once they are through with what they do; does not wait for what never ends."""
        for _thread in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + 1
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        self._threads.clear()
        if self._loop is not None and self._loop_thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join(timeout=1)
            if not self._loop.is_running():
                self._loop.close()
            self._loop = None
