"""What a variable is and who says so: the answer to ``exekutir explain``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exekutir.variables import job_content
from exekutir.variables.command_line import PLACE
from exekutir.variables.completion import found_job, missing_job
from exekutir.variables.job_content import JobContent
from exekutir.variables.schema import KNOWN, Variable
from exekutir.variables.sources import EXEKUTIR, EXEKUTIR_VARS, Source, Variables
from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.mistakes import MistakesError, demand_none
from kommandir.redaction import MARK, Redactor, is_secret_name, secret_values
from kommandir.yamlfile import Document, VaultValue, did_you_mean


@dataclass(frozen=True, slots=True)
class Explanation:
    """A variable's value and every place that sets it. Secrets in it are replaced by ``[redacted]``."""

    name: str
    #: None for all hosts at once.
    host: str | None
    #: As it is written, templates and all; None where nothing sets it.
    value: Any
    #: The winner first; those that don't count come last and say why.
    sources: tuple[Source, ...]
    #: What the schema says of it; None for a variable of the job's own.
    known: Variable | None
    #: What the templates of the value evaluate to, where that was asked for and Ansible could tell.
    rendered: Any = None
    #: Why they could not be evaluated.
    not_rendered: str = ""

    def lines(self) -> Iterator[str]:
        """The explanation for a person."""
        shown = yamlfile.dump(self.value).removesuffix("\n").removesuffix("\n...")
        block = "\n" in shown or isinstance(self.value, dict | list)
        of_host = f" on {self.host}" if self.host else ""
        if not any(source.counts for source in self.sources):
            some = any(source.scope for source in self.sources)
            yield f"{self.name}{of_host}: " + ("not the same on all hosts; name one with --host" if some else "not set")
        else:
            yield f"{self.name}{of_host}:" + ("" if block else f" {shown}")
            yield from (f"    {line}" for line in shown.splitlines() if block)
        if self.rendered is not None:
            yield f"  evaluates to: {self.rendered}"
        if self.not_rendered:
            yield f"  can't be evaluated: {self.not_rendered}"
        if self.known is not None:
            yield f"  {self.known.meaning}"
        for source in self.sources:
            yield f"  {_mark(source, self.sources)} {source.place}  {_detail(source)}"


def explain(
    name: str,
    *,
    workspace: Path | None,
    job: Path | None,
    extra: Mapping[str, Any],
    host: str | None,
    render: bool = False,
) -> Explanation:
    """Explain a variable for a host of the job's inventory, for ``exekutir``, or (None) for all hosts at once.

    ``workspace`` is the exekutir's, if there is one: then the inventory is what ``setup`` laid there, else the job's
    over the defaults. ``job`` is a folder or the name of a bundled job, by default the one of the workspace. ``render``
    also asks Ansible, which takes a second, what templates evaluate to.

    Raises UsageError (MistakesError) for an unknown variable, host or job, and for files that can't be read.
    """
    variables = _variables(workspace, job, extra)
    content = variables.content
    if host is not None and host != EXEKUTIR and content is not None:
        _demand_host(host, content)
    sources = variables.sources(name, host)
    known = KNOWN.get(name)
    if not sources and known is None:
        raise _nothing_sets(name, variables)
    if content is not None:
        demand_none([*content.reader.mistakes, *content.inventory.mistakes])
    winner = next((source for source in sources if source.counts), None)
    explanation = Explanation(name, host, winner.value if winner else None, tuple(sources), known)
    if render:
        from exekutir.variables.rendering import rendered

        explanation = rendered(explanation, workspace)
    return _redacted(explanation, variables)


def _variables(workspace: Path | None, job: Path | None, extra: Mapping[str, Any]) -> Variables:
    path = workspace / EXEKUTIR_VARS if workspace else Path(EXEKUTIR_VARS)
    user = yamlfile.mapping(path) if workspace and path.exists() else Document({}, str(path))
    named, base = _named_job(user, extra, job)
    folder = found_job(str(named), base) if named else None
    laid = workspace / "kommandir_workspace" if workspace else None
    if laid is not None and (laid / "inventory").is_dir():
        return Variables(extra, user, job_content.of_workspace(laid, folder))
    if named and folder is None:
        raise MistakesError([missing_job(str(named), base, "the job")])
    return Variables(extra, user, job_content.of_job(folder) if folder else None)


def _named_job(user: Document, extra: Mapping[str, Any], job: Path | None) -> tuple[Any, Path]:
    if extra.get("job_path") or job:
        return extra.get("job_path") or job, Path.cwd()
    return user.value.get("job_path"), Path(user.source).absolute().parent


def _demand_host(host: str, content: JobContent) -> None:
    hosts = sorted({*content.inventory.hosts, *content.entities("host_vars"), "kommandir"})
    if host not in hosts and not content.inventory.dynamic:
        hint = f"hosts are {', '.join([*hosts, EXEKUTIR])}"
        raise UsageError(f"there is no host `{host}` in the inventory{did_you_mean(host, hosts)}", hint=hint)


def _nothing_sets(name: str, variables: Variables) -> UsageError:
    names = {*KNOWN, *variables.extra, *variables.exekutir_vars.value}
    if variables.content is not None:
        names |= variables.content.names
    hint = "known variables are in docs/reference/variables.md"
    return UsageError(f"nothing sets or knows a variable `{name}`{did_you_mean(name, names)}", hint=hint)


def _redacted(explanation: Explanation, variables: Variables) -> Explanation:
    documents = [variables.extra, variables.exekutir_vars.value]
    if variables.content is not None:
        documents += [document.value for document in variables.content.reader.documents]
    redactor = Redactor(secret for document in documents for secret in secret_values(document))

    def hide(value: Any) -> Any:
        return redactor.value(_hidden(explanation.name, value))

    return replace(
        explanation,
        value=hide(explanation.value),
        rendered=hide(explanation.rendered),
        not_rendered=redactor.text(explanation.not_rendered),
        sources=tuple(replace(source, value=hide(source.value)) for source in explanation.sources),
    )


def _hidden(name: str, value: Any) -> Any:
    if isinstance(value, VaultValue) or (is_secret_name(name) and value not in (None, "")):
        return MARK
    if isinstance(value, Mapping):
        return {key: _hidden(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", item) for item in value]
    return value


def _mark(source: Source, sources: tuple[Source, ...]) -> str:
    if not source.counts:
        return "-"
    return "*" if source is sources[0] else "|"


def _detail(source: Source) -> str:
    value = yamlfile.dump([source.value]).strip().removeprefix("- ")
    short = value.splitlines()[0] + (" ..." if "\n" in value else "")
    kind = "" if source.place == PLACE else f"[{', '.join(filter(None, (source.level, source.scope)))}] "
    return kind + short[:100] + (f"  (does not count: {source.passed_over})" if source.passed_over else "")
