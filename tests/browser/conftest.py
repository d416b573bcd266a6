"""A real browser without a screen, for the pages that people open."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

#: No sandbox, because CI runs as root; no chatter, because a browser that calls home makes tests wait.
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def _installed(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed; `make setup-tests` does it"
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Chromium with an empty profile; ask for `quiet_console` beside it."""
    profile = tmp_path_factory.mktemp("browser")
    options = Options()
    options.binary_location = _installed("chromium")
    for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_installed("chromedriver")))
    yield driver
    driver.quit()


def _console(browser: WebDriver) -> list[str]:
    """What was written to the console since the last call."""
    read = cast("Callable[[str], list[dict[str, object]]]", browser.get_log)
    return [str(entry["message"]) for entry in read("browser")]


@pytest.fixture
def quiet_console(browser: WebDriver) -> Iterator[None]:
    """Fails the test whose page complains in the console: a script that breaks, a file that is not there."""
    _console(browser)
    yield
    assert _console(browser) == []


@pytest.fixture
def screenshots(request: pytest.FixtureRequest, checkout: Path) -> Path:
    """Where a test leaves a picture for a person: `browser.save_screenshot(screenshots / "page.png")`."""
    place: Path = checkout / ".test-results" / "screenshots" / request.node.name
    place.mkdir(parents=True, exist_ok=True)
    return place
