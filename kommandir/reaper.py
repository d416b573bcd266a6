"""Destroys what is expired and ours, over all providers, and touches nothing else."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kommandir.errors import ExekutirError, ExitCode
from kommandir.providers import registry

#: Seconds that the destruction of one host may take.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A host whose lease is over."""

    provider: str
    name: str
    uuid: str
    #: When the lease ended, in seconds since 1970.
    expires: int


@dataclass(slots=True)
class ReapReport:
    """What the reaper did, or with ``dry_run`` would do."""

    dry_run: bool
    #: The moment, in seconds since 1970.
    now: float
    destroyed: list[Expired] = field(default_factory=list)
    #: What could not be destroyed, and why.
    failed: list[tuple[Expired, str]] = field(default_factory=list)
    #: Providers that could not be asked, and why.
    unasked: dict[str, str] = field(default_factory=dict)
    #: Names of hosts of ours whose lease goes on.
    kept: list[str] = field(default_factory=list)
    #: Names of half hosts that tell nothing of whom they belong to.
    unclear: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """LEFT_BEHIND when something expired is still there."""
        return ExitCode.LEFT_BEHIND if self.failed else ExitCode.GOOD

    def as_dict(self) -> dict[str, Any]:
        """The report for programs."""
        failed = [{**asdict(host), "why": why} for host, why in self.failed]
        return {**asdict(self), "failed": failed, "exit_code": int(self.exit_code)}

    def lines(self) -> list[str]:
        """The report for people."""
        done = "would be destroyed" if self.dry_run else "destroyed"
        lines = [f"{done}: {_named(host)}" for host in self.destroyed]
        lines += [f"NOT destroyed: {_named(host)}: {why}" for host, why in self.failed]
        lines += [f"left alone, as nothing tells whose it is: {name}" for name in self.unclear]
        lines += [f"not looked at: {provider}: {why}" for provider, why in self.unasked.items()]
        return [
            *lines,
            f"{len(self.destroyed)} expired, {len(self.failed)} failed, {len(self.kept)} with a lease that goes on",
        ]


def _named(host: Expired) -> str:
    ended = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(host.expires))
    return f"{host.provider} {host.name} (job {host.uuid}, lease ended {ended})"


def reap(now: float, *, dry_run: bool, workspace: Path | None = None) -> ReapReport:
    """Destroy every host of ours whose lease ended before ``now`` (seconds since 1970), over all providers.

    A provider that fails does not stop the others. With ``workspace`` the providers of its job are asked too.
    """
    report = ReapReport(dry_run=dry_run, now=now)
    for provider in registry.names(workspace):
        try:
            found = registry.parsed(provider, registry.called(provider, "list", workspace=workspace))
        except ExekutirError as error:
            report.unasked[provider] = str(error)
            continue
        for entry in found if isinstance(found, list) else []:
            _judge(report, provider, entry, workspace)
    return report


def _judge(report: ReapReport, provider: str, entry: Any, workspace: Path | None) -> None:
    told = entry if isinstance(entry, dict) else {}
    name, uuid, expires = told.get("name"), told.get("uuid"), told.get("expires")
    if not name or not uuid or not isinstance(expires, int | float):
        report.unclear.append(f"{provider} {name}")
        return
    if expires > report.now:
        report.kept.append(f"{provider} {name}")
        return
    host = Expired(provider=provider, name=str(name), uuid=str(uuid), expires=int(expires))
    try:
        if not report.dry_run:
            registry.called(provider, "destroy", host.name, "--uuid", host.uuid, workspace=workspace, seconds=PATIENCE)
        report.destroyed.append(host)
    except ExekutirError as error:
        report.failed.append((host, str(error)))
