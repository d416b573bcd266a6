"""Which numbers the users of jobs and their peons get, on whole hosts and in containers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.hosting import numbers
from kommandir.hosting.numbers import USERS, Layout, Slot
from kommandir.providers import identities, kommandir_init

ALL = 4294967295


@pytest.mark.parametrize(
    ("available", "slots", "size"),
    [(ALL, 64, 65536), (65 * 65536, 64, 65536), (3 * 65536, 2, 65536), (65536, 12, 4096), (65535, 0, 0), (1, 0, 0)],
)
def test_a_host_has_as_many_slots_as_its_numbers_allow(available: int, slots: int, size: int) -> None:
    found = numbers.layout(available)
    assert (found.slots, found.size) == (slots, size)
    assert bool(found.reduced) == (slots < 64)


@given(st.integers(1, ALL))
def test_slots_lie_apart_from_each_other_and_from_users(available: int) -> None:
    layout = numbers.layout(available)
    slots = [layout.slot(number) for number in range(layout.slots)]
    assert all(one.last < other.first for one, other in pairwise(slots))
    assert all(USERS.stop <= slot.first and slot.last < available - (slot.count < 65536) for slot in slots)
    assert all(slot.last < identities.ROOT_BASE for slot in slots)


@pytest.mark.parametrize("available", [65536, 3 * 65536, 65 * 65536])
def test_a_container_has_the_slots_that_its_provider_made_room_for(available: int) -> None:
    size, first, slots = kommandir_init.blocks(available)
    assert numbers.layout(available).slot(0) == Slot(0, size * first, size)
    assert numbers.layout(available).slots == slots


def test_numbers_are_counted_up_to_the_first_gap(tmp_path: Path) -> None:
    (tmp_path / "uid_map").write_text("0 1000 1\n1 100000 65536\n70000 900000 65536\n")
    (tmp_path / "gid_map").write_text("0 0 4294967295\n")
    assert numbers.of_this_host(tmp_path) == numbers.layout(65537)


def test_a_slot_is_free_when_no_job_and_nobody_else_has_it() -> None:
    layout = Layout(1000, 100, 4, None)
    assert numbers.free_slot(layout, {0}, [(1150, 1)]) == Slot(2, 1200, 100)
    assert numbers.free_slot(layout, {0, 1, 2, 3}, []) is None
    assert numbers.free_slot(layout, set(), [(900, 101), (1199, 500)]) is None


@given(st.one_of(st.none(), st.sampled_from(USERS)), st.sets(st.sampled_from(USERS), max_size=50))
def test_a_user_gets_the_next_number_that_nobody_has(last: int | None, taken: set[int]) -> None:
    found = numbers.free_user(last, taken)
    assert found in USERS
    assert found not in taken
    assert found != last


def test_when_all_are_taken_there_is_none() -> None:
    assert numbers.free_user(None, set(USERS)) is None
