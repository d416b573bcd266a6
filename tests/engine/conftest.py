"""The cases of an engine each come by their id; a stage is closed when its case is over."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.engine.homes import HomeOnDisk
from tests.engine.stage import Stage


class Stages:
    """Makes stages, and remembers them."""

    def __init__(self) -> None:
        self._made: list[Stage] = []

    def __call__(self, **options: Any) -> Stage:
        made = Stage(**options)
        self._made.append(made)
        return made

    def close(self) -> None:
        for stage in self._made:
            stage.engine.close()


@pytest.fixture
def make_stage() -> Iterator[Stages]:
    stages = Stages()
    yield stages
    stages.close()


@pytest.fixture(params=["inline", "workers", "xml"])
def stage(request: pytest.FixtureRequest, make_stage: Stages) -> Stage:
    """Every case holds for inline actions, for those in workers, and for recipes that were written and read as XML."""
    return make_stage(inline=request.param != "workers", through_xml=request.param == "xml")


@pytest.fixture
def home(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> HomeOnDisk:
    """A home in a directory of its own."""
    return HomeOnDisk(tmp_path, capfd)
