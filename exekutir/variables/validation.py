"""Every mistake of a job at once, each with its file and line. Imports no Ansible, since every ``setup`` starts so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exekutir.variables import job_content, playbooks
from exekutir.variables.checking import extra_document, mistakes_in, uuid_mistakes
from exekutir.variables.completion import found_job, missing_job
from exekutir.variables.job_content import KOMMANDIR_VARS, JobContent
from exekutir.variables.overlay import Overlay
from exekutir.variables.peons import peon_mistakes
from exekutir.variables.sources import EXEKUTIR_VARS, Variables
from exekutir.variables.transition_file import transition_mistakes
from exekutir.variables.variable_files import as_mistake
from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.mistakes import Mistake
from kommandir.yamlfile import Document

_YAML = (".yml", ".yaml")
#: What shows that a folder is meant as a job.
_SIGNS = ("inventory", "roles", "playbooks", "group_vars", "host_vars")


def validate(job: Path, *, workspace: Path | None, extra: Mapping[str, Any]) -> list[Mistake]:
    """Everything that is wrong with a job (a folder, or the name of a bundled one), sorted by place.

    ``workspace`` is the exekutir's, for its ``exekutir_vars.yml``; ``extra`` are the variables of ``-e``. Changes
    nothing, runs nothing of the job.
    """
    folder = found_job(str(job), Path.cwd())
    if folder is None:
        return [missing_job(str(job), Path.cwd(), "the job")]
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        return [Mistake(str(folder), f"the job can't be read: {error.strerror}")]
    if not any(name in _SIGNS or name.endswith((".xn", *_YAML)) for name in names):
        hint = "`exekutir init` makes a job that works"
        return [Mistake(str(folder), "holds nothing of a job: no playbook, no job.xn, no inventory", hint)]
    content = job_content.of_job(folder)
    found = [*_of_variables(content, workspace, extra), *_of_files(folder, content), *transition_mistakes(content)]
    found += content.reader.mistakes
    return in_order(found)


def in_order(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Each mistake once, sorted by file and line."""
    return sorted(dict.fromkeys(mistakes), key=_by_place)


def _by_place(mistake: Mistake) -> tuple[str, int, str]:
    file, _, line = mistake.place.partition(":")
    return file, int(number) if (number := line.split(":")[0]).isdigit() else 0, mistake.message


def _of_variables(content: JobContent, workspace: Path | None, extra: Mapping[str, Any]) -> Iterator[Mistake]:
    given = extra_document(extra)
    user, broken = _exekutir_vars(workspace)
    yield from broken
    own = content.kommandir_vars
    yield from mistakes_in(own, uses=content.uses, of_job=True)
    if own.source in content.reader.encrypted:
        hint = "encrypt single values: ansible-vault encrypt_string"
        yield Mistake(own.place(), "is encrypted as a whole, but exekutir has to merge it", hint)
    for document in (user, given):
        yield from uuid_mistakes(document)
    yield from mistakes_in(given, uses=content.uses)
    known = frozenset(own.value)
    yield from mistakes_in(user, uses=lambda name: name in known or content.uses(name), known_only=True)
    yield from content.inventory.mistakes
    for folder in ("group_vars", "host_vars"):
        yield from _of_folder(content, folder)
    yield from peon_mistakes(Variables(extra, user, content), content)


def _exekutir_vars(workspace: Path | None) -> tuple[Document, list[Mistake]]:
    path = workspace / EXEKUTIR_VARS if workspace else Path(EXEKUTIR_VARS)
    try:
        if workspace and path.exists():
            return yamlfile.mapping(path), []
    except UsageError as error:
        return Document({}, str(path)), [as_mistake(error, path)]
    return Document({}, str(path)), []


def _of_folder(content: JobContent, folder: str) -> Iterator[Mistake]:
    """What is wrong with the job's own files of variables of groups or hosts."""
    own = str(content.folder) + os.sep
    for name in dict.fromkeys(content.entities(folder)):
        for read in (content.variable_files, content.adjacent_files):
            for document in read(folder, name):
                if document.source.startswith(own):
                    yield from mistakes_in(document, uses=content.uses, of_job=True)


def _of_files(folder: Path, content: JobContent) -> Iterator[Mistake]:
    """What is wrong with the playbooks, the other YAML files and the providers of a job."""
    own = Overlay((folder,))
    for name, path in own.top.items():
        if path.is_symlink() and not path.exists():
            yield Mistake(str(path), f"leads nowhere: there is no {path.readlink()}", "remove the link, or mend it")
        if path.is_file() and path.suffix in _YAML and name != KOMMANDIR_VARS:
            is_playbook = name in playbooks.DEFAULTS
            yield from playbooks.mistakes(path, content.overlay) if is_playbook else playbooks.yaml_mistakes(path)
    for way, path in own.files("playbooks").items():
        if path.suffix in _YAML and "/" not in way:
            yield from playbooks.mistakes(path, content.overlay)
    for way, path in own.files("roles").items():
        if path.suffix in _YAML and way.split("/")[1:2] != ["files"] and "/templates/" not in way:
            yield from playbooks.yaml_mistakes(path)
    for path in own.files("providers").values():
        if not path.suffix and not os.access(path, os.X_OK):
            yield Mistake(str(path), "this provider is not executable", f"chmod +x {path}")
