"""What one call of a step finds around it: its own name, its own deadline, and its peon."""

from __future__ import annotations

import copy
import dataclasses
import re
import threading
from collections.abc import Mapping

from kommandir.recipes.item import StepItem
from kommandir.xn.reading import Item
from kommandir.xn.surroundings import Surroundings
from narval_engine import running

#: The variable that names the peon of a step.
PEON_VARIABLE = "PEON"


class StepSurroundings(Surroundings):
    """Those of one call; the variables are shared by all steps of a run."""

    name: str
    peon: str
    #: Variables that hold unless the environment has them.
    defaults: Mapping[str, str]

    @classmethod
    def of(cls, whole: Surroundings, item: StepItem, name: str, mark: str) -> StepSurroundings:
        """The surroundings of a call under the name ``name``, with the deadline of its step."""
        made = cls.__new__(cls)
        made.__dict__.update(copy.copy(whole.__dict__))
        made.name, made.peon, made.defaults, made.mark = name, item.peon, {}, mark
        limit = running().remaining
        made.request = dataclasses.replace(
            whole.request,
            deadline=whole.request.deadline.within(limit) if limit is not None else whole.request.deadline,
            limit=item.peon or whole.request.limit,
        )
        return made

    def _own(self) -> dict[str, str]:
        return {PEON_VARIABLE: self.peon} if self.peon else {}

    def environment(self) -> dict[str, str]:
        """As everywhere, with the name of the peon."""
        return {**self.defaults, **super().environment(), **self._own()}

    def values(self) -> Mapping[str, str]:
        """As everywhere, with the name of the peon."""
        return {**super().values(), **self._own()}

    def step(self, item: Item) -> str:
        """The name of the call."""
        return self.name


class Names:
    """Names of calls, none of them twice in a run."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._given: dict[str, int] = {}
        self._lock = threading.Lock()

    @staticmethod
    def base(step: str, peon: str) -> str:
        """The step and its peon."""
        return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{step}-{peon}" if peon else step)

    def given(self, step: str, peon: str) -> str:
        """The step, its peon, and a number from the second time on."""
        base = self.base(step, peon)
        number = self.take(base)
        return self._prefix + (base if number == 1 else f"{base}-{number}")

    def take(self, base: str) -> int:
        """One more name with this base is given; how many there are now comes back."""
        with self._lock:
            number = self._given[base] = self._given.get(base, 0) + 1
        return number


def prefix_of(whole: Surroundings) -> str:
    """What keeps the steps of other files of a workspace apart from those of ``job.xn``."""
    stem = whole.request.file.stem if whole.request.file else "stdin"
    return "" if stem == "job" else f"{stem}-"
