"""The results page in a real browser, opened from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from exekutir import results
from tests.event_streams import Told, broken_job, good_job, setup_told

pytestmark = pytest.mark.usefixtures("quiet_console")


def opened(browser: WebDriver, told: Told, exit_code: int, *, width: int = 1280, **media: Any) -> None:
    """Write the results and open the page, on a screen so many pixels wide."""
    results.write(told.path, exit_code=exit_code)
    features = [{"name": "prefers-color-scheme", "value": media.get("scheme", "light")}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("medium", ""), "features": features})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get((told.results / "index.html").as_uri())


def script(browser: WebDriver, expression: str) -> Any:
    return browser.execute_script(f"return {expression}")


@pytest.fixture
def broken(tmp_path: Path) -> Told:
    told = Told(tmp_path / "ws")
    broken_job(told)
    return told


def test_says_what_failed_and_leads_to_the_log(browser: WebDriver, broken: Told, screenshots: Path) -> None:
    opened(browser, broken, 1)
    browser.save_screenshot(str(screenshots / "wide.png"))
    assert browser.title == "Failed: broken"
    failure = browser.find_element(By.CSS_SELECTOR, "article.failure").text
    assert "run the tests" in failure
    assert "assert 500 == 200" in failure
    browser.find_element(By.LINK_TEXT, "results/run-run.yml.log").click()
    assert browser.current_url == (broken.results / "run-run.yml.log").as_uri()
    assert "PLAY [all]" in browser.find_element(By.TAG_NAME, "body").text


def test_a_good_job_says_so(browser: WebDriver, tmp_path: Path) -> None:
    told = Told(tmp_path / "ws")
    good_job(told)
    opened(browser, told, 0)
    assert browser.title == "Good: quickstart"
    assert browser.find_elements(By.CSS_SELECTOR, "article.failure") == []


def test_loads_nothing_and_runs_nothing(browser: WebDriver, broken: Told) -> None:
    opened(browser, broken, 1)
    loaded = script(browser, "performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert script(browser, "document.scripts.length") == 0


def test_works_without_javascript(browser: WebDriver, broken: Told) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(browser, broken, 1)
        details = browser.find_element(By.CSS_SELECTOR, "section[aria-labelledby=context-setup] details")
        details.find_element(By.TAG_NAME, "summary").click()
        assert "service : install the service" in details.text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("width", [320, 400, 800, 2000])
def test_fits_any_width(browser: WebDriver, broken: Told, screenshots: Path, width: int) -> None:
    opened(browser, broken, 1, width=width)
    browser.save_screenshot(str(screenshots / f"{width}.png"))
    assert script(browser, "document.documentElement.scrollWidth") <= width


def test_is_dark_where_the_reader_wants_it_dark(browser: WebDriver, broken: Told, screenshots: Path) -> None:
    seen = []
    for scheme in ("light", "dark"):
        opened(browser, broken, 1, scheme=scheme)
        browser.save_screenshot(str(screenshots / f"{scheme}.png"))
        seen.append(script(browser, "getComputedStyle(document.body).backgroundColor"))
    assert seen == ["rgb(246, 247, 249)", "rgb(18, 22, 28)"]


CONTRAST = """(() => {
  const parts = colour => colour.match(/[0-9.]+/g).map(Number);
  const linear = value => value / 255 <= .03928 ? value / 255 / 12.92 : ((value / 255 + .055) / 1.055) ** 2.4;
  const light = colour => {
    const [red, green, blue] = parts(colour).slice(0, 3).map(linear);
    return .2126 * red + .7152 * green + .0722 * blue;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = new Set();
  for (const element of document.querySelectorAll("h1, h2, h3, p, a, dt, dd, th, td, small, summary, span, pre, li")) {
    const both = [light(getComputedStyle(element).color), light(behind(element))].sort((one, two) => two - one);
    const contrast = (both[0] + .05) / (both[1] + .05);
    if (contrast < 4.5) poor.add(element.tagName + "." + element.className + ": " + contrast);
  }
  return [...poor];
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read_by_weak_eyes(browser: WebDriver, broken: Told, scheme: str) -> None:
    opened(browser, broken, 1, scheme=scheme)
    assert script(browser, CONTRAST) == []


def test_can_be_used_by_keyboard(browser: WebDriver, broken: Told) -> None:
    opened(browser, broken, 1)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert script(browser, "document.activeElement.className") == "skip"
    unreachable = "[...document.querySelectorAll('.scroll, pre')].filter(element => element.tabIndex !== 0).length"
    assert script(browser, unreachable) == 0


def test_paper_shows_what_a_screen_folds_away(browser: WebDriver, broken: Told) -> None:
    opened(browser, broken, 1, medium="print")
    folded = "[...document.querySelectorAll('details:not([open]) > .inside')]"
    assert script(browser, f"{folded}.length") > 0
    assert script(browser, f"{folded}.every(element => element.checkVisibility() && element.offsetHeight > 0)")


def test_hostile_values_run_nothing(browser: WebDriver, tmp_path: Path) -> None:
    told = Told(tmp_path / "ws", job_name="<script>document.title='owned'</script>")
    evil = "\"'><img src=x onerror=\"document.title='owned'\"><svg onload=\"document.title='owned'\"></pre><script>"
    told.started("run")
    told.task("run", evil, {evil: {"outcome": "failed", "message": evil, "stdout": evil}}, role=evil, play=evil)
    told.emit("run", "warning", message=evil)
    told.finished("run", 1, evil)
    (told.results / "<svg onload=alert(1)>").mkdir()
    (told.results / "<svg onload=alert(1)>" / "javascript:alert(1)").write_text("")
    opened(browser, told, 1)
    assert browser.title == "Failed: <script>document.title='owned'</script>"
    assert evil[:40] in browser.find_element(By.CSS_SELECTOR, "article.failure").text
    assert script(browser, "document.querySelectorAll('img, svg, script').length") == 0


def test_many_peons_and_tasks_stay_usable(browser: WebDriver, tmp_path: Path, screenshots: Path) -> None:
    told = Told(tmp_path / "ws")
    peons = [f"peon-{number:02}" for number in range(32)]
    setup_told(told, peons)
    told.started("run")
    for number in range(150):
        told.task("run", f"task {number}", {peon: {} for peon in peons}, role=f"role{number % 9}")
    told.task("run", "last", {peon: {"outcome": "failed", "message": "no"} for peon in peons[:20]}, role="checks")
    told.finished("run", 1)
    opened(browser, told, 1)
    browser.save_screenshot(str(screenshots / "many.png"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "article.failure")) == 1
    assert len(browser.find_elements(By.CSS_SELECTOR, "section[aria-labelledby=peons] tbody tr")) == 32
