"""The command ``exekutir``. What is heavy is imported by the command that needs it: the others start at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from exekutir import options as opt
from exekutir.options import Options
from kommandir.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="exekutir %(version)s")
def main() -> None:
    """Take a job through its contexts on real, throw-away hosts: setup, run, cleanup. Leave nothing behind."""
    _streams_opened()


def _streams_opened() -> None:
    """Whoever closed our streams (``>&-``) wants to see nothing; libraries, and the next open file, need them there."""
    import os

    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _transition(name: str, help_text: str) -> Callable[..., Any]:
    own = (opt.ATTACH,) if name in ("setup", "run") else ()

    @main.command(name, help=help_text)
    @opt.options(*opt.TRANSITION, *own)
    def command(**values: Any) -> None:
        _perform(name, Options(**values))

    return command


_transition("setup", "Make the workspace, find the kommandir, create the peons and prepare them.")
_transition("run", "Run the tests on the peons; needs a good setup.")
_transition("cleanup", "Destroy every peon and release everything, whatever state the job is in.")
_transition(
    "all", "Setup, run, then cleanup whatever happened; the exit code is that of the first thing that went wrong."
)


def _perform(name: str, asked: Options) -> None:
    import io
    import os

    from exekutir import contexts, display

    errors = io.StringIO()  # shown when nothing is drawn any more
    with display.opened(
        asked.format, verbosity=asked.verbosity, stdout=sys.stdout, stderr=sys.stderr, environ=os.environ
    ) as screen:
        perform = contexts.perform_all if name == "all" else _one(name)
        code = perform(asked, screen, errors)
    told = display.Output(sys.stderr)  # survives a reader that goes away, and so does the exit code
    told.write(errors.getvalue())
    told.flush()
    contexts.verdict_shown(name, asked, code)
    sys.exit(code)


def _one(name: str) -> Callable[..., int]:
    from functools import partial

    from exekutir import contexts

    return partial(contexts.perform, name)


@main.command()
@opt.options(opt.WORKSPACE, opt.FORMAT)
def status(**values: Any) -> None:
    """Show contexts done, peons alive, and who holds which lock."""
    from exekutir import status as report

    _ended(lambda: report.shown(Options(**values), sys.stdout))


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@opt.options(opt.WORKSPACE)
@click.argument("peon", shell_complete=lambda context, _parameter, incomplete: _peons(context, incomplete))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def login(peon: str, command: tuple[str, ...], **values: Any) -> None:
    """Open a shell on a peon, or run a command there: one word is a line for its shell, several are a program."""
    from exekutir import login as session

    _ended(lambda: session.opened(Options(**values), peon, command))


@main.command()
@opt.options(opt.WORKSPACE, opt.EXTRA, opt.FORMAT)
@click.argument("job", required=False, envvar="EXEKUTIR_JOB_PATH")
def validate(job: str | None, **values: Any) -> None:
    """Check a job, its variables, its job.xn and its inventory; every mistake is shown with file and line."""
    from exekutir import preview

    _ended(lambda: preview.validated(Options(job=job, **values), sys.stdout))


@main.command()
@opt.options(opt.WORKSPACE, opt.JOB, opt.EXTRA, opt.FORMAT)
@click.option("--host", metavar="H", help="The host for which the variable is looked up.")
@click.option("--render", is_flag=True, help="Also show what Ansible makes of the templates in the value.")
@click.argument("variable", shell_complete=lambda _context, _parameter, incomplete: _variables(incomplete))
def explain(variable: str, host: str | None, render: bool, **values: Any) -> None:
    """Show the value of a variable and every place that sets it, the winner first."""
    from exekutir import preview

    _ended(lambda: preview.explained(Options(**values), variable, host, sys.stdout, render=render))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a new job that works."""
    from exekutir.init import create_job

    def create() -> int:
        for path in create_job(folder):
            click.echo(f"wrote {path}")
        click.echo(f"next: exekutir all -w WORKSPACE -j {folder}")
        return 0

    _ended(create)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@opt.options(opt.VERBOSITY, opt.TIMEOUT)
@click.argument("context")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.argument("file")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def xn(context: str, workspace: Path, file: str, arguments: tuple[str, ...], **values: Any) -> None:
    """Run one xn FILE (- for standard input) for CONTEXT in WORKSPACE; ARGUMENTS go to every command and playbook."""
    from kommandir.cli import run_file

    _ended(lambda: run_file(context, workspace, file, arguments, **values))


@main.command()
@opt.options(opt.CHECK, opt.FORMAT)
def reap(check: bool, **values: Any) -> None:
    """Destroy the hosts that jobs of this user made here and whose lease has ended; nothing else is touched."""
    from exekutir import reaping

    _ended(lambda: reaping.reaped(Options(check=check, **values), sys.stdout))


@main.command()
@click.option("--python", metavar="VERSION", help="Put wheels together for this Python of the kommandir, as in 3.11.")
@click.option("--machine", metavar="KIND", help="Its machine, as `uname -m` there has it; like here.")
@click.option("--libc", metavar="NAME", help="Its C library, as in glibc-2.36 or musl-1.2; like here.")
@click.option("--wheel-cache", type=click.Path(path_type=Path), metavar="DIR", help="Where the wheels are kept.")
@click.option("--rootfs", is_flag=True, help="Also pack the root filesystem of peons, if there is one.")
def toolkit(**values: Any) -> None:
    """Show the release of this exekutir; put together what a kommandir gets of it, wheels and root filesystem."""
    from exekutir.toolkit import report

    _ended(lambda: report.shown(sys.stdout, **values))


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of a shell: `eval "$(exekutir completion bash)"`."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete:
        click.echo(complete(main, {}, "exekutir", "_EXEKUTIR_COMPLETE").source())


def _ended(work: Callable[[], int]) -> None:
    """End the process with the exit code of ``work``; an error of ours is shown for people."""
    from kommandir.errors import ExekutirError, exit_code_of

    try:
        code = work()
    except ExekutirError as error:
        click.echo(f"exekutir: {error}", err=True)
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _peons(context: click.Context, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from exekutir.workspace import Workspace

    place = context.params.get("workspace")
    known = Workspace(Path(place)).peon_journal.peons().values() if place else ()
    return [CompletionItem(peon.name) for peon in known if peon.may_exist and peon.name.startswith(incomplete)]


def _variables(incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from exekutir.variables.schema import KNOWN

    return [CompletionItem(name) for name in KNOWN if name.startswith(incomplete)]


if __name__ == "__main__":
    main()
