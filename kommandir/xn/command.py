"""The action of a ``command`` item."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO

from kommandir import process, strays
from kommandir.errors import StoppedError, TimeOutError, UsageError
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
    file of the item can't be made, KommandirError where such a file can't take the output.
    """
    argv = arguments(item, surroundings)
    exitfile.begin(item, surroundings)
    with surroundings.log(item) as log, _output_files(item, surroundings) as (stdout, stderr):
        log.write(f"$ {' '.join(argv)}")
        result = _Call(item, surroundings, log).result(argv, stdout, stderr)
    return exitfile.end(item, surroundings, result)


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


@contextlib.contextmanager
def _output_files(item: Item, surroundings: Surroundings) -> Iterator[tuple[IO[bytes] | None, IO[bytes] | None]]:
    """The files for both streams, emptied; one file for both where they are the same."""
    stdout, stderr = (surroundings.output_file(item, f"{name}file") for name in ("stdout", "stderr"))
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(exitfile.opened(item, stdout)) if stdout else None
        if stderr is None or stderr == stdout:
            yield first, first if stderr else None
        else:
            yield first, stack.enter_context(exitfile.opened(item, stderr))


class _Call:
    """One call of a program. Called with each line of its output: that goes to the log and to those who watch."""

    def __init__(self, item: Item, surroundings: Surroundings, log: StepLog) -> None:
        self._item, self._surroundings, self._log = item, surroundings, log
        self._step = surroundings.step(item)
        #: Streams that go into files.
        self._quiet = {name for name in ("stdout", "stderr") if item.keys.get(f"{name}file", "-") != "-"}
        self._told = 0
        self._last: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def result(self, argv: list[str], stdout: IO[bytes] | None, stderr: IO[bytes] | None) -> StepResult:
        """Run it to its end."""
        environment, request = self._surroundings.environment(), self._surroundings.request
        try:
            outcome = process.run(
                argv,
                environment=environment,
                folder=self._surroundings.workspace,
                deadline=request.deadline,
                cancellation=request.cancellation,
                doing=f"{self._item.title} ({self._item.place})",
                stdout=stdout,
                stderr=stderr,
                merged=self._item.keys.get("stderrfile") == "-",
                on_line=self,
            )
        except (TimeOutError, StoppedError) as error:
            strays.end(environment[strays.STEP_TAG])
            return self._stopped(error)
        except OSError as error:
            raise UsageError(
                f"{self._item.place}: {argv[0]} can't be started: {error.strerror}", hint="look at `filepath`"
            ) from error
        return self._judged(outcome)

    def __call__(self, stream: str, line: str) -> None:
        if line.strip():
            self._last[stream] = [*self._last[stream][1 - QUOTED :], plain(line)]
        if stream in self._quiet:
            return
        self._log.write(line)
        self._told += 1
        if self._told <= MOST_EVENTS:
            text = plain(line) if self._told < MOST_EVENTS else f"... the rest is in {self._log.name}"
            self._surroundings.request.events.emit("output", step=self._step, stream=stream, line=text)

    def _judged(self, outcome: Outcome) -> StepResult:
        if outcome.good:
            return StepResult(exit_code=0, outcome=GOOD.outcome, log=self._log.name)
        code = 128 - outcome.code if outcome.code < 0 else outcome.code
        lines = [f"{self._item.title} ended with {outcome.end}", *(self._last["stderr"] or self._last["stdout"])]
        classified = classification.of_step(self._surroundings.request.context)
        return StepResult(
            exit_code=code, outcome=classified, failures=(self._failure("\n".join(lines)),), log=self._log.name
        )

    def _stopped(self, error: TimeOutError | StoppedError) -> StepResult:
        self._log.write(error.what)
        outcome = outcome_of(error)
        failures = (self._failure(error.what),)
        return StepResult(exit_code=int(outcome), outcome=outcome, failures=failures, log=self._log.name, stopped=True)

    def _failure(self, message: str) -> Failure:
        return Failure(step=self._step, message=self._surroundings.redactor.text(message), log=self._log.name)
