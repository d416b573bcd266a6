"""The command ``kommandir``: what runs on the control host, to be used by hand too."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kommandir.detached.commands import group as job_group
from kommandir.ending import ended as _ended
from kommandir.version import __version__

if TYPE_CHECKING:
    from kommandir.events import EventStream
    from kommandir.xn import XnResult

_PASSES_OPTIONS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


#: Seconds in which the peons of a job must be gone.
RELEASE_LIMIT = 600.0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="kommandir %(version)s")
def main() -> None:
    """Run job.xn and drive peons, on this host and from a workspace that exists already."""


@main.command(context_settings=_PASSES_OPTIONS_ON)
@click.option("-v", "--verbose", "verbosity", count=True, help="Say more; up to -vvvv, as Ansible has it.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Give up after this time.")
@click.argument("context")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.argument("file")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def xn(context: str, workspace: Path, file: str, arguments: tuple[str, ...], **values: Any) -> None:
    """Run one xn FILE (- for standard input) for CONTEXT in WORKSPACE; ARGUMENTS go to every command and playbook.

    The exit code is that of the first item that fails.
    """
    _ended(lambda: run_file(context, workspace, file, arguments, **values))


@main.command()
@click.option("-v", "--verbose", "verbosity", count=True, help="Say more; up to -vvvv, as Ansible has it.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Give up after this time.")
@click.argument("context")
@click.argument("workspace", type=click.Path(path_type=Path))
def run(context: str, workspace: Path, verbosity: int, timeout: float | None) -> None:
    """Run the job.xn of a kommandir's WORKSPACE for CONTEXT.

    Where an earlier call for CONTEXT was killed, it goes on there. The exit code says whose fault it was, as that of
    `exekutir` does.
    """

    def work() -> int:
        from kommandir import xn as job

        try:
            result = _performed(
                context, workspace, str(workspace / "job.xn"), (), verbosity=verbosity, timeout=timeout, durable=True
            )
        finally:
            job.closed(workspace)
        return int(result.outcome)

    _ended(work)


@main.command()
@click.option("--keep-until", type=int, metavar="EPOCH", help="Keep the peons, their leases renewed until then.")
@click.argument("workspace", type=click.Path(path_type=Path))
def release(workspace: Path, keep_until: int | None) -> None:
    """Destroy every peon that the journal of a kommandir's WORKSPACE knows of.

    Prints events as JSON lines; the last line names those left over.
    """
    _ended(lambda: _released(_existing(workspace), keep_until))


@main.command(context_settings=_PASSES_OPTIONS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def rootfs(arguments: tuple[str, ...]) -> None:
    """Build the root filesystem of peons or kommandirs, or say where it lies."""
    from kommandir import rootfs as building

    _ended(lambda: building.main(list(arguments)))


@main.command(context_settings=_PASSES_OPTIONS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def image(arguments: tuple[str, ...]) -> None:
    """Build the image of virtual machines, or say where it lies."""
    from kommandir import image as building

    _ended(lambda: building.main(list(arguments)))


@main.command(context_settings=_PASSES_OPTIONS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def host(arguments: tuple[str, ...]) -> None:
    """Make and remove the users of jobs on this kommandir, fill its caches, clean it up; for root."""
    from kommandir.hosting import command

    _ended(lambda: command.main(list(arguments)))


@main.group()
def provider() -> None:
    """Look at the providers of peons, or call one."""


main.add_command(job_group)

_OF_WORKSPACE = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path),
    help="A workspace or job whose own providers are looked for too.",
)


@provider.command("list")
@_OF_WORKSPACE
def list_providers(workspace: Path | None) -> None:
    """Show all providers, and why one does not work here."""
    from kommandir.providers import registry

    def work() -> int:
        for info in registry.available_providers(workspace):
            state = "works here" if info.available else f"not here: {info.why}"
            click.echo(f"{info.name:<12} {info.summary}\n{'':<12} {state}")
        return 0

    _ended(work)


@provider.command()
@_OF_WORKSPACE
@click.argument("name")
def describe(name: str, workspace: Path | None) -> None:
    """Print what a provider says about itself, its options above all, as YAML."""
    from kommandir import yamlfile
    from kommandir.providers import registry

    def work() -> int:
        click.echo(
            yamlfile.dump(registry.parsed(name, registry.called(name, "describe", workspace=workspace))), nl=False
        )
        return 0

    _ended(work)


@provider.command("call", context_settings=_PASSES_OPTIONS_ON)
@_OF_WORKSPACE
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def call_provider(name: str, arguments: tuple[str, ...], workspace: Path | None) -> None:
    """Call a provider: create, destroy, reboot, renew or list, with its options."""
    import os

    from kommandir.providers import registry

    def work() -> int:
        command = registry.provider_executable(name, workspace)
        sys.stdout.flush()
        os.execv(command[0], [*command, *arguments])  # noqa: S606 -- there is no shell that could misread words

    _ended(work)


def run_file(
    context: str,
    workspace: Path,
    file: str,
    arguments: Sequence[str],
    *,
    verbosity: int = 0,
    timeout: float | None = None,
) -> int:
    """Run one xn file by itself, ``-`` from standard input; the exit code of its first failing item comes back.

    Raises UsageError (MistakesError) when file, context or workspace are not to be had.
    """
    return _performed(context, workspace, file, arguments, verbosity=verbosity, timeout=timeout).exit_code


def _performed(
    context: str,
    workspace: Path,
    file: str,
    arguments: Sequence[str],
    *,
    verbosity: int,
    timeout: float | None,
    durable: bool = False,
) -> XnResult:
    from kommandir import xn as job
    from kommandir.cancellation import Cancellation
    from kommandir.deadline import Deadline

    workspace = _existing(workspace)
    variables = _variables(workspace)
    cancellation = Cancellation()
    with cancellation.handling_signals():
        result = job.run(
            job.XnRequest(
                context=context,
                workspace=workspace,
                file=None if file == "-" else _found(file, workspace),
                text=sys.stdin.read() if file == "-" else None,
                optional=tuple(arguments),
                uuid=str(variables.get("uuid") or ""),
                environment_pass=tuple(map(str, variables.get("environment_pass") or ())),
                verbosity=verbosity,
                deadline=Deadline.after(timeout),
                cancellation=cancellation,
                events=_events(workspace, variables, context),
                durable=durable,
            )
        )
    _failures_told(result, workspace)
    return result


def _released(workspace: Path, keep_until: int | None) -> int:
    import json

    from kommandir import releasing
    from kommandir.cancellation import Cancellation
    from kommandir.deadline import Deadline
    from kommandir.errors import ExitCode
    from kommandir.events import EventStream
    from kommandir.redaction import Redactor, secret_values

    variables = _variables(workspace)
    cancellation = Cancellation()
    events = EventStream(None, Redactor(secret_values(variables)), "cleanup")
    events.subscribe(lambda event: print(json.dumps(event, default=str), flush=True))
    with cancellation.handling_signals():
        left = releasing.released(
            workspace,
            keep_until,
            deadline=Deadline.after(RELEASE_LIMIT),
            cancellation=cancellation,
            events=events,
            uuid=str(variables.get("uuid") or ""),
        )
    print(json.dumps({"left": [peon.name for peon in left]}), flush=True)
    return int(ExitCode.LEFT_BEHIND if left else ExitCode.GOOD)


def _existing(workspace: Path) -> Path:
    from kommandir.errors import UsageError

    if not workspace.is_dir():
        raise UsageError(f"{workspace}: there is no such workspace", hint="name a directory that exists")
    return workspace.resolve()


def _found(file: str, workspace: Path) -> Path:
    """The file from here, else from the workspace: ADEPT's own nested calls name it either way."""
    here = Path(file)
    if not here.exists() and (workspace / file).exists():
        return workspace / file
    return here.absolute()


def _variables(workspace: Path) -> dict[str, Any]:
    """The variables of the job that a workspace belongs to; none where it belongs to none."""
    from kommandir import yamlfile
    from kommandir.errors import UsageError

    for name in ("kommandir_vars.yml", "exekutir_vars.yml"):
        path = workspace / name
        with contextlib.suppress(UsageError):  # a file by itself runs without them too
            if path.exists():
                return dict(yamlfile.mapping(path).value)
    return {}


def _events(workspace: Path, variables: dict[str, Any], context: str) -> EventStream:
    import os

    from kommandir import events
    from kommandir.presenter import Presenter
    from kommandir.redaction import Redactor, secret_values

    path = events.place(workspace / "results", os.environ)
    stream = events.EventStream(path, Redactor(secret_values(variables)), context)
    stream.subscribe(Presenter(sys.stdout, sys.stderr))
    return stream


def _failures_told(result: XnResult, workspace: Path) -> None:
    for failure in result.failures:
        where = " / ".join(filter(None, [failure.host, failure.role, failure.task])) or failure.step
        lines = [f"failed: {where}", *(f"    {line}" for line in failure.message.splitlines())]
        if failure.log:
            lines.append(f"  all of it: {workspace / failure.log}")
        click.echo("\n".join(lines), err=True)


if __name__ == "__main__":
    main()
