"""Generations of a kommandir: one takes new jobs, jobs stay where they are, the last one out destroys, and no kill
at any write loses any of it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exekutir.generations import DAY, FILE_NAME, REMEMBERED, SKEW, Generation, Generations
from kommandir.errors import KommandirError

UUIDS = ("job-a", "job-b", "job-c")
LEASE = 10 * DAY


class Clock:
    """The clock of an exekutir."""

    def __init__(self) -> None:
        self.moment = 1_700_000_000.0

    def __call__(self) -> float:
        return self.moment


def generations(folder: Path, clock: Clock | None = None) -> Generations:
    return Generations(folder / "kommandir", clock=clock or Clock())


def made_ready(known: Generations, release: str = "1.0-abc") -> Generation:
    return known.ready(known.begin("podman"), {"ansible_host": "10.0.0.1"}, release)


class Life(RuleBasedStateMachine):
    """Jobs of several exekutirs, as they come, go, are killed and take each other's kommandirs away."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.registered: dict[str, int] = {}
        self.destroyed: set[int] = set()
        self.told: list[int] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @property
    def known(self) -> Generations:
        """Each call is that of another process, which has only the file."""
        return generations(self.folder, self.clock)

    @rule(uuid=st.sampled_from(UUIDS))
    def a_context_begins(self, uuid: str) -> None:
        one = self.known.of_job(uuid) or self.known.current() or self.known.begin("podman")
        assert one.number not in self.destroyed
        if one.state == "creating":
            one = self.known.ready(one, {"number": one.number})
        was_retired = one.state == "retired"
        assert not was_retired or self.registered.get(uuid) == one.number, "a retired one took a new job"
        assert self.known.enter(one, uuid, self.clock() + LEASE).number == one.number
        self.registered[uuid] = one.number

    @rule()
    def a_creation_is_begun_and_killed(self) -> None:
        if self.known.current() is None:
            self.known.begin("podman")

    @rule(uuid=st.sampled_from(UUIDS))
    def a_job_is_cleaned_up(self, uuid: str) -> None:
        # Also one whose registration has ended by itself meanwhile is told what is left to do where it was.
        number = next((one.number for one in self.known.all() if uuid in one.jobs), None)
        last = self.known.leave(uuid)
        self.registered.pop(uuid, None)
        others = number in self.registered.values()
        assert last is None or (last.number == number and last.state == "retired" and not others)
        if last:
            assert last.number not in self.told, "two were told to destroy the same one"
            self.told.append(last.number)
        assert self.known.leave(uuid) is None

    @rule(why=st.sampled_from(["stonith", "it does not answer"]))
    def the_current_one_is_retired(self, why: str) -> None:
        one = self.known.current()
        if one:
            assert self.known.retire(one, why).why_retired == why
            assert self.known.current() is None

    @rule(days=st.floats(0, 4))
    def time_goes_by(self, days: float) -> None:
        self.clock.moment += days * DAY
        alive = {uuid for one in self.known.all() for uuid in one.used_by(self.clock())}
        self.registered = {uuid: number for uuid, number in self.registered.items() if uuid in alive}
        self.known.retire_aged(3)

    @rule(killed=st.booleans())
    def what_is_to_be_destroyed_is(self, killed: bool) -> None:
        for one in self.known.to_destroy():
            assert one.number not in self.registered.values()
            assert one.number not in self.destroyed
            begun = self.known.destroying(one)
            assert begun in self.known.to_destroy(), "who is killed in the middle must be followed by somebody"
            if not killed:
                self.known.destroyed(begun)
                self.destroyed.add(one.number)

    @precondition(lambda self: self.known.current() is not None)
    @rule(data=st.data())
    def an_exekutir_is_killed_at_its_write(self, data: st.DataObject) -> None:
        one = self.known.current()
        assert one
        calls: list[Callable[[], Any]] = [
            lambda: self.known.retire(one, "stonith"),
            lambda: self.known.ready(one, {"killed": True}, "2.0-def"),
            lambda: self.known.begin("another provider"),
        ]
        before = self.known.all()
        killed_at_rename(data.draw(st.sampled_from(calls)), after=data.draw(st.booleans()))
        after = self.known.all()
        assert len(after) in (len(before), len(before) + 1)
        for uuid, number in self.registered.items():
            assert any(uuid in item.jobs and item.number == number for item in after)

    @invariant()
    def there_is_one_current_at_most_and_a_job_is_at_one(self) -> None:
        every = self.known.all()
        assert sum(one.state in ("creating", "ready") for one in every) <= 1
        where = [uuid for one in every for uuid in one.used_by(self.clock())]
        assert len(where) == len(set(where))
        assert {uuid: one.number for one in every for uuid in one.used_by(self.clock())} == self.registered
        assert len({one.number for one in every}) == len(every)
        assert sum(one.state == "destroyed" for one in every) <= REMEMBERED

    @invariant()
    def killed_writes_do_not_heap_up(self) -> None:
        assert len(list((self.folder / "kommandir").glob("*"))) <= 2


def killed_at_rename(call: Callable[[], Any], *, after: bool) -> None:
    """Make a call in a process that is killed when it renames the new file over the old one."""
    child = os.fork()
    if child == 0:
        try:
            rename = Path.replace

            def dying(self: Path, target: Any) -> Any:
                if after:
                    rename(self, target)
                os.kill(os.getpid(), signal.SIGKILL)

            Path.replace = dying  # type: ignore[method-assign]  # the process dies right here
            call()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL


TestLife = Life.TestCase


def test_the_first_one(tmp_path: Path) -> None:
    known = generations(tmp_path)
    assert known.current() is None
    assert known.all() == ()
    begun = known.begin("podman")
    assert (begun.name, begun.state, begun.provider) == ("kommandir-g1", "creating", "podman")
    assert known.begin("podman") == begun, "what was begun is finished"
    ready = known.ready(begun, {"ansible_host": "10.0.0.1"}, "1.0-abc")
    assert known.current() == ready
    assert (ready.state, ready.release, ready.host_vars) == ("ready", "1.0-abc", {"ansible_host": "10.0.0.1"})
    assert (tmp_path / "kommandir" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_what_was_begun_at_another_provider_is_replaced(tmp_path: Path) -> None:
    known = generations(tmp_path)
    half = known.begin("podman")
    assert known.begin("qemu").name == "kommandir-g2"
    assert [one.number for one in known.to_destroy()] == [half.number]


def test_new_jobs_get_a_fresh_one_and_the_last_one_out_destroys_the_old(tmp_path: Path) -> None:
    clock = Clock()
    known = generations(tmp_path, clock)
    old = made_ready(known)
    for uuid in ("a", "b"):
        known.enter(old, uuid, clock() + DAY)
    assert known.retire_aged(3) is None
    clock.moment += 2.9 * DAY
    known.enter(old, "a", clock() + DAY)
    known.enter(old, "b", clock() + DAY)
    clock.moment += 0.2 * DAY
    retired = known.retire_aged(3)
    assert retired
    assert retired.why_retired == "it is older than 3 days"
    new = made_ready(known)
    assert new.name == "kommandir-g2"
    with pytest.raises(KommandirError, match=r"kommandir-g1 can't take the job c: it is retired"):
        known.enter(old, "c", clock() + DAY)
    known.enter(new, "c", clock() + DAY)
    on_old = known.of_job("a")
    assert on_old
    assert on_old.number == old.number
    known.enter(on_old, "a", clock() + DAY)
    assert known.leave("b") is None
    last = known.leave("a")
    assert last
    assert last.name == "kommandir-g1"
    known.destroyed(known.destroying(last))
    assert known.to_destroy() == ()
    assert [one.state for one in known.all()] == ["destroyed", "ready"]


def test_a_job_that_moves_is_registered_at_one_place(tmp_path: Path) -> None:
    clock = Clock()
    known = generations(tmp_path, clock)
    dead = made_ready(known)
    known.enter(dead, "a", clock() + DAY)
    known.retire(dead, "it does not answer")
    known.enter(made_ready(known), "a", clock() + DAY)
    assert [one.name for one in known.to_destroy()] == ["kommandir-g1"]
    assert known.leave("a") is None, "the new one stays for others"


def test_a_registration_ends_by_itself_but_not_for_a_clock_that_is_a_little_ahead(tmp_path: Path) -> None:
    clock = Clock()
    known = generations(tmp_path, clock)
    one = made_ready(known)
    known.enter(one, "a", clock() + DAY)
    known.retire(one, "stonith")
    clock.moment += DAY + SKEW
    assert known.to_destroy() == ()
    assert known.of_job("a")
    clock.moment += 1
    assert [item.name for item in known.to_destroy()] == ["kommandir-g1"]
    assert known.of_job("a") is None
    with pytest.raises(KommandirError, match="it is retired"):
        known.enter(one, "a", clock() + DAY)


def test_a_clock_that_was_far_ahead_gives_no_longer_life(tmp_path: Path) -> None:
    ahead = Clock()
    ahead.moment += 365 * DAY
    made_ready(generations(tmp_path, ahead))
    clock = Clock()
    known = generations(tmp_path, clock)
    one = known.current()
    assert one
    assert one.age(clock()) == 0
    known.enter(one, "a", clock() + DAY)  # any write heals it
    clock.moment += 3.1 * DAY
    assert known.retire_aged(3)


def test_an_age_of_no_days_never_ends(tmp_path: Path) -> None:
    clock = Clock()
    known = generations(tmp_path, clock)
    made_ready(known)
    clock.moment += 1000 * DAY
    assert known.retire_aged(0) is None


def test_what_is_used_or_current_is_not_destroyed(tmp_path: Path) -> None:
    clock = Clock()
    known = generations(tmp_path, clock)
    one = made_ready(known)
    with pytest.raises(KommandirError, match="it is ready"):
        known.destroying(one)
    known.enter(one, "a", clock() + DAY)
    known.retire(one, "stonith")
    with pytest.raises(KommandirError, match="job a is registered there"):
        known.destroying(one)
    known.leave("a")
    begun = known.destroying(one)
    with pytest.raises(KommandirError, match="it is destroying"):
        known.ready(begun, {})


def test_only_the_last_few_of_the_gone_are_remembered_and_no_number_is_used_twice(tmp_path: Path) -> None:
    known = generations(tmp_path)
    for number in itertools.count(1):
        one = made_ready(known)
        assert one.number == number
        known.destroyed(known.destroying(known.retire(one, "stonith")))
        if number > REMEMBERED + 2:
            break
    assert [one.number for one in known.all()] == [4, 5, 6]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "last": 1, "generations": [{}]}'])
def test_a_broken_file_is_said(tmp_path: Path, text: str) -> None:
    known = generations(tmp_path)
    known.begin("podman")
    known.path.write_text(text)
    with pytest.raises(KommandirError, match="can't be read") as error:
        known.current()
    assert str(known.path) in str(error.value)


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "kommandir").write_text("")
    with pytest.raises(KommandirError, match="can't be"):
        generations(tmp_path).begin("podman")


def test_the_file_is_for_people_too(tmp_path: Path) -> None:
    known = generations(tmp_path)
    made_ready(known)
    told = json.loads(known.path.read_text())
    assert told["generations"][0]["name"] == "kommandir-g1"
