"""What would be done, and what is wrong, without doing anything: ``--check``, ``validate`` and ``explain``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from exekutir import kommandirs
from exekutir.options import Options
from exekutir.workspace import Workspace
from kommandir import yamlfile
from kommandir.errors import ExitCode, UsageError
from kommandir.mistakes import demand_none


def validated(options: Options, screen: TextIO) -> int:
    """Check a job and print every mistake at once; good where there is none, else the user's mistake."""
    from exekutir.variables import parse_extra, validation

    place = Workspace(options.workspace.absolute()) if options.workspace else None
    job = job_asked(options, place)
    mistakes = validation.validate(job, workspace=place.path if place else None, extra=parse_extra(options.extra))
    if options.format == "json":
        found = [{"place": item.place, "message": item.message, "hint": item.hint} for item in mistakes]
        print(json.dumps({"job": str(job), "mistakes": found}, indent=2), file=screen)
        return int(ExitCode.USAGE if mistakes else ExitCode.GOOD)
    demand_none(mistakes)
    print(f"{job}: no mistakes", file=screen)
    return int(ExitCode.GOOD)


def explained(options: Options, variable: str, host: str | None, screen: TextIO, *, render: bool = False) -> int:
    """Print the value of a variable and every place that sets it, the winner first."""
    from exekutir.variables import explanation, parse_extra

    place = Workspace(options.workspace.absolute()) if options.workspace else None
    extra = {**(_kept_extra(place) if place else {}), **parse_extra(options.extra)}
    told = explanation.explain(
        variable,
        workspace=place.path if place else None,
        job=job_asked(options, place) if options.job or place else None,
        extra=extra,
        host=host,
        render=render,
    )
    if options.format == "json":
        print(json.dumps(asdict(told), indent=2, default=str), file=screen)
    else:
        print("\n".join(told.lines()), file=screen)
    return int(ExitCode.GOOD)


def shown(context: str, options: Options, place: Workspace, screen: TextIO) -> int:
    """Validate, and print what ``context`` would do; raises MistakesError for what is wrong."""
    from exekutir.variables import completed, parse_extra, validation

    extra = {**_kept_extra(place), **parse_extra(options.extra)}
    user = _document(place.exekutir_vars)
    job = job_asked(options, place)
    demand_none(validation.validate(job, workspace=place.path, extra=extra))
    variables = completed(user, extra, job=Path(options.job) if options.job else None, workspace=place.path)
    print(f"exekutir {context} --check: nothing was done; it would", file=screen)
    for line in _plan(context, variables, place):
        print(f"  {line}", file=screen)
    for line in _items(_job_xn(job), context):
        print(f"  {line}", file=screen)
    return int(ExitCode.GOOD)


def _plan(context: str, variables: Mapping[str, Any], place: Workspace) -> list[str]:
    groups = ", ".join(map(str, variables.get("kommandir_groups") or [kommandirs.NOCLOUD]))
    lines = [f"use the kommandir of [{groups}] for job {variables['job_name']} ({variables['uuid']})"]
    if context == "setup":
        lines.insert(0, f"lay out the workspace {place.path} from {variables['job_path']}")
    if context == "cleanup":
        alive = [peon.name for peon in place.peon_journal.peons().values() if peon.may_exist]
        lines.append(f"destroy the peons {', '.join(alive)}" if alive else "find no peon of the journal to destroy")
    return lines


def job_asked(options: Options, place: Workspace | None) -> Path:
    """The folder of the job: ``-j``, else that of the workspace's variables; raises UsageError where none is named."""
    from kommandir import content

    if options.job:
        named = Path(options.job)
        bundled = content.bundled_job(options.job)
        return bundled if bundled and not named.exists() else named.absolute()
    if place:
        known = _document(place.exekutir_vars).value.get("job_path")
        if known:
            return Path(str(known))
    raise UsageError("no job was named", hint="give -j PATH, the name of a bundled job, or make one: exekutir init DIR")


def _items(job_xn: Path, context: str) -> list[str]:
    """What ``job.xn`` holds for a context, a line an item."""
    from kommandir.xn.reading import read

    items = [item for item in read(job_xn, None, context=context).items if item.is_for(context)]
    return [f"run {item.description} ({item.place})" for item in items] or [
        f"run nothing: {job_xn} has no item for {context}"
    ]


def _job_xn(job: Path) -> Path:
    from kommandir import content

    own = job / "job.xn"
    return own if own.exists() else content.playbooks() / "job.xn"


def _document(path: Path) -> yamlfile.Document:
    return yamlfile.mapping(path) if path.exists() else yamlfile.Document({}, str(path))


def _kept_extra(place: Workspace) -> dict[str, Any]:
    return dict(_document(place.extra_vars).value)
