"""Files that jobs ask for, packages and images for instance: fetched once a kommandir by root, read by every job.

Each is named by its checksum, so what is there is what was asked for, from whatever URL it came, and never changes. A
job's own cache is filled from it without asking the network, which the role ``caches_filled`` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from kommandir import atomic
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, KommandirError, UsageError
from kommandir.hosting import locking
from kommandir.hosting.places import Places

_URL = re.compile(r"https?://[^/@]+(/|$)")
_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})")
_BLOCK = 1 << 20
#: Seconds for which a server may say nothing.
SILENCE = 60.0


def path(checksum: str, places: Places | None = None) -> Path:
    """Where the file with this SHA-256 lies, whether it is there or not."""
    return (places or Places()).files / checksum


def fill(wanted: Sequence[Mapping[str, Any]], places: Places, *, deadline: Deadline) -> dict[str, Any]:
    """Fetch the ``url`` of each entry of ``file_cache_args`` that is not there yet.

    The answer: {ready: [url, ...], refused: {url: why}}. What can't be fetched is no error: the job tries it itself.
    Raises UsageError when the entries are none, TimeOutError, LockError.
    """
    entries = dict(_entry(entry) for entry in wanted)
    places.files.mkdir(parents=True, exist_ok=True, mode=0o755)
    ready, refused = [], {}
    for url, checksum in entries.items():
        try:
            _ensured(url, path(checksum, places), deadline)
            ready.append(url)
        except ExekutirError as error:
            deadline.check("fetching files for all jobs")
            refused[url] = f"{error.what}: {error.why}" if error.why else error.what
    return {"ready": ready, "refused": refused}


def _entry(entry: object) -> tuple[str, str]:
    known = entry if isinstance(entry, Mapping) else {}
    found = _CHECKSUM.fullmatch(str(known.get("checksum")))
    if not isinstance(known.get("url"), str) or not found:
        raise UsageError("an entry of `file_cache_args` has no `url`, or no `checksum` as in sha256:0123...")
    return str(known["url"]), found[1]


def _ensured(url: str, file: Path, deadline: Deadline) -> None:
    if not _URL.match(url):
        raise UsageError("only http and https URLs without a password are fetched for all jobs")
    with locking.held(file.parent / f".{file.name}.lock", f"the file {file.name}", passing=True):
        if file.exists():
            return
        atomic.sweep(file)
        try:
            with _new(file) as (new, stream):
                checksum = _fetched(url, stream, deadline)
                if checksum != file.name:
                    raise KommandirError(f"it is another file: its checksum is sha256:{checksum}")
                new.chmod(0o644)
                new.rename(file)
        except (OSError, ValueError) as error:
            # An HTTPError is one too, and knows more than its reason.
            reason = error.reason if type(error) is urllib.error.URLError else error
            raise KommandirError("it can't be fetched", why=str(reason)) from error


@contextlib.contextmanager
def _new(file: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file beside it, named as ``atomic`` does, closed to all others; removed unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield Path(name), stream
    finally:
        Path(name).unlink(missing_ok=True)


def _fetched(url: str, stream: IO[bytes], deadline: Deadline) -> str:
    """Write what the URL has; its SHA-256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=min(SILENCE, deadline.remaining())) as answer:  # noqa: S310  http or https
        while block := answer.read(_BLOCK):
            deadline.check(f"fetching {url}")
            digest.update(block)
            stream.write(block)
    stream.flush()
    os.fsync(stream.fileno())
    return digest.hexdigest()
