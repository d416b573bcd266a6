"""Files are the old ones or the new ones; waits end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kommandir import atomic
from kommandir.deadline import Deadline
from kommandir.errors import ExitCode, TimeOutError, UsageError, exit_code_of


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    atomic.write(file, "new", mode=0o600)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file() -> None:
    file = Path("/dev/shm") / f"atomic-{os.getpid()}"  # the limit below holds for any file system
    file.write_text("old")
    child = os.fork()
    if child == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic.write(file, "x" * 5000)
        except OSError:
            os._exit(0 if file.read_text() == "old" and not list(file.parent.glob(f".{file.name}*")) else 2)
        os._exit(1)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        file.unlink()


def test_a_deadline_says_what_was_waited_for() -> None:
    with pytest.raises(TimeOutError, match="gave up after 0 s waiting for SSH"):
        Deadline.after(0).check("SSH")
    Deadline.never().check("anything")


def test_the_earlier_deadline_counts() -> None:
    assert Deadline.after(100).within(1).given == 1
    assert Deadline.after(1).within(100).given == 1
    assert Deadline.after(1).within(None).given == 1


def test_exit_codes_are_distinct_and_errors_say_what_to_do() -> None:
    assert len({int(code) for code in ExitCode}) == len(ExitCode)
    error = UsageError("it broke", host="peon1", why="line one\nline two", log="/a/file", hint="mend it")
    assert str(error) == "peon1: it broke\n    line one\n    line two\n  all of it: /a/file\n  next: mend it"
    assert exit_code_of(error) == 2
