"""Workspaces of jobs that have ended, for the tests of their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.event_streams import Told, broken_job, good_job


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """A fresh workspace, to tell events to."""
    return Told(tmp_path / "ws")


@pytest.fixture
def good(told: Told) -> Told:
    """Two peons, all good."""
    good_job(told)
    return told


@pytest.fixture
def broken(told: Told) -> Told:
    """One of three peons failed its tests."""
    broken_job(told)
    return told
