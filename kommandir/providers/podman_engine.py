"""Calling podman so that it works where its defaults don't, and asking it for containers that bear our tag."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess

from kommandir.providers.faults import ProviderError

#: The label that is our tag; its value is the peon's name. The others say whose it is.
TAG = "io.exekutir.peon"
UUID = "io.exekutir.uuid"
EXPIRES = "io.exekutir.expires"
#: The state directory whose records tell of the container, as a lease that was renewed is written there only.
STATE = "io.exekutir.state"
#: Seconds that one call of podman may take; pulling an image is the longest.
PATIENCE = 600.0
_OPEN_FILES = 65536
_PROCESSES = 4096

Container = dict[str, object]


class Engine:
    """podman with settings of our own, kept in ``directory``, unless the user named settings."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._environment: dict[str, str] | None = None

    def environment(self) -> dict[str, str]:
        """The environment for podman; writes the settings on the first call."""
        if self._environment is None:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            self._environment = {**os.environ, **self._settings()}
        return self._environment

    def _settings(self) -> dict[str, str]:
        settings = {}
        if "CONTAINERS_CONF" not in os.environ:
            settings["CONTAINERS_CONF"] = self._write("containers.conf", _containers_conf())
        own = os.path.expanduser("~/.config/containers/storage.conf")
        rootless = os.geteuid() != 0
        if rootless and "CONTAINERS_STORAGE_CONF" not in os.environ and not os.path.exists(own):
            # Where nobody chose one, podman may take `vfs`, which copies the whole image for each container.
            settings["CONTAINERS_STORAGE_CONF"] = self._write("storage.conf", '[storage]\ndriver = "overlay"\n')
        return settings

    def _write(self, name: str, text: str) -> str:
        path = f"{self._directory}/.{name}"
        new = f"{path}.{os.getpid()}"
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(new, path)
        return path

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run podman; its outcome, good or not. Raises ProviderError when it is missing or does not end."""
        return self._run(["podman", *arguments])

    def call_with_socket(self, listener: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run podman so that the container gets the listening socket as descriptor 3 (socket activation)."""
        script = f'exec 3<&{listener}; export LISTEN_FDS=1 LISTEN_PID=$$; exec podman "$@"'
        return self._run(["sh", "-c", script, "podman", *arguments], pass_fds=(listener,))

    def _run(self, command: list[str], pass_fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        if not shutil.which("podman"):
            raise ProviderError("podman is not installed: apt-get install podman runc, or use the provider namespace")
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
                pass_fds=pass_fds,
                env=self.environment(),
                cwd="/",
            )
        except subprocess.TimeoutExpired:
            raise ProviderError(f"podman did not end within {PATIENCE:g} s: {' '.join(command)}") from None

    def demand(self, *arguments: str) -> str:
        """Run podman, which must succeed; its standard output."""
        return demanded(self.call(*arguments), arguments)

    def containers(self, *filters: str) -> list[Container]:
        """All containers that pass the filters, each with Id, Names, Labels, State and Created."""
        chosen = [word for filter_ in filters for word in ("--filter", filter_)]
        found = json.loads(self.demand("ps", "--all", "--format", "json", *chosen) or "[]")
        return list(found)

    def named(self, name: str) -> Container | None:
        """The container of exactly this name, whoever made it."""
        found = [entry for entry in self.containers(f"name=^{name}$") if name in entry.get("Names", [])]  # type: ignore[operator]  # podman's JSON
        return found[0] if found else None

    def volumes(self, state: str) -> dict[str, dict[str, str]]:
        """The labels of each volume that bears our tag and belongs to the records in ``state``, by its name.

        With one filter, as podman's list of volumes has what passes any of several.
        """
        found = json.loads(
            self.demand("volume", "ls", "--format", "json", "--filter", f"label={STATE}={state}") or "[]"
        )
        every = {str(volume["Name"]): labels(volume) for volume in found}
        return {name: known for name, known in every.items() if TAG in known and known.get(STATE) == state}


def demanded(outcome: subprocess.CompletedProcess[str], arguments: tuple[str, ...]) -> str:
    """The standard output of a call that must have succeeded; raises ProviderError with podman's own words."""
    if outcome.returncode:
        words = (outcome.stderr or outcome.stdout).strip() or "no message"
        raise ProviderError(f"podman {arguments[0]} ended with {outcome.returncode}: {words}")
    return outcome.stdout.strip()


def id_maps(uids: list[tuple[int, int, int]], gids: list[tuple[int, int, int]]) -> list[str]:
    """podman's arguments for extents of (first inside, first outside, count)."""
    kinds = (("--uidmap", uids), ("--gidmap", gids))
    return [word for kind, extents in kinds for entry in extents for word in (kind, ":".join(map(str, entry)))]


def labels(container: Container) -> dict[str, str]:
    """The labels of a container as podman lists them."""
    found = container.get("Labels")
    return dict(found) if isinstance(found, dict) else {}


def _containers_conf() -> str:
    """Settings that work in a container or a small VM too: limits within our own, and runc where it is there."""
    files = within(resource.RLIMIT_NOFILE, _OPEN_FILES)
    processes = within(resource.RLIMIT_NPROC, _PROCESSES)
    lines = [
        "[containers]",
        f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]',
        "[engine]",
        *(['runtime = "runc"'] if shutil.which("runc") else []),
        'events_logger = "file"',
        'cgroup_manager = "cgroupfs"' if not os.path.isdir("/run/systemd/system") else "",
    ]
    return "\n".join(lines) + "\n"


def within(kind: int, wanted: int) -> int:
    """As much of a resource as wanted, or as this process may have."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
