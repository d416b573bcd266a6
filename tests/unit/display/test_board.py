from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exekutir import display
from exekutir.display.board import Board
from exekutir.display.looks import Looks
from exekutir.display.output import Output
from tests.event_streams import Told, broken_job, good_job
from tests.unit.display.conftest import Pty
from tests.unit.results.test_history import ANY_EVENT

ENVIRON = {"TERM": "xterm", "LANG": "C.UTF-8"}


def shown(pty: Pty, told: Told, job: Callable[[Told], None], verbosity: int = 0, **environ: str) -> None:
    told_environ = ENVIRON | environ
    with display.opened(
        "auto", verbosity=verbosity, stdout=pty.stream, stderr=pty.stream, environ=told_environ
    ) as screen:
        told.subscriber = screen
        job(told)


def half_a_job(told: Told) -> None:
    """Stops in the middle of a play."""
    told.started("run")
    told.playbook("run")
    for name in ("one", "two"):
        told.peon_up("run", name)
    told.task("run", "install", {"one": {"stdout": "Setting up nginx\nDone \x1b[31mred\x1b[0m"}}, role="service")


def test_what_has_ended_stays_and_the_board_is_gone(new_pty: Callable[..., Pty], told: Told) -> None:
    pty = new_pty(300)
    shown(pty, told, good_job, COLUMNS="300")
    terminal = pty.terminal()
    assert (
        terminal.lines
        == [
            f"results: {told.path}/results",
            "setup started: job quickstart, uuid quickstart-3f9a, exekutir 0.1.0",
            "✓ one up after 0.5 s (namespace)",
            "✓ two up after 0.5 s (namespace)",
            "✓ playbook setup.yml good after 3.1 s (2 peons, 4 tasks)",
            "✓ setup good after 4.2 s: 2 peons, 4 tasks",
            "run started: job quickstart, uuid quickstart-3f9a, exekutir 0.1.0",
            "✓ playbook run.yml good after 3.1 s (2 peons, 2 tasks)",
            "✓ run good after 4.2 s: 2 peons, 2 tasks",
            "cleanup started: job quickstart, uuid quickstart-3f9a, exekutir 0.1.0",
            "✓ one destroyed after 0.2 s (namespace)",
            "✓ two destroyed after 0.2 s (namespace)",
            "✓ playbook cleanup.yml good after 3.1 s",
            "✓ cleanup good after 1.1 s: 2 peons",
        ]
        or "/results" not in terminal.lines[0]
    )
    assert terminal.cursor_shown
    assert terminal.unknown == []


def picture(pty: Pty, **looks: Any) -> Board:
    return Board(
        Output(pty.stream), Looks("board", **({"colour": True, "unicode": True} | looks)), verbosity=0, environ=ENVIRON
    )


def drawn(board: Board, told: Told, job: Callable[[Told], None]) -> None:
    events: list[dict[str, Any]] = []
    told.subscriber = events.append
    job(told)
    board.take(events)


def test_the_board_has_counts_and_a_line_a_unit(new_pty: Callable[..., Pty], told: Told) -> None:
    pty = new_pty()
    drawn(picture(pty), told, half_a_job)
    board = pty.terminal().lines[-4:]
    assert board[0] == "run  0:00  step 1 of 2, 2 peons, 1 task"
    assert re.fullmatch(r"  playbook run.yml +0:00  service : install", board[1])
    assert re.fullmatch(r"    one +0:00  ok: install: Done red", board[2])
    assert re.fullmatch(r"    two +0:00  service : install", board[3])


def test_time_goes_on_while_nothing_happens(new_pty: Callable[..., Pty], told: Told) -> None:
    pty = new_pty()
    board = picture(pty)
    drawn(board, told, half_a_job)
    board._progress.since = time.monotonic() - 65
    board.tick()
    assert "run  1:05" in pty.terminal().lines[-4]


def test_a_failure_scrolls_up_as_a_block(new_pty: Callable[..., Pty], told: Told) -> None:
    pty = new_pty()
    shown(pty, told, broken_job)
    lines = pty.terminal().lines
    at = lines.index("✗ bad FAILED: checks : run the tests: non-zero return code")
    assert lines[at + 3] == "    | E       assert 500 == 200"


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (5, 2), (20, 3), (40, 5), (300, 100)])
def test_any_size_of_terminal(new_pty: Callable[..., Pty], told: Told, columns: int, rows: int) -> None:
    pty = new_pty(columns, rows)
    shown(pty, told, broken_job, COLUMNS=str(columns), LINES=str(rows))
    terminal = pty.terminal()
    assert terminal.cursor_shown
    assert "cleanupgoodafter1.1s" in re.sub(r"\s", "", "".join(terminal.lines))


def test_more_peons_than_lines(new_pty: Callable[..., Pty], told: Told) -> None:
    def job(told: Told) -> None:
        told.started("setup")
        told.playbook("setup")
        for number in range(64):
            told.emit("setup", "peon", peon=f"peon{number}", state="creating", provider="p", message="", seconds=0)

    pty = new_pty(80, 12)
    board = picture(pty)
    board._environ = ENVIRON | {"COLUMNS": "80", "LINES": "12"}
    drawn(board, told, job)
    lines = pty.terminal().lines
    assert lines[-1] == "  and 57 more"
    assert len(lines) <= 13


def test_a_terminal_that_changes_its_size(new_pty: Callable[..., Pty], told: Told) -> None:
    pty = new_pty(100, 30)

    def job(told: Told) -> None:
        half_a_job(told)
        fcntl.ioctl(pty.master, termios.TIOCSWINSZ, struct.pack("HHHH", 4, 10, 0, 0))
        told.task("run", "more", {"two": {}})
        told.finished("run")

    shown(pty, told, job)
    assert pty.terminal().cursor_shown


def test_without_unicode_everything_is_ascii(new_pty: Callable[..., Pty], told: Told) -> None:
    def job(told: Told) -> None:
        half_a_job(told)
        told.task("run", "prüfe 日本", {"one": {"outcome": "failed", "message": "ü\x07"}})
        told.finished("run", 1)

    pty = new_pty()
    shown(pty, told, job, LC_ALL="C")
    raw = pty.raw()
    assert raw.isascii()
    assert "x one FAILED: pr?fe ??: ??" in raw


def test_no_color_has_no_colours(new_pty: Callable[..., Pty], told: Told) -> None:
    pty = new_pty()
    shown(pty, told, broken_job, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", pty.raw())


def test_output_of_tests_moves_no_cursor(new_pty: Callable[..., Pty], told: Told) -> None:
    def job(told: Told) -> None:
        half_a_job(told)
        evil = "\x1b[2J\x1b[H\x1b]0;title\x07\x9b5A\x1b[?1049h gone"
        told.task("run", evil, {"one": {"outcome": "failed", "message": evil, "stdout": evil}, evil: {"stdout": evil}})
        told.finished("run", 1, evil)

    pty = new_pty()
    shown(pty, told, job, verbosity=4)
    assert pty.terminal().unknown == []


def test_a_terminal_that_is_closed_does_not_matter(told: Told) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as stream:

        def job() -> None:
            with display.opened("auto", verbosity=0, stdout=stream, stderr=stream, environ=ENVIRON) as screen:
                told.subscriber = screen
                half_a_job(told)
                os.close(master)
                told.finished("run")
                good_job(told)

        job()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY_EVENT, max_size=5))
def test_any_events_can_be_drawn(new_pty: Callable[..., Pty], events: list[dict[str, Any]]) -> None:
    pty = new_pty()
    board = picture(pty, unicode=False)
    board.take([{"event": "context_started", "context": "run"}, *events])
    board.close()
    terminal = pty.terminal()
    assert terminal.unknown == []
    assert terminal.cursor_shown
