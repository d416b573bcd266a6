"""One playbook, run to its end through ansible-runner."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kommandir import strays
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExitCode
from kommandir.events import EventStream
from kommandir.failure import Failure
from kommandir.playbook import classification
from kommandir.playbook.configuration import callback_plugins
from kommandir.playbook.translation import Translation
from kommandir.playbook.zygotes import LAUNCHER, Zygotes
from kommandir.step_log import StepLog

#: The variable that names another ``ansible-playbook`` than that of our own interpreter.
EXECUTABLE_VARIABLE = "ANSIBLE_PLAYBOOK"
#: Seconds after which a signal or a deadline is noticed at the latest.
ATTENTION = 0.2

#: What ansible-runner's mechanism needs in the environment; all else that it would set stays out, above all the
#: ANSIBLE_HOST_KEY_CHECKING=False that it adds.
_RUNNERS_OWN = (
    "AWX_ISOLATED_DATA_DIR",
    "ANSIBLE_RETRY_FILES_ENABLED",
    "RUNNER_OMIT_EVENTS",
    "RUNNER_ONLY_FAILED_EVENTS",
)
#: ssh starts a ProxyCommand in this shell, with a socket as standard input; bash would read ~/.bashrc then, for every
#: connection, and whatever that waits for.
_SHELL = "/bin/sh"
_CALLBACKS = Path(__file__).parent / "callbacks"
#: The program that Ansible takes itself for: it looks for others beside it.
_SCRIPT = Path(sys.executable).parent / "ansible-playbook"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRun:
    """What to run and how."""

    #: The step, as events name it.
    step: str
    context: str
    playbook: Path
    #: Everything between ``ansible-playbook`` and the playbook. Nothing secret: other users of this host see it.
    arguments: Sequence[str]
    #: All of it; with the marks of ``strays.marks``.
    environment: Mapping[str, str]
    #: The kommandir's; paths in events are relative to it.
    workspace: Path
    #: A directory of ``private.directory``, for what is short-lived.
    private: Path
    deadline: Deadline
    cancellation: Cancellation
    events: EventStream
    log: StepLog
    #: Start it without Ansible's imports; None: from nothing.
    zygotes: Zygotes | None = None
    #: Gets the text as Ansible prints it, and whether it is a warning or an error.
    listener: Callable[[str, bool], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookResult:
    """What came of it."""

    #: Ansible's exit code; minus the number of a signal that ended it; 254 where we ended it.
    code: int
    outcome: ExitCode
    failures: tuple[Failure, ...] = ()
    #: Whether a deadline or a signal at us ended it.
    stopped: bool = False


def run(request: PlaybookRun) -> PlaybookResult:
    """Run it and say what came of it; nothing of it runs any more then, except what its tasks left running on purpose.

    The deadline or a signal ends it, with all of its processes: then ``stopped`` is true and the outcome that of the
    deadline or the signal. Raises OSError when ansible-runner's files can't be written.
    """
    import pexpect  # type: ignore[import-untyped]  # it has no annotations

    translation = Translation(request.step, request.workspace, request.events, request.log)
    translation.listener = request.listener
    watch = _Watch(request)
    runner = _runner_class()(_config(request), event_handler=translation, cancel_callback=watch)
    try:
        runner.run()
    except pexpect.TIMEOUT:  # something keeps the terminal of an Ansible that ended
        strays.end(request.environment[strays.STEP_TAG])
    except BaseException:
        strays.end(request.environment[strays.STEP_TAG])
        raise
    if watch.stopped:
        return PlaybookResult(code=254, outcome=watch.outcome, failures=tuple(translation.failures), stopped=True)
    if runner.rc is None:  # Ansible was killed, and its workers, which have sessions of their own, were not
        strays.end(request.environment[strays.STEP_TAG])
    return _judged(runner.rc, translation, request)


def _runner_class() -> Any:
    """ansible-runner's Runner, once the whole package is there.

    The package replaces its module ``plugins`` by a mapping at the very end of its import. Who asks for the submodule
    alone, while another thread is importing the package, gets it before that: "'module' object is not iterable".
    """
    import ansible_runner

    return ansible_runner.Runner


def _judged(code: int | None, translation: Translation, request: PlaybookRun) -> PlaybookResult:
    if code == 0:
        return PlaybookResult(code=0, outcome=ExitCode.GOOD)
    if translation.failures:
        outcome = classification.of_failures(translation.failures, request.context)
        return PlaybookResult(code=code or 1, outcome=outcome, failures=tuple(translation.failures))
    if code is None:
        code = -9
    outcome, message = classification.of_breakage(code, list(translation.lines))
    message = request.events.redactor.text(message)
    failure = Failure(step=request.step, message=message, log=request.log.name)
    return PlaybookResult(code=code, outcome=outcome, failures=(failure,))


class _Watch:
    """Asked again and again by ansible-runner whether to stop; then it is we who end all processes, in order."""

    def __init__(self, request: PlaybookRun) -> None:
        self._request = request
        self.stopped = False
        self.outcome = ExitCode.GOOD

    def __call__(self) -> bool:
        if not self.stopped and (self._request.cancellation.requested or self._request.deadline.expired):
            self.stopped = True
            self.outcome = _outcome_of_stop(self._request)
            strays.end(self._request.environment[strays.STEP_TAG])
        return self.stopped


def _outcome_of_stop(request: PlaybookRun) -> ExitCode:
    if not request.cancellation.requested:
        return ExitCode.TIMED_OUT
    return ExitCode.INTERRUPTED if request.cancellation.signal_number == 2 else ExitCode.TERMINATED


def _config(request: PlaybookRun) -> Any:
    from ansible_runner.config.runner import RunnerConfig

    config = RunnerConfig(
        private_data_dir=str(request.private),
        project_dir=str(request.playbook.parent),
        ident="run",
        binary=sys.executable,  # another one comes below
        quiet=True,
        fact_cache_type="",
    )
    config.prepare()
    config.suppress_output_file = True
    config.pexpect_timeout = ATTENTION
    config.env = _environment(config.env, request.environment)
    config.command = [*_program(request, config.env), *request.arguments, str(request.playbook)]
    return config


def _program(request: PlaybookRun, environment: Mapping[str, str]) -> list[str]:
    """What runs the playbook: another one's ``ansible-playbook`` where such is named, a zygote, or the launcher."""
    if request.zygotes is None or environment.get(EXECUTABLE_VARIABLE):
        return executable(environment)
    return request.zygotes.command(environment, request.playbook.parent, _SCRIPT)


def _environment(prepared: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    plugins = prepared["ANSIBLE_CALLBACK_PLUGINS"].rpartition(":")[2]
    return {
        **{name: value for name, value in wanted.items() if name != "ANSIBLE_FORCE_COLOR"},
        **{name: prepared[name] for name in _RUNNERS_OWN},
        "ANSIBLE_CALLBACK_PLUGINS": ":".join([*_callback_plugins_of_the_user(wanted), plugins, str(_CALLBACKS)]),
        "ANSIBLE_STDOUT_CALLBACK": "exekutir_display",
        "ANSIBLE_NOCOLOR": "1",
        "SHELL": _SHELL,
    }


def _callback_plugins_of_the_user(wanted: Mapping[str, str]) -> list[str]:
    named = wanted.get("ANSIBLE_CALLBACK_PLUGINS")
    return [named] if named else callback_plugins(wanted.get("ANSIBLE_CONFIG"))


def executable(environment: Mapping[str, str]) -> list[str]:
    """The ``ansible-playbook`` of our own interpreter, or what the variable ANSIBLE_PLAYBOOK names."""
    if environment.get(EXECUTABLE_VARIABLE):
        return shlex.split(environment[EXECUTABLE_VARIABLE])
    return [sys.executable, "-P", str(LAUNCHER), str(_SCRIPT)]
