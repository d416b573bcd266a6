"""The action of a ``playbook`` item."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from kommandir import atomic
from kommandir.errors import ExitCode, KommandirError, UsageError
from kommandir.failure import Failure
from kommandir.playbook import running, strategy
from kommandir.playbook.private import directory
from kommandir.playbook.running import PlaybookResult, PlaybookRun
from kommandir.step_log import StepLog
from kommandir.xn import exitfile
from kommandir.xn.reading import Item
from kommandir.xn.request import StepResult
from kommandir.xn.surroundings import Surroundings

#: Options of ``ansible-playbook`` that keys of an item give.
_OPTIONS = {"tags": "--tags", "skip_tags": "--skip-tags"}


def run_playbook(item: Item, surroundings: Surroundings) -> StepResult:
    """Run the playbook, from its own directory, and wait for it.

    Raises UsageError where there is no such playbook or a file of the item can't be written, KommandirError where the
    workspace can't.
    """
    playbook = _existing(item, surroundings)
    environment = environment_of(item, surroundings)
    exitfile.begin(item, surroundings)
    with surroundings.log(item) as log, _listener(item, surroundings) as listener, _private(surroundings) as private:
        run = PlaybookRun(
            step=surroundings.step(item),
            context=surroundings.request.context,
            playbook=playbook,
            arguments=arguments(item, surroundings, written=_own_variables_written(private, surroundings)),
            environment=environment,
            workspace=surroundings.workspace,
            private=private,
            deadline=surroundings.request.deadline,
            cancellation=surroundings.request.cancellation,
            events=surroundings.request.events,
            log=log,
            zygotes=surroundings.zygotes,
            listener=listener,
        )
        log.write(f"$ ansible-playbook {' '.join([*run.arguments, str(playbook)])}")
        return exitfile.end(item, surroundings, _judged(running.run(run), run, log))


@contextlib.contextmanager
def _private(surroundings: Surroundings) -> Iterator[Path]:
    """A directory for what is short-lived; what can't be written there is the kommandir's failure."""
    try:
        with directory(surroundings.workspace / "private") as private:
            yield private
    except OSError as error:
        raise KommandirError(
            f"{error.filename or surroundings.workspace / 'private'} can't be written: {error.strerror or error}",
            hint="look for a full disk or a read-only workspace",
        ) from error


def _existing(item: Item, surroundings: Surroundings) -> Path:
    playbook = surroundings.file(item, "filepath")
    if playbook is None or not playbook.is_file():
        raise UsageError(
            f"{item.place}: there is no playbook {playbook}",
            hint=f"put it there, or mend `filepath`; it reads `{item.keys['filepath']}`",
        )
    return playbook


def environment_of(item: Item, surroundings: Surroundings) -> dict[str, str]:
    """The environment of ``ansible-playbook``: as that of commands, with the configuration that holds."""
    found = surroundings.environment()
    config = surroundings.file(item, "config")
    default = surroundings.workspace / "ansible.cfg"
    if config is not None:
        if not config.is_file():  # Ansible would go on without a word
            raise UsageError(f"{item.place}: there is no configuration {config}", hint="put it there, or mend `config`")
        found["ANSIBLE_CONFIG"] = str(config)
    elif not found.get("ANSIBLE_CONFIG") and default.is_file():
        found["ANSIBLE_CONFIG"] = str(default)
    return {**found, **strategy.environment(surroundings.workspace, found)}


def arguments(item: Item, surroundings: Surroundings, *, written: Path) -> list[str]:
    """Everything between ``ansible-playbook`` and the playbook; ``written`` is the file of our own variables.

    Later extra variables win over earlier ones: the item's, then ours, then those of the command line.
    """
    request = surroundings.request
    found: list[str] = []
    if inventory := surroundings.file(item, "inventory"):
        found += ["--inventory", str(inventory)]
    varsfile = surroundings.file(item, "varsfile")
    if varsfile is not None and varsfile.is_file():
        surroundings.note_secrets(varsfile)
        found += ["--extra-vars", f"@{varsfile}"]
    found += ["--extra-vars", f"@{written}"]
    if limit := request.limit or surroundings.text(item, "limit"):
        found += ["--limit", limit]
    for key, option in _OPTIONS.items():
        if value := surroundings.text(item, key):
            found += [option, value]
    if request.verbosity:
        found.append("-" + "v" * request.verbosity)
    found += [argument for argument in request.optional if argument.strip()]
    if request.extra_vars is not None:
        found += ["--extra-vars", f"@{request.extra_vars}"]
    return found


def own_variables(surroundings: Surroundings) -> dict[str, str]:
    """The extra variables that every playbook gets."""
    values = surroundings.values()
    own = {
        "workspace": str(surroundings.workspace),
        "adept_context": surroundings.request.context,
        "adept_path": values["ADEPT_PATH"],
        "adept_optional": values["ADEPT_OPTIONAL"],
    }
    return {name: value for name, value in own.items() if value}


def _own_variables_written(private: Path, surroundings: Surroundings) -> Path:
    """They go through a file, as further arguments may hold secrets."""
    path = private / "adept_variables.json"
    atomic.write(path, json.dumps(own_variables(surroundings)), mode=0o600, durable=False)
    return path


@contextlib.contextmanager
def _listener(item: Item, surroundings: Surroundings) -> Iterator[Callable[[str, bool], None] | None]:
    """Copies Ansible's text into ``stdoutfile``, its warnings and errors into ``stderrfile``; None without either."""
    paths = [surroundings.output_file(item, key) for key in ("stdoutfile", "stderrfile")]
    if paths == [None, None]:
        yield None
        return
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(exitfile.opened(item, path)) if path else None for path in paths]
        yield lambda text, warning: _copied(text, warning, *files, surroundings=surroundings)


def _copied(
    text: str, warning: bool, stdout: IO[bytes] | None, stderr: IO[bytes] | None, *, surroundings: Surroundings
) -> None:
    target = stderr if warning and stderr else stdout
    if target:
        target.write(surroundings.redactor.text(text).encode(errors="replace") + b"\n")


def _judged(result: PlaybookResult, run: PlaybookRun, log: StepLog) -> StepResult:
    failures = result.failures
    if result.stopped:
        failures = (_stop_failure(result, run), *failures)
    return StepResult(
        exit_code=_exit_code(result),
        outcome=result.outcome,
        failures=failures,
        log=log.name,
        stopped=result.stopped,
    )


def _exit_code(result: PlaybookResult) -> int:
    if result.stopped:
        return int(result.outcome)
    return 128 - result.code if result.code < 0 else result.code


def _stop_failure(result: PlaybookResult, run: PlaybookRun) -> Failure:
    if result.outcome == ExitCode.TIMED_OUT:
        message = f"{run.playbook.name} was stopped: it took longer than {run.deadline.given:g} s"
    else:
        message = f"{run.playbook.name} was stopped by a signal"
    return Failure(step=run.step, message=message, log=run.log.name)
