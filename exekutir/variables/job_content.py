"""All that says what a job is: its folder laid over the defaults, its inventory, and its files of variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from exekutir.variables import inventory
from exekutir.variables.inventory import Inventory
from exekutir.variables.overlay import Overlay
from exekutir.variables.variable_files import Reader, entities, of_entity
from kommandir import content
from kommandir.yamlfile import Document

KOMMANDIR_VARS = "kommandir_vars.yml"
#: Larger files of a job are data, in which nobody names variables.
_LARGEST = 1 << 20
_GROUP = "group_vars"


@dataclass(frozen=True)
class JobContent:
    """A job as the kommandir will see it."""

    #: The job's own folder; None where only a workspace is known.
    folder: Path | None
    overlay: Overlay
    reader: Reader = field(default_factory=Reader)

    @cached_property
    def inventory(self) -> Inventory:
        """Its hosts and groups."""
        return inventory.read(self.overlay.files("inventory"))

    @cached_property
    def kommandir_vars(self) -> Document:
        """The job's own ``kommandir_vars.yml``; empty where there is none."""
        path = self.folder / KOMMANDIR_VARS if self.folder else self.overlay.file(KOMMANDIR_VARS)
        return self.reader.mapping(path) if path and path.exists() else Document({}, str(path or KOMMANDIR_VARS))

    @cached_property
    def laid_vars(self) -> Document | None:
        """The merged copy of it that the last ``setup`` left in the workspace; None where the job is not set up."""
        path = self.overlay.folders[-1] / KOMMANDIR_VARS
        is_copy = self.folder is not None and self.overlay.folders[-1] != self.folder
        return self.reader.mapping(path) if is_copy and path.is_file() else None

    @cached_property
    def groups(self) -> frozenset[str]:
        """The names of all groups: those of the inventory's files, and those that only have variables."""
        return frozenset({*self.inventory.groups, *self.entities(_GROUP)})

    def entities(self, folder: str) -> Iterator[str]:
        """The groups or hosts that have files below ``group_vars`` or ``host_vars``."""
        yield from entities(self.overlay.files("inventory"), folder)
        yield from entities(self._adjacent, folder)

    @property
    def names(self) -> frozenset[str]:
        """Every variable that any file of the job sets."""
        documents = [document for _, document in self.role_files("defaults")] + [self.kommandir_vars]
        for folder in (_GROUP, "host_vars"):
            for name in set(self.entities(folder)):
                documents += [*self.variable_files(folder, name), *self.adjacent_files(folder, name)]
        settings = [group.settings for group in self.inventory.groups.values()] + list(self.inventory.hosts.values())
        named = {name for document in documents for name in document.value}
        return frozenset(named | {name for its in settings for name in its})

    @property
    def _adjacent(self) -> dict[str, Path]:
        """``group_vars`` and ``host_vars`` beside the playbooks, by the same ways as those of the inventory."""
        return {
            f"{folder}/{way}": path
            for folder in (_GROUP, "host_vars")
            if folder in self.overlay.top
            for way, path in self.overlay.files(folder).items()
        }

    def variable_files(self, folder: str, name: str) -> Iterator[Document]:
        """The variables of a group or host below ``group_vars`` or ``host_vars``: the inventory's, weakest first."""
        for path in of_entity(self.overlay.files("inventory"), folder, name):
            yield self.reader.mapping(path)

    def adjacent_files(self, folder: str, name: str) -> Iterator[Document]:
        """The same beside the playbooks, which are stronger than all of the same kind in the inventory."""
        for path in of_entity(self._adjacent, folder, name):
            yield self.reader.mapping(path)

    def role_files(self, folder: str) -> Iterator[tuple[str, Document]]:
        """Role and variables of every ``roles/ROLE/FOLDER/main.yml`` (``defaults``, ``vars``)."""
        files = self.overlay.files("roles")
        for role in dict.fromkeys(way.split("/", 1)[0] for way in files):
            for path in of_entity({way.removeprefix(f"{role}/"): path for way, path in files.items()}, folder, "main"):
                yield role, self.reader.mapping(path)

    def uses(self, name: str, *, but: str = "") -> bool:
        """Whether any role, playbook or file of the inventory, or any other file of the job's own folder but its
        ``kommandir_vars.yml``, has a word; ``but`` is a folder in which it does not count.
        """
        word = re.compile(rf"\b{re.escape(name)}\b")
        return any(word.search(text) for below, text in self._texts if not but or below != but)

    @cached_property
    def _texts(self) -> list[tuple[str, str]]:
        """The text of each file, with the folder at the top in which it lies."""
        found: dict[Path, str] = {}
        for below in ("roles", "inventory", "playbooks"):
            found.update(dict.fromkeys(self.overlay.files(below).values(), below))
        if self.folder:
            own = Overlay((self.folder,))
            found.update({path: "" for path in own.top.values() if path.is_file() and path.name != KOMMANDIR_VARS})
            for below in own.top:
                if not below.startswith("."):
                    found.update(dict.fromkeys(own.files(below).values(), below))
        return [(below, text) for path, below in found.items() if (text := _text(path)) is not None]


def of_job(job: Path) -> JobContent:
    """A job that is not set up: its folder over the defaults that ship."""
    return JobContent(job, Overlay((content.root(), content.playbooks(), job), defaults=content.playbooks()))


def of_workspace(kommandir_workspace: Path, job: Path | None) -> JobContent:
    """A job that is set up: what lies in the kommandir's workspace, with the variables of the job's own folder."""
    return JobContent(job, Overlay((kommandir_workspace,)))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= _LARGEST else None
    except (OSError, UnicodeDecodeError):
        return None
