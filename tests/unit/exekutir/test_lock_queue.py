"""First come, first served: nobody who waits for a lock is passed by those who come later, for ever."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from exekutir.lock_holders import Holder
from exekutir.lock_queue import Queue
from exekutir.locks import LockFolder
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from tests.patience import until

#: Leases long enough that a busy machine does not lose them.
KINDS = pytest.mark.parametrize("lease", [0.0, 20.0], ids=["kernel", "leases"])


def locks(folder: Path, lease: float, job: str = "mine", seconds: float = 120) -> LockFolder:
    return LockFolder(folder, job, "run", Deadline.after(seconds), Cancellation(), lambda *_: None, lease)


def more_wait(folder: Path, than: int) -> bool:
    return len(list(folder.glob("k.setup.queue.*"))) > than


class Stream:
    """Holders that come one after the other, each before the last one has left, until it is over."""

    def __init__(self, hold: Callable[[str], AbstractContextManager[None]], *, width: int) -> None:
        self.hold, self.over, self.count = hold, threading.Event(), 0
        self._threads = [threading.Thread(target=self._come, args=(number,)) for number in range(width)]

    def _come(self, number: int) -> None:
        while not self.over.is_set():
            with self.hold(f"stream-{number}"):
                self.count += 1
                self.over.wait(0.15 + number * 0.07)

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        until(lambda: self.count >= len(self._threads))
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()


@KINDS
def test_who_destroys_is_not_starved_by_a_stream_of_users(tmp_path: Path, lease: float) -> None:
    with (
        Stream(lambda job: locks(tmp_path, lease, job).use("k"), width=4) as stream,
        locks(tmp_path, lease).use("k", shared=False),
    ):
        before = stream.count
        time.sleep(0.5)
        assert stream.count == before, "it was not alone"


@KINDS
def test_a_user_is_not_starved_by_a_stream_of_those_who_want_it_alone(tmp_path: Path, lease: float) -> None:
    with (
        Stream(lambda job: locks(tmp_path, lease, job).use("k", shared=False), width=1),
        Stream(lambda job: locks(tmp_path, lease, job).use("k", shared=False), width=1),
        locks(tmp_path, lease).use("k"),
    ):
        pass


@KINDS
def test_those_who_wait_are_served_in_the_order_in_which_they_came(tmp_path: Path, lease: float) -> None:
    order: list[int] = []

    def one(number: int) -> None:
        with locks(tmp_path, lease, str(number)).setup("k"):
            order.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    with locks(tmp_path, lease).setup("k"):
        for thread in threads:
            before = len(list(tmp_path.glob("k.setup.queue.*")))
            thread.start()
            until(functools.partial(more_wait, tmp_path, before))
    for thread in threads:
        thread.join()
    assert order == list(range(6))
    assert not list(tmp_path.glob("*.queue.*"))
    assert not list(tmp_path.glob("*.holder.*"))


WAIT = """
    import sys
    from pathlib import Path
    from exekutir.locks import LockFolder
    from kommandir.cancellation import Cancellation
    from kommandir.deadline import Deadline
    locks = LockFolder(Path(sys.argv[1]), "theirs", "run", Deadline.after(90), Cancellation(), lambda *_: None, 0.0)
    with locks.setup("k"):
        print("had", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_is_killed_or_stopped_while_he_waits_keeps_nobody_waiting(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WAIT), str(tmp_path)]
    with ExitStack() as held:
        held.enter_context(locks(tmp_path, 0.0).setup("k"))
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            until(lambda: list(tmp_path.glob("k.setup.queue.*")))
            os.kill(waiting.pid, number)
            held.close()
            with locks(tmp_path, 0.0).setup("k"):
                pass
            os.kill(waiting.pid, signal.SIGCONT)
            assert waiting.communicate()[0] == ("had\n" if number == signal.SIGSTOP else "")
        finally:
            waiting.kill()
            waiting.wait()
    assert not list(tmp_path.glob("*.queue.*"))


def test_a_ticket_that_is_gone_is_taken_anew(tmp_path: Path) -> None:
    holder = Holder.this("k.setup", "mine", "run")
    with Queue(tmp_path, holder) as queue:
        queue.wait()
        next(tmp_path.glob("k.setup.queue.*")).unlink()
        time.sleep(1.1)
        queue.wait()
        assert len(list(tmp_path.glob("k.setup.queue.*"))) == 1
        assert queue.first()
    assert not list(tmp_path.iterdir())
