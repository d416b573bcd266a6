"""Children end with their deadline, with our signal, and never drag us along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kommandir import process
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import StoppedError, TimeOutError
from tests.patience import until

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def shell(script: str, **more: object) -> process.Outcome:
    return process.run(["sh", "-c", script], environment=ENVIRONMENT, **more)  # type: ignore[arg-type]  # as given


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("script", "code", "end"),
    [("exit 0", 0, "exit code 0"), ("exit 3", 3, "exit code 3"), ("kill -9 $$", -9, "killed by SIGKILL")],
)
def test_what_came_of_it_is_a_value(script: str, code: int, end: str) -> None:
    outcome = shell(script)
    assert (outcome.code, outcome.end, outcome.good) == (code, end, code == 0)


def test_both_streams_are_kept_apart_and_given_out_line_by_line(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    with (tmp_path / "out").open("wb") as out:
        outcome = shell("echo one; echo two >&2; printf three", stdout=out, on_line=lambda *line: lines.append(line))
    assert (outcome.stdout, outcome.stderr) == ("one\nthree", "two\n")
    assert sorted(lines) == [("stderr", "two"), ("stdout", "one"), ("stdout", "three")]
    assert (tmp_path / "out").read_text() == "one\nthree"


def test_standard_input_reaches_the_child() -> None:
    assert shell("cat", standard_input=b"hello").stdout == "hello"


def test_a_deadline_ends_the_whole_group_even_where_it_ignores_term(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(TimeOutError, match=r"longer than 0\.5 s"):
        shell(f"trap '' TERM; sleep 60 & echo $! $$ > {pids}; wait; sleep 60", deadline=Deadline.after(0.5))
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def test_a_signal_at_us_ends_the_child(tmp_path: Path) -> None:
    cancellation = Cancellation()
    timer = threading.Timer(0.3, cancellation.request, [signal.SIGTERM])
    timer.start()
    with pytest.raises(StoppedError, match="SIGTERM while sleeping"):
        shell(f"echo $$ > {tmp_path}/pid; sleep 60", cancellation=cancellation, doing="sleeping")
    timer.join()
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_daemon_that_keeps_the_pipe_does_not_hold_us(tmp_path: Path) -> None:
    outcome = shell(f"setsid sleep 60 & echo $! > {tmp_path}/pid; echo done", deadline=Deadline.after(30))
    assert outcome.stdout == "done\n"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_flood_of_output_stays_within_bounds(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        outcome = shell("echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last", stdout=out)
    assert outcome.stdout.startswith("first\n")
    assert outcome.stdout.endswith("last\n")
    assert len(outcome.stdout) <= process.KEPT + 1
    assert (tmp_path / "out").stat().st_size > 5_000_000


def test_what_is_not_there_can_not_be_started() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/nowhere/at/all"], environment=ENVIRONMENT)


def test_strays_are_found_by_their_tag() -> None:
    tag = f"stray-{os.getpid()}"
    pid = os.spawnvpe(os.P_NOWAIT, "sleep", ["sleep", "60"], {**ENVIRONMENT, "EXEKUTIR_JOB": tag})
    try:
        until = time.monotonic() + 10
        while pid not in process.tagged("EXEKUTIR_JOB", tag) and time.monotonic() < until:
            time.sleep(0.01)
        assert list(process.tagged("EXEKUTIR_JOB", tag)) == [pid]
        assert not list(process.tagged("EXEKUTIR_JOB", tag + "0"))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_signal_that_another_thread_got_ends_the_wait(tmp_path: Path) -> None:
    """As while a process is started: the main thread takes no signals then, and so another one of us gets them."""
    (tmp_path / "waits.py").write_text(
        "import select, signal, threading, time\n"
        "from kommandir.cancellation import Cancellation\n"
        "cancellation = Cancellation()\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "with cancellation.handling_signals():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "    print('waits', flush=True)\n"
        "    while not cancellation.requested:\n"
        "        select.select([cancellation.fileno()], [], [])\n"
        "print(cancellation.signal_number)\n"
    )
    child = subprocess.Popen([sys.executable, str(tmp_path / "waits.py")], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waits\n"
        asleep = Path(f"/proc/{child.pid}/task/{child.pid}/stat")
        until(lambda: asleep.read_text().rpartition(")")[2].split()[0] == "S")
        child.terminate()
        said, _ = child.communicate(timeout=60)
        assert (said, child.returncode) == ("15\n", 0)
