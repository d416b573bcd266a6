"""What root knows of the users of jobs, and what keeps two callers apart."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from kommandir.errors import KommandirError, UsageError
from kommandir.hosting import accounts, locking
from kommandir.hosting.numbers import Slot
from kommandir.hosting.records import MAKING, Record, Records


def record(**values: object) -> Record:
    made = Record(user="job", uid=10000, slot=Slot(0, 65536, 65536), state=MAKING, made=1.0, touched=2.0)
    return made.changed(**values)


@pytest.mark.parametrize("slot", [None, Slot(3, 65536, 4096)])
def test_a_record_is_what_was_written(tmp_path: Path, slot: Slot | None) -> None:
    records = Records(tmp_path)
    records.write(record(slot=slot, releases=("1-a", "1-b")))
    assert records.read("job") == record(slot=slot, releases=("1-a", "1-b"))
    assert records.all() == [records.read("job")]
    assert (tmp_path / "job.json").stat().st_mode & 0o777 == 0o600
    records.discard("job")
    assert records.read("job") is None


def test_a_broken_record_names_itself(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(KommandirError, match=r"job\.json"):
        Records(tmp_path).read("job")


def test_the_last_number_is_kept(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.last_number is None
    records.last_number = 10005
    assert Records(tmp_path).last_number == 10005


def test_a_lock_is_held_by_one_at_a_time_also_when_it_is_removed(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            with locking.held(tmp_path / "lock", "it", passing=number % 2 == 0):
                inside.append(number)
                time.sleep(0.0005)
                assert inside == [number]
                inside.clear()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []


@pytest.mark.parametrize("name", ["", "Root", "1job", "a_b", "a" * 33, "../etc", "a b", "-a"])
def test_what_is_no_name_of_a_user_is_a_mistake(name: str) -> None:
    with pytest.raises(UsageError):
        accounts.demand_name(name)


@pytest.mark.parametrize(
    "text",
    ["", "hello", 'command="sh" ssh-ed25519 AAAA', "ssh-ed25519 AAAA\nmore", "-----BEGIN OPENSSH PRIVATE KEY-----"],
)
def test_what_is_no_key_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError):
        accounts.Accounts().add("job", text)
