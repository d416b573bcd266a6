"""The journal of an engine: facts, written before their effects can be seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from narval_engine.world import Fact


class Journal(Protocol):
    """What the engine writes facts to."""

    def write(self, facts: Iterable[Fact]) -> None:
        """Keeps the facts, all or none of them, before it returns."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...
