"""Files of variables: ``group_vars``, ``host_vars``, those of roles, ``kommandir_vars.yml``; each is read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from kommandir import yamlfile
from kommandir.errors import UsageError
from kommandir.mistakes import Mistake
from kommandir.yamlfile import Document

_EXTENSIONS = ("", ".yml", ".yaml", ".json")
#: What a file starts with that is encrypted as a whole.
ENCRYPTED = "$ANSIBLE_VAULT;"


@dataclass(slots=True)
class Reader:
    """Reads files of variables and keeps what is wrong with them."""

    mistakes: list[Mistake] = field(default_factory=list)
    #: Files that are encrypted as a whole.
    encrypted: set[str] = field(default_factory=set)
    _read: dict[Path, Document] = field(default_factory=dict)

    def mapping(self, path: Path) -> Document:
        """The variables of a file; none where it can't be read (a mistake) or only Ansible can decrypt it."""
        if path not in self._read:
            self._read[path] = self._mapping(path)
        return self._read[path]

    @property
    def documents(self) -> Iterable[Document]:
        """Every file that was read."""
        return self._read.values()

    def _mapping(self, path: Path) -> Document:
        try:
            document = yamlfile.load(path)
            if isinstance(document.value, str) and document.value.startswith(ENCRYPTED):
                self.encrypted.add(str(path))
                return Document({}, str(path))
            return yamlfile.checked_mapping(document)
        except UsageError as error:
            self.mistakes.append(as_mistake(error, path))
            return Document({}, str(path))


def as_mistake(error: UsageError, path: Path) -> Mistake:
    """A UsageError about a file as a mistake with its place apart."""
    message = error.what.removeprefix(str(path))
    place, separator, rest = message.partition(": ")
    if separator and place.replace(":", "").isdigit():
        return Mistake(f"{path}{place}", rest, error.hint or "")
    return Mistake(str(path), message.removeprefix(":").strip(), error.hint or "")


def of_entity(files: Mapping[str, Path], folder: str, name: str) -> list[Path]:
    """The files that hold the variables of a group or host below ``folder/``, weakest first.

    Ansible takes the first that is there of ``NAME`` (a file, or a folder with all below it), ``NAME.yml``,
    ``NAME.yaml`` and ``NAME.json``; the others are passed over.
    """
    start = f"{folder}/{name}/"
    below = [way for way in files if way.startswith(start)]
    if below:
        chosen = [way for way in below if _counts(way.removeprefix(start))]
        return [files[way] for way in sorted(chosen, key=lambda way: PurePosixPath(way).parts)]
    for extension in _EXTENSIONS:
        path = files.get(f"{folder}/{name}{extension}")
        if path is not None:
            return [path]
    return []


def entities(files: Mapping[str, Path], folder: str) -> Iterator[str]:
    """The names of all groups or hosts that have variables below ``folder/``."""
    seen = set()
    for way in files:
        if way.startswith(f"{folder}/"):
            first, _, rest = way.removeprefix(f"{folder}/").partition("/")
            name = first if rest or PurePosixPath(first).suffix not in _EXTENSIONS else PurePosixPath(first).stem
            if not first.startswith(".") and not first.endswith("~") and name not in seen:
                seen.add(name)
                yield name


def _counts(way: str) -> bool:
    """Whether a file in a folder of variables is read: not hidden, no backup, of a known kind, in plain folders."""
    *folders, name = PurePosixPath(way).parts
    plain = all(not part.startswith(".") and not part.endswith("~") for part in (*folders, name))
    return (
        plain and not any(PurePosixPath(part).suffix for part in folders) and PurePosixPath(name).suffix in _EXTENSIONS
    )
