"""Every place that sets a variable, the strongest first (docs/explanation/variables.md says why in that order)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from exekutir.variables.checking import extra_document
from exekutir.variables.command_line import PLACE
from exekutir.variables.inventory import ALL, Group, Settings
from exekutir.variables.job_content import KOMMANDIR_VARS, JobContent
from exekutir.variables.kinds import is_empty, is_template
from exekutir.variables.schema import KNOWN, of_exekutir_alone, passes
from kommandir.yamlfile import Document

EXEKUTIR_VARS = "exekutir_vars.yml"
EXEKUTIR = "exekutir"


@dataclass(frozen=True, slots=True)
class Source:
    """One place that sets a variable."""

    value: Any
    #: ``file:line``, or ``-e``, or what else it is.
    place: str
    #: Which step of the precedence: ``-e``, ``exekutir_vars.yml``, ``host_vars``, ``group_vars/web``, ...
    level: str
    #: For whom it holds: empty for all hosts, else ``host NAME``, ``group NAME``, ``role NAME``.
    scope: str = ""
    #: Why it does not count, where it does not.
    passed_over: str = ""

    @property
    def counts(self) -> bool:
        """Whether it takes part: the first that does is the winner."""
        return not self.passed_over


@dataclass(frozen=True, slots=True)
class Variables:
    """All that may set variables: the command line, the two files, and the content of the job."""

    extra: Mapping[str, Any]
    exekutir_vars: Document
    content: JobContent | None

    def sources(self, name: str, host: str | None) -> list[Source]:
        """Every place that sets ``name``, the winner first; those that don't count come last.

        For a ``host`` of the inventory (or ``exekutir``) only what reaches it; without one all places, of which those
        that hold for one host or group only don't count.
        """
        found = list(self._found(name, host))
        return [source for source in found if source.counts] + [source for source in found if not source.counts]

    def winner(self, name: str, host: str | None) -> Source | None:
        """The first of ``sources``, if it counts; weaker places are not even read."""
        return next((source for source in self._found(name, host) if source.counts), None)

    def _found(self, name: str, host: str | None) -> Iterator[Source]:
        if host == EXEKUTIR or (host is None and of_exekutir_alone(name)):
            yield from self._of_exekutir(name)
        else:
            yield from self._forced(name)
            yield from self._of_job(name, host)
        yield from _default(name)

    def _of_exekutir(self, name: str) -> Iterator[Source]:
        yield from _from_document(extra_document(self.extra), name, PLACE)
        yield from _from_document(self.exekutir_vars, name, EXEKUTIR_VARS)
        if self.content is not None:
            reason = "the exekutir does not read the job's variables"
            for source in _from_document(self.content.kommandir_vars, name, KOMMANDIR_VARS):
                yield replace(source, passed_over=reason)

    def _forced(self, name: str) -> Iterator[Source]:
        for source in _from_document(extra_document(self.extra), name, PLACE):
            reason = "it means something on the exekutir alone" if of_exekutir_alone(name) else ""
            yield replace(source, passed_over=reason)
        for source in _from_document(self.exekutir_vars, name, EXEKUTIR_VARS):
            reason = "" if passes(name) else "it does not pass from the exekutir to the kommandir"
            yield replace(source, passed_over=reason or ("null: not set" if source.value is None else ""))

    def _of_job(self, name: str, host: str | None) -> Iterator[Source]:
        if self.content is None:
            return
        if of_exekutir_alone(name):
            for source in _from_document(self.content.kommandir_vars, name, KOMMANDIR_VARS):
                yield replace(source, passed_over="it means something on the exekutir alone")
        else:
            yield from self._of_kommandir_vars(name, self.content)
        if host is None:
            yield from self._everywhere(name, self.content)
        else:
            yield from self._on_host(name, host, self.content)
        yield from _of_roles(name, self.content)

    def _of_kommandir_vars(self, name: str, content: JobContent) -> Iterator[Source]:
        """The job's own file or, where that has changed since, the copy that the last ``setup`` made of it."""
        laid, own = content.laid_vars, content.kommandir_vars.value
        forced = self.exekutir_vars.value.get(name) if passes(name) else None
        copy = laid.value if laid else own
        if laid and name in copy and copy[name] not in ([own[name]] if name in own else []) and copy[name] != forced:
            yield from _from_document(laid, name, KOMMANDIR_VARS)
        for source in _from_document(content.kommandir_vars, name, KOMMANDIR_VARS):
            stale = name not in copy or copy[name] not in (own[name], forced)
            yield replace(source, passed_over="the last setup was before it" if stale else "")

    def _on_host(self, name: str, host: str, content: JobContent) -> Iterator[Source]:
        yield from _host_sources(name, host, content)
        groups = content.inventory.groups_of(host, () if name == "peon_groups" else self.joined(host))
        yield from _group_sources(name, groups, content, certain=True)

    def _everywhere(self, name: str, content: JobContent) -> Iterator[Source]:
        names = {*content.inventory.hosts, *content.entities("host_vars")}
        for host in sorted(names):
            for source in _host_sources(name, host, content):
                yield replace(source, passed_over=f"it holds on host {host} alone")
        groups = [content.inventory.groups.get(group) or Group(group) for group in sorted(content.groups)]
        yield from _group_sources(name, groups, content, certain=False)

    def joined(self, host: str) -> tuple[str, ...]:
        """The groups that a host joins at run time, by its ``peon_groups``; none where only Ansible knows them."""
        source = self.winner("peon_groups", host)
        value = [] if source is None or is_empty(source.value) else source.value
        names = value if isinstance(value, list | tuple) else [value]
        return tuple(str(item) for item in names if isinstance(item, str) and not is_template(item))


def _default(name: str) -> Iterator[Source]:
    variable = KNOWN.get(name)
    if variable is not None and variable.default is not None:
        value = list(variable.default) if isinstance(variable.default, tuple) else variable.default
        yield Source(value, "exekutir's default", "default")


def _from_document(document: Document, name: str, level: str, scope: str = "") -> Iterator[Source]:
    if name in document.value:
        place = PLACE if document.source == PLACE else document.place(name)
        yield Source(document.value[name], place, level, scope)


def _from_settings(settings: Settings, name: str, level: str, scope: str) -> Iterator[Source]:
    for setting in reversed(settings.get(name, [])):
        yield Source(setting.value, setting.place, level, scope)


def _host_sources(name: str, host: str, content: JobContent) -> Iterator[Source]:
    """The host's own variables, strongest first."""
    scope = f"host {host}"
    for documents in (content.adjacent_files("host_vars", host), content.variable_files("host_vars", host)):
        for document in reversed(list(documents)):
            yield from _from_document(document, name, "host_vars", scope)
    yield from _from_settings(content.inventory.hosts.get(host, {}), name, "inventory", scope)


def _group_sources(name: str, groups: list[Group], content: JobContent, *, certain: bool) -> Iterator[Source]:
    """The variables of groups (weakest first), strongest first; what is not of ``all`` only counts if ``certain``.

    Files beside the playbooks outrank those of the inventory, these what the inventory's files say themselves, and in
    each of the three any other group outranks ``all``.
    """
    strongest = [group for group in reversed(groups) if group.name != ALL]
    everybody = [group for group in groups if group.name == ALL] or [Group(ALL)]
    for chosen in (strongest, everybody):
        for read in (content.adjacent_files, content.variable_files):
            for group in chosen:
                for document in reversed(list(read("group_vars", group.name))):
                    found = _from_document(document, name, f"group_vars/{group.name}", _scope(group))
                    yield from _doubted(found, group, certain)
    for group in (*strongest, *everybody):
        yield from _doubted(_from_settings(group.settings, name, "inventory", _scope(group)), group, certain)


def _scope(group: Group) -> str:
    return "" if group.name == ALL else f"group {group.name}"


def _doubted(found: Iterator[Source], group: Group, certain: bool) -> Iterator[Source]:
    for source in found:
        reason = "" if certain or group.name == ALL else f"it holds in group {group.name} alone"
        yield replace(source, passed_over=reason)


def _of_roles(name: str, content: JobContent) -> Iterator[Source]:
    """Defaults of roles; they count where nothing else is set, each in its own role."""
    for role, document in content.role_files("defaults"):
        yield from _from_document(document, name, "role defaults", f"role {role}")
