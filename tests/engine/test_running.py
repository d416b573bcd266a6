"""How actions run: in threads, as coroutines, in processes; limits, deadlines, attempts, commands."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from narval_engine import (
    Element,
    Engine,
    ErrorElement,
    Input,
    Plan,
    Recipe,
    Registry,
    Step,
    StepKilledError,
    Transition,
    commands,
    running,
)

RunStep = Callable[..., Plan]


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    commands.register(made)
    made.register("a.handler", lambda _given: None, inline=True)
    return made


@pytest.fixture
def run_step(registry: Registry) -> Iterator[RunStep]:
    """Runs one step of an action, with a way out on error; the engine is closed in the end."""
    engines: list[Engine] = []

    def run(function: Any, *, cancel_after: float | None = None, options: Any = None, **said: Any) -> Plan:
        if not isinstance(function, str):
            registry.register("a.it", function, **(options or {}))
        target = function if isinstance(function, str) else "a.it"
        steps = (
            Step(id="it", target=target, **said),
            Step(id="h", target="a.handler"),
            Step(id="end", target="a.handler"),
        )
        links = (
            Transition(id="t1", on_error=("it",), outputs=("h",)),
            Transition(id="t2", inputs=("it",), outputs=("end",)),
            Transition(id="t3", inputs=("h",), outputs=("end",)),
        )
        engine = Engine(registry)
        engines.append(engine)
        engine.add_recipe(Recipe("a", "r", steps, links))
        plan = engine.start_plan("a.r")
        if cancel_after is not None:
            threading.Timer(cancel_after, lambda: engine.cancel("enough")).start()
        engine.run()
        return plan

    yield run
    for engine in engines:
        engine.close()


def test_a_coroutine(run_step: RunStep) -> None:
    async def action(_given: Any) -> None:
        assert running().step.id == "it"
        await asyncio.sleep(0.01)

    assert run_step(action).steps["it"].state == "history"


def test_a_coroutine_that_raises(run_step: RunStep) -> None:
    async def action(_given: Any) -> None:
        await asyncio.sleep(0)
        raise KeyError("k")

    plan = run_step(action)
    assert (plan.state, plan.errors[0].type) == ("done", "KeyError")


def test_a_coroutine_is_cancelled(run_step: RunStep) -> None:
    ended: list[bool] = []

    async def action(_given: Any) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    plan = run_step(action, cancel_after=0.2)
    assert (plan.state, plan.cancelled, ended) == ("failed", "enough", [True])


def test_a_deadline_ends_a_step_and_can_be_handled(run_step: RunStep) -> None:
    told = threading.Event()

    def action(_given: Any) -> None:
        running().on_cancel(told.set)
        told.wait(30)

    plan = run_step(action, deadline=0.2)
    assert (plan.state, plan.errors[0].type, plan.steps["h"].state) == ("done", "timeout", "history")
    assert told.is_set()


def test_a_deadline_that_was_kept_is_not_waited_for(run_step: RunStep) -> None:
    assert run_step(lambda _given: None, deadline=100_000).state == "done"


def test_attempts_with_back_off(run_step: RunStep) -> None:
    seen: list[tuple[int, float]] = []

    def action(_given: Any) -> Any:
        seen.append((running().attempt, time.monotonic()))
        return {"error": ErrorElement("not yet", "early")} if len(seen) < 3 else None

    plan = run_step(action, attempts=3, backoff=0.05)
    assert plan.steps["it"].state == "history"
    assert [attempt for attempt, _when in seen] == [1, 2, 3]
    assert seen[1][1] - seen[0][1] >= 0.05
    assert seen[2][1] - seen[1][1] >= 0.1


def test_attempts_come_to_an_end(run_step: RunStep) -> None:
    plan = run_step(lambda _given: {"error": ErrorElement("never", "never")}, attempts=2, backoff=0)
    assert [error.type for error in plan.errors] == ["never"]
    assert plan.steps["it"].state == "error"


def test_a_step_can_be_killed(run_step: RunStep) -> None:
    def action(_given: Any) -> None:
        raise StepKilledError("a limit", "quota")

    plan = run_step(action)
    assert (plan.state, plan.steps["it"].state, plan.errors[0].type) == ("failed", "killed", "quota")
    assert plan.steps["h"].state == "impossible"


def test_leaving_is_an_error_of_the_step_and_not_the_end_of_the_engine(run_step: RunStep) -> None:
    def action(_given: Any) -> None:
        raise SystemExit(3)

    assert run_step(action).errors[0].type == "SystemExit"


def test_what_is_quick_counts_in_the_order_in_which_it_began() -> None:
    """Whatever threads do: of a foreach over workers the first element's call is the first to come back."""
    registry = Registry()
    registry.register("a.it", lambda given: time.sleep(given["i"].v), [Input("i", ("elmt.type == 'x'",))])
    told: list[float] = []
    with Engine(registry) as engine:
        engine.add_recipe(Recipe("a", "r", (Step(id="s", target="a.it"),)))
        engine.subscribe(
            lambda event: told.append(event.plan.eid or 0) if event.kind == "step_ended" and event.plan else None
        )
        plans = [engine.start_plan("a.r", [Element("x", v=v)]) for v in (0.01, 0.5, 0.0, 0.0)]
        engine.run()
    first, slow, third, fourth = (plan.eid for plan in plans)
    assert told == [first, third, fourth, slow]


def test_a_process_of_its_own(run_step: RunStep) -> None:
    here = os.getpid()

    def action(_given: Any) -> Any:
        return {"error": ErrorElement("from afar", "pid", same=os.getpid() == here)}

    assert run_step(action, options={"isolated": True}).errors[0].same is False


def test_memory_is_limited(run_step: RunStep) -> None:
    plan = run_step(lambda _given: bytearray(1 << 31) and None, memory=512)
    assert (plan.state, plan.steps["it"].state, plan.errors[0].type) == ("failed", "killed", "MemoryError")


def test_cpu_is_limited(run_step: RunStep) -> None:
    def action(_given: Any) -> None:
        while True:
            pass

    plan = run_step(action, cpu=1)
    assert (plan.state, plan.steps["it"].state) == ("failed", "killed")
    assert "CPU limit" in plan.errors[0].message


def test_a_process_that_dies_kills_its_step(run_step: RunStep) -> None:
    plan = run_step(lambda _given: os.kill(os.getpid(), signal.SIGKILL), options={"isolated": True})
    assert (plan.state, plan.steps["it"].state) == ("failed", "killed")
    assert "SIGKILL" in plan.errors[0].message


def test_a_deadline_ends_a_process(run_step: RunStep, tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def action(_given: Any) -> None:
        note.write_text(str(os.getpid()))
        time.sleep(60)

    plan = run_step(action, deadline=0.5, options={"isolated": True})
    assert plan.errors[0].type == "timeout"
    assert gone(int(note.read_text()))


def gone(pid: int) -> bool:
    """Whether the process has ended, or does so within some seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def command(**said: Any) -> dict[str, Any]:
    return {"arguments": (Element("command", **said),)}


def test_a_command(run_step: RunStep, tmp_path: Path) -> None:
    said = command(
        argv=["sh", "-c", "pwd; cat; echo $WHO >&2"], directory=str(tmp_path), input="in", environment={"WHO": "me"}
    )
    plan = run_step("command.run", **said)
    made = plan.steps["it"].outputs[0]
    assert (made.exit_code, made.stdout, made.stderr) == (0, f"{tmp_path}\nin", "me\n")


def test_a_command_line_is_split_but_no_shell_runs(run_step: RunStep) -> None:
    plan = run_step("command.run", **command(line="echo 'a b' $HOME; ls"))
    assert plan.steps["it"].outputs[0].stdout == "a b $HOME; ls\n"


def test_a_command_that_fails(run_step: RunStep) -> None:
    plan = run_step("command.run", **command(argv=["sh", "-c", "echo why >&2; exit 7"]))
    error = plan.errors[0]
    assert (plan.state, error.type, error.exit_code, error.stderr) == ("done", "command failed", 7, "why\n")
    assert "exit code 7: why" in error.message


@pytest.mark.parametrize("said", [{"argv": ["/nonexistent/program"]}, {"argv": []}, {"line": "'"}, {}])
def test_a_command_that_cannot_be_started(run_step: RunStep, said: dict[str, Any]) -> None:
    assert run_step("command.run", **command(**said)).errors[0].type == "command not started"


def test_a_command_ends_with_its_whole_group(run_step: RunStep, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"trap '' TERM; sleep 60 & echo $! > {note}; wait; sleep 60"
    plan = run_step("command.run", deadline=0.5, **command(argv=["bash", "-c", script]))
    assert plan.errors[0].type == "timeout"
    assert gone(int(note.read_text()))
