"""The user's variables completed, and those of the kommandir merged from them and the job's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exekutir.variables.checking import extra_document, mistakes_in, uuid_mistakes
from exekutir.variables.command_line import PLACE
from exekutir.variables.kinds import is_empty
from exekutir.variables.schema import of_exekutir_alone, passes
from kommandir import content
from kommandir.journal import FILE_NAME, Journal
from kommandir.mistakes import Mistake, demand_none
from kommandir.yamlfile import Document


def completed(user: Document, extra: Mapping[str, Any], *, job: Path | None, workspace: Path) -> dict[str, Any]:
    """The variables of the exekutir: those of ``user`` (``exekutir_vars.yml``), ``extra`` (``-e``) on top, and what
    was missing among ``uuid``, ``job_path`` (absolute) and ``job_name``.

    ``job`` is what ``--job`` names: a folder or a bundled job; it wins over the file, and ``-e job_path`` over both.
    ``uuid`` is that of the workspace's journal once there is one. Defaults of other variables are not put in, since
    what stands in the file outranks the job's own variables; ``schema.value`` has them.

    Raises MistakesError with everything that is wrong: types, near misses of known names, an invalid or changed
    ``uuid``, a job that is not there.
    """
    given = extra_document(extra)
    variables = {**user.value, **extra}
    mistakes = [mistake for document in (user, given) for mistake in mistakes_in(document)]
    mistakes += _completed_uuid(variables, user, given, workspace)
    mistakes += _completed_job(variables, user, given, job, workspace)
    if mistakes:
        demand_none(_all(mistakes, variables, extra, workspace))
    return variables


def _all(
    mistakes: list[Mistake], variables: Mapping[str, Any], extra: Mapping[str, Any], workspace: Path
) -> list[Mistake]:
    """These mistakes and all others of the job, so that nobody has to mend one to see the next."""
    from exekutir.variables import validation

    path = variables.get("job_path")
    if isinstance(path, str) and Path(path).is_dir():
        mistakes = [*mistakes, *validation.validate(Path(path), workspace=workspace, extra=extra)]
    return validation.in_order(mistakes)


def kommandir_variables(
    job_vars: Mapping[str, Any], exekutir_vars: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The kommandir's variables: the job's, over them those of the exekutir that pass, over all ``-e``.

    A value of the exekutir that is null is not set and forces nothing. Variables that mean something on the exekutir
    alone are left out, whoever sets them. Values are passed on as they are, vault and unsafe ones too.
    """
    merged = {name: value for name, value in job_vars.items() if not of_exekutir_alone(name)}
    merged |= {name: value for name, value in exekutir_vars.items() if passes(name) and value is not None}
    merged |= {name: value for name, value in extra.items() if not of_exekutir_alone(name)}
    return merged


def made_uuid() -> str:
    """A new one; the letter first makes it valid as a name, and keeps YAML from reading a number."""
    return "x" + os.urandom(4).hex()


def _completed_uuid(variables: dict[str, Any], user: Document, given: Document, workspace: Path) -> Iterator[Mistake]:
    wrong = [mistake for document in (user, given) for mistake in uuid_mistakes(document)]
    yield from wrong
    known = _journalled_uuid(workspace)
    asked = variables.get("uuid")
    if is_empty(asked):
        variables["uuid"] = known or made_uuid()
    elif known and asked != known and not wrong:
        place = PLACE if "uuid" in given.value else user.place("uuid")
        hint = f"set it back to {known}, or use a new workspace; `exekutir cleanup` releases what that job has"
        yield Mistake(place, f"`uuid` never changes: this workspace belongs to the job {known}, not {asked}", hint)


def _journalled_uuid(workspace: Path) -> str | None:
    for entry in Journal(workspace / FILE_NAME).entries():
        if entry.data.get("uuid"):
            return str(entry.data["uuid"])
    return None


def _completed_job(
    variables: dict[str, Any], user: Document, given: Document, job: Path | None, workspace: Path
) -> Iterator[Mistake]:
    place, named, base = _asked_job(user, given, job)
    if is_empty(named):
        hint = "name it with --job, or with the variable job_path in exekutir_vars.yml; `exekutir init` makes one"
        yield Mistake(place, "no job is named", hint)
        return
    if not isinstance(named, str | Path):
        return  # its type is a mistake already
    found = found_job(str(named), base)
    if found is None and not (workspace / "kommandir_workspace" / "job.xn").exists():
        yield missing_job(str(named), base, place)
    variables["job_path"] = str(found or (base / named).absolute())
    if is_empty(variables.get("job_name")):
        variables["job_name"] = Path(variables["job_path"]).name


def _asked_job(user: Document, given: Document, job: Path | None) -> tuple[str, Any, Path]:
    """Where the job is named, the name, and the folder at which a relative one starts."""
    if not is_empty(given.value.get("job_path")):
        return PLACE, given.value["job_path"], Path.cwd()
    if job is not None:
        return "--job", job, Path.cwd()
    return user.place("job_path"), user.value.get("job_path"), Path(user.source).absolute().parent


def found_job(name: str, base: Path) -> Path | None:
    """The folder of a job: one below ``base``, else a bundled job of that name; None where there is neither."""
    folder = (base / Path(name).expanduser()).absolute()
    return folder.resolve() if folder.is_dir() else content.bundled_job(name)


def missing_job(name: str, base: Path, place: str) -> Mistake:
    """What is wrong with a job that ``found_job`` does not find."""
    from kommandir.yamlfile import did_you_mean

    if (base / Path(name).expanduser()).exists():
        return Mistake(place, f"the job {name} is a file, not a folder", "name the folder in which it lies")
    bundled = content.bundled_jobs() if content.jobs().is_dir() else []
    hint = f"bundled jobs: {', '.join(bundled)}" if bundled else ""
    return Mistake(place, f"there is no job {name}{did_you_mean(name, bundled)}", hint)
