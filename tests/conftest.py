"""What every test gets: an environment of its own, and rules for hypothesis that hold on a slow machine too."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = [
    "tests.calls",
    "tests.detached_runs",
    "tests.kommandirs",
    "tests.remote_hosts",
    "tests.set_up_kommandirs",
    "tests.two_workspaces",
]

CHECKOUT = Path(__file__).resolve().parent.parent

# A developer's run looks for new examples; CI takes the same each time, so that it judges the change and not the dice.
hypothesis.settings.register_profile("search", deadline=None, max_examples=100, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "search")

#: What a developer's shell may hold and what would change what our programs do.
_FOREIGN = ("ANSIBLE_", "EXEKUTIR_", "ADEPT_", "MOLECULE_")
_FOREIGN_NAMES = frozenset({"WORKSPACE", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONPATH"})
#: The root filesystem is built once for all tests, so its place is not the test's own.
_KEPT = frozenset({"EXEKUTIR_CACHE"})


#: A test that may take as many seconds begins first, or the others would be over long before it is.
_LONG = 2000.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take minutes first; the others keep their order."""

    def is_short(item: pytest.Item) -> bool:
        marker = item.get_closest_marker("timeout")
        return marker is None or float(marker.args[0]) < _LONG

    items.sort(key=is_short)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes out of the environment whatever the caller's shell would add to a test."""
    for name in list(os.environ):
        if name not in _KEPT and (name.startswith(_FOREIGN) or name in _FOREIGN_NAMES):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top level of the checkout that is tested."""
    return CHECKOUT


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh directory, which is the working directory for the time of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
