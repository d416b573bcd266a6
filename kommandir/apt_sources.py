"""This host's own package sources, as far as they serve its distribution, and how its apt gets through to them."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: apt's settings about proxies and certificates, which the build needs and its result must not keep.
_CONNECTION = ("acquire::http::proxy", "acquire::https::proxy", "acquire::https::ca", "acquire::https::verify")


def of_release(release: str, etc_apt: Path = Path("/etc/apt")) -> dict[str, str]:
    """File name to content of the sources that serve ``release``; sources of others (vendors') are left out.

    Empty where there are none, as on a host of another family; then the default mirror of the release serves.
    """
    found: dict[str, str] = {}
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        kept = _stanzas(text, release) if file.suffix == ".sources" else _lines(text, release)
        if kept:
            found[file.name] = kept
    return found


def _serves(suite: str, release: str) -> bool:
    return suite == release or suite.removesuffix("/").startswith((f"{release}-", f"{release}/"))


def _stanzas(text: str, release: str) -> str:
    """The stanzas of a .sources file (deb822) for the release, without comments and source packages."""
    kept = []
    for stanza in _paragraphs(text):
        fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in stanza)}
        suites = fields.get("suites", "").split()
        wanted = "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no"
        if wanted and suites and all(_serves(suite, release) for suite in suites):
            kept.append("\n".join("Types: deb" if line.lower().startswith("types:") else line for line in stanza))
    return "\n\n".join(kept) + "\n" if kept else ""


def _paragraphs(text: str) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def _lines(text: str, release: str) -> str:
    """The lines of a .list file for the release."""
    kept = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] != "deb":
            continue
        after = line.partition("]")[2].split() if words[1:2] and words[1].startswith("[") else words[1:]
        if len(after) > 2 and _serves(after[1], release):
            kept.append(line.strip())
    return "\n".join(kept) + "\n" if kept else ""


def connection_options() -> list[str]:
    """This host's settings of apt for proxies and certificates, as mmdebstrap's --aptopt takes them."""
    try:
        dump = subprocess.run(
            ["apt-config", "dump"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        ).stdout
    except FileNotFoundError:
        return []
    return connections(dump)


def connections(dump: str) -> list[str]:
    """The settings about proxies and certificates in what `apt-config dump` says, as `NAME "VALUE"`."""
    found = []
    for line in dump.splitlines():
        name, _, value = line.partition(" ")
        if name.lower().startswith(_CONNECTION) and "".join(shlex.split(value.rstrip(";"))):
            found.append(line.rstrip(";").strip())
    return found
