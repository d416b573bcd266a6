"""What is wrong with the peons of a job: their groups, and the provider that each must have exactly one of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from exekutir.variables.inventory import Setting
from exekutir.variables.job_content import JobContent
from exekutir.variables.kinds import has_template
from exekutir.variables.sources import Variables
from kommandir.mistakes import Mistake
from kommandir.yamlfile import did_you_mean

PEONS = "peons"
#: Control hosts, which no play makes or destroys.
NOCLOUD = "nocloud"
COMMAND = "cloud_provisioning_command"


def peon_mistakes(variables: Variables, content: JobContent) -> Iterator[Mistake]:
    """Groups in ``peon_groups`` that are not there, peons of several providers, and peons of none."""

    @cache
    def provides(group: str) -> bool:
        settings: list[Setting] = []
        its = content.inventory.groups.get(group)
        if its is not None:
            settings = its.settings.get(COMMAND, [])
        documents = (*content.variable_files("group_vars", group), *content.adjacent_files("group_vars", group))
        return bool(settings) or any(COMMAND in document.value for document in documents)

    providers = sorted(group for group in content.groups if provides(group))
    for host in peons(content):
        yield from _of_host(host, variables, content, providers)


def peons(content: JobContent) -> list[str]:
    """The hosts below the group ``peons`` that are to be made, in the order of the inventory."""
    of_host = {host: {group.name for group in content.inventory.groups_of(host)} for host in content.inventory.hosts}
    return [host for host, groups in of_host.items() if PEONS in groups and NOCLOUD not in groups]


def _of_host(host: str, variables: Variables, content: JobContent, providers: list[str]) -> Iterator[Mistake]:
    source = variables.winner("peon_groups", host)
    place = source.place if source else content.inventory.places[host]
    joined = variables.joined(host)
    known = content.groups
    unknown = [name for name in joined if name not in known and not content.uses(name, but="inventory")]
    for name in unknown:
        hint = f"providers are {', '.join(providers)}; other groups need a file in inventory/group_vars"
        yield Mistake(place, f"peon_groups names `{name}`, which is no group{did_you_mean(name, known)}", hint)
    its = [group.name for group in content.inventory.groups_of(host, joined) if group.name in providers]
    if len(its) > 1:
        names = " and ".join(f"`{name}`" for name in sorted(its))
        yield Mistake(place, f"host `{host}` belongs to {len(its)} providers: {names}", "leave one of them")
    if its or unknown or (source and has_template(source.value)):
        return
    if content.inventory.dynamic or variables.winner(COMMAND, host):
        return
    hint = f"put one of {', '.join(providers)} into its peon_groups" if providers else f"set {COMMAND} for it"
    yield Mistake(content.inventory.places[host], f"peon `{host}` has no provider", hint)
