"""What other processes of the job tell: Ansible's plugins append their news of peons to the same file of events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kommandir.events import FILE_NAME

Event = dict[str, Any]

#: The one kind of event that other processes emit. Others are passed over unread.
KIND = "peon"
_SIGN = f'"event": "{KIND}"'.encode()
#: Bytes of the file that are read at once.
_MOST = 1 << 20


class Follower:
    """Reads the file of events of the workspace that a context names, from there on; a missing one is an empty one."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._offset = 0
        self._seen: set[tuple[str, str, str]] = set()

    def merged(self, events: Sequence[Event], news: Sequence[Event]) -> list[Event]:
        """``events`` of this process and ``news`` that were read before, in the order of their time; each once."""
        for event in events:
            if event.get("event") == "context_started":
                self._follow(event)
        own = [event for event in events if event.get("event") != KIND or self._is_new(event)]
        return sorted([*own, *news], key=lambda event: str(event.get("time"))) if news else own

    def _follow(self, event: Event) -> None:
        workspace = event.get("workspace")
        if not isinstance(workspace, str) or not workspace:
            return
        path = Path(workspace, "results", FILE_NAME)
        if path != self._path:
            self._path, self._seen = path, set()
            try:
                self._offset = path.stat().st_size
            except (OSError, ValueError):
                self._offset = 0

    def _is_new(self, event: Event) -> bool:
        mark = (str(event.get("time")), str(event.get("peon")), str(event.get("state")))
        new = mark not in self._seen
        self._seen.add(mark)
        return new

    def news(self) -> list[Event]:
        """What came to the file since it was read last, but for what this process told and is known already."""
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read(_MOST)
        except (OSError, ValueError):
            return []
        whole = data.rpartition(b"\n")[0]
        self._offset += len(whole) + 1 if whole else len(data) if len(data) == _MOST else 0
        return [event for line in whole.split(b"\n") if _SIGN in line for event in _read(line) if self._is_new(event)]


def _read(line: bytes) -> list[Event]:
    try:
        event = json.loads(line)
    except ValueError:
        return []
    return [event] if isinstance(event, dict) and event.get("event") == KIND else []
