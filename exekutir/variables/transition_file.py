"""What is wrong with a job's ``job.xn``, and with the playbooks that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from exekutir.variables import playbooks
from exekutir.variables.job_content import JobContent
from exekutir.variables.kinds import is_empty
from kommandir.mistakes import Mistake
from kommandir.yamlfile import Document, Way, did_you_mean

NAME = "job.xn"
CONTEXTS = ("setup", "run", "cleanup")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def transition_mistakes(content: JobContent) -> Iterator[Mistake]:
    """Everything that is wrong with the ``job.xn`` that holds, the job's or the default one."""
    path = content.overlay.file(NAME)
    if path is None:
        yield Mistake(f"{content.folder}/{NAME}", "is not there", "add a job.xn that says what each context does")
        return
    from kommandir.xn.reading import read

    found = read(path, None)
    yield from found.mistakes
    for document in () if found.mistakes else found.documents:
        for way, playbook, contexts in _playbooks(document.value, (), CONTEXTS):
            yield from _named(content, document, way, playbook, contexts)


def _playbooks(value: Any, way: Way, contexts: tuple[str, ...]) -> Iterator[tuple[Way, str, tuple[str, ...]]]:
    """Way, file and contexts of every ``playbook`` with a ``filepath``, however deep."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _playbooks(item, (*way, index), contexts)
    elif isinstance(value, Mapping):
        own = value.get("contexts")
        its = tuple(map(str, own)) if isinstance(own, list) and own else contexts
        file = value.get("filepath")
        if way and way[-1] == "playbook" and isinstance(file, str):
            yield (*way, "filepath"), file, its
        for key, item in value.items():
            yield from _playbooks(item, (*way, key), its)


def _named(
    content: JobContent, document: Document, way: Way, written: str, contexts: tuple[str, ...]
) -> Iterator[Mistake]:
    for context in contexts:
        name = _replaced(written, context)
        if name is None or PurePosixPath(name).is_absolute() or name.startswith(("../", *playbooks.MADE_LATER)):
            continue
        path = content.overlay.file(name)
        if path is None:
            near = did_you_mean(name, [*content.overlay.top, *playbooks.DEFAULTS])
            if near or not _may_be_made(content, document, way):
                hint = f"add it to the job {content.folder}"
                yield Mistake(document.place(*way), f"there is no playbook {name}{near}", hint)
        elif name not in playbooks.DEFAULTS and content.folder and path.is_relative_to(content.folder):
            yield from playbooks.mistakes(path, content.overlay)


def _may_be_made(content: JobContent, document: Document, way: Way) -> bool:
    """Whether a command of the job runs before the item at ``way``: it may make any file."""
    line = document.line(*way)
    before = any(other and other[-1] == "command" and number < line for other, number in document.lines.items())
    return before or not is_empty(content.kommandir_vars.value.get("extra_kommandir_setup"))


def _replaced(written: str, context: str) -> str | None:
    """The file below the workspace that is meant in a context; None where that is known only when it runs."""
    known = {"WORKSPACE": "", "ADEPT_CONTEXT": context}
    names = {first or second for first, second in _VARIABLE.findall(written)}
    if not names <= known.keys():
        return None
    outside = written.startswith("/")
    name = _VARIABLE.sub(lambda match: known[match[1] or match[2]], written)
    return name if outside else name.lstrip("/")
