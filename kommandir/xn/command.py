"""The action of a ``command`` item."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from kommandir import process, strays
from kommandir.errors import StoppedError, TimeOutError, UsageError
from kommandir.events import EventStream
from kommandir.failure import Failure
from kommandir.playbook import classification
from kommandir.process import Outcome
from kommandir.step_log import StepLog, plain
from kommandir.xn import exitfile, words
from kommandir.xn.reading import Item
from kommandir.xn.request import GOOD, StepResult, outcome_of
from kommandir.xn.surroundings import Surroundings

#: Lines of a step that become events; its log has all of them.
MOST_EVENTS = 1000
#: The last lines of a failed command that its failure quotes.
QUOTED = 8


def run_command(item: Item, surroundings: Surroundings) -> StepResult:
    """Run the program in the workspace and wait for it; its output goes to the log of the step or into files.

    A deadline or a signal ends it with all of its processes. Raises UsageError where it can't be started at all or a
    file of the item can't be written.
    """
    argv = arguments(item, surroundings)
    environment = surroundings.environment()
    exitfile.begin(item, surroundings)
    with surroundings.log(item) as log, _output_files(item, surroundings) as (stdout, stderr):
        log.write(f"$ {' '.join(argv)}")
        output = _Output(surroundings, item, log, quiet=_quiet(item))
        try:
            outcome = _run(argv, environment, item, surroundings, stdout, stderr, output)
        except (TimeOutError, StoppedError) as error:
            strays.end(environment[strays.STEP_TAG])
            return exitfile.end(item, surroundings, _stopped(error, item, surroundings, log))
        except OSError as error:
            raise UsageError(
                f"{item.place}: {argv[0]} can't be started: {error.strerror}", hint="look at `filepath`"
            ) from error
        return exitfile.end(item, surroundings, _judged(outcome, output, item, surroundings, log))


def arguments(item: Item, surroundings: Surroundings) -> list[str]:
    """The program and its arguments. UsageError where the variables in them break the quotes."""
    program = surroundings.file(item, "filepath")
    try:
        rest = words.split(surroundings.text(item, "arguments") or "")
    except ValueError as error:
        raise UsageError(
            f"{item.place}: `arguments` once their variables are replaced: {error}",
            hint="the value of a variable has a quote in it; leave it to the shell as `\\$NAME`",
        ) from error
    return [str(program), *rest]


def _run(
    argv: list[str],
    environment: dict[str, str],
    item: Item,
    surroundings: Surroundings,
    stdout: IO[bytes] | None,
    stderr: IO[bytes] | None,
    output: Callable[[str, str], None],
) -> Outcome:
    request = surroundings.request
    return process.run(
        argv,
        environment=environment,
        folder=surroundings.workspace,
        deadline=request.deadline,
        cancellation=request.cancellation,
        doing=f"{item.title} ({item.place})",
        stdout=stdout,
        stderr=stderr,
        merged=item.keys.get("stderrfile") == "-",
        on_line=output,
    )


class _Output:
    """Each line of the command: to the log and to those who watch, except for streams that go into files."""

    def __init__(self, surroundings: Surroundings, item: Item, log: StepLog, quiet: frozenset[str]) -> None:
        self._events: EventStream = surroundings.request.events
        self._step, self._log, self._quiet = surroundings.step(item), log, quiet
        self._told = 0
        self.last: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def __call__(self, stream: str, line: str) -> None:
        if line.strip():
            self.last[stream] = [*self.last[stream][1 - QUOTED :], plain(line)]
        if stream in self._quiet:
            return
        self._log.write(line)
        self._told += 1
        if self._told < MOST_EVENTS:
            self._events.emit("output", step=self._step, stream=stream, line=plain(line))
        elif self._told == MOST_EVENTS:
            self._events.emit("output", step=self._step, stream=stream, line=f"... the rest is in {self._log.name}")


def _quiet(item: Item) -> frozenset[str]:
    return frozenset(name for name in ("stdout", "stderr") if item.keys.get(f"{name}file", "-") != "-")


@contextlib.contextmanager
def _output_files(item: Item, surroundings: Surroundings) -> Iterator[tuple[IO[bytes] | None, IO[bytes] | None]]:
    """The files for both streams, emptied; one file for both where they are the same."""
    paths = [surroundings.output_file(item, f"{name}file") for name in ("stdout", "stderr")]
    with contextlib.ExitStack() as stack:
        opened: dict[Path, IO[bytes]] = {}
        for path in paths:
            if path is not None and path not in opened:
                opened[path] = stack.enter_context(exitfile.opened(item, path))
        yield tuple(opened[path] if path else None for path in paths)  # type: ignore[misc]  # there are two


def _judged(outcome: Outcome, output: _Output, item: Item, surroundings: Surroundings, log: StepLog) -> StepResult:
    if outcome.good:
        return StepResult(exit_code=0, outcome=GOOD.outcome, log=log.name)
    code = 128 - outcome.code if outcome.code < 0 else outcome.code
    message = "\n".join([f"{item.title} ended with {outcome.end}", *(output.last["stderr"] or output.last["stdout"])])
    failure = Failure(
        step=surroundings.step(item), message=surroundings.redactor.text(message), log=log.name
    )  # fmt: skip
    classified = classification.of_step(surroundings.request.context)
    return StepResult(exit_code=code, outcome=classified, failures=(failure,), log=log.name)


def _stopped(
    error: TimeOutError | StoppedError, item: Item, surroundings: Surroundings, log: StepLog
) -> StepResult:  # fmt: skip
    log.write(error.what)
    outcome = outcome_of(error)
    failure = Failure(step=surroundings.step(item), message=error.what, log=log.name)
    return StepResult(exit_code=int(outcome), outcome=outcome, failures=(failure,), log=log.name, stopped=True)
