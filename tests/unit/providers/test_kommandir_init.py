"""How a container that is a kommandir shares its numbers out among the users of jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.providers import identities, kommandir_init, ssh


@pytest.mark.parametrize(
    ("count", "size", "slots"),
    [
        (kommandir_init.MOST, 65536, 64),
        (1 << 32, 65536, 64),
        (3 * 65536 + 5, 65536, 2),
        (2 * 65536, 65536, 1),
        (65537, 4096, 12),
        (65536, 4096, 12),
    ],
)
def test_there_are_whole_blocks_or_else_small_ones(count: int, size: int, slots: int) -> None:
    assert kommandir_init.blocks(count)[::2] == (size, slots)


@given(st.integers(identities.COUNT, 1 << 32))
def test_blocks_lie_within_the_numbers_and_spare_the_containers_own(count: int) -> None:
    size, first, slots = kommandir_init.blocks(count)
    assert size * (first + slots) <= count
    assert size >= identities.LEAST
    assert size * first > 12000, "users of jobs have numbers below"
    assert not size * first <= 65534 < size * (first + slots), "nobody"


@given(st.integers(identities.LEAST, identities.COUNT), st.integers(0, 1 << 31))
def test_a_peon_of_few_numbers_has_a_nobody_too(count: int, first: int) -> None:
    extents = identities.extents(first, count)
    assert sum(entry[2] for entry in extents) == count
    inside = {number for start, _, length in extents for number in (start, start + length - 1)}
    assert {0, 65534} <= inside | set(range(extents[0][2]))
    outside = sorted((start, length) for _, start, length in extents)
    assert outside[0][0] == first
    assert sum(outside[-1]) == first + count


def test_login_defs_keeps_what_it_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "login.defs"
    file.write_text("# comment\nUMASK\t\t022\n#HOME_MODE\t0755\nSUB_UID_MIN\t\t   100000\nSUB_UID_COUNT 1\n")
    for _ in range(2):
        kommandir_init.write_login_defs({"SUB_UID_MIN": 65536, "SUB_UID_MAX": 131071}, str(file))
        assert file.read_text() == (
            "# comment\nUMASK\t\t022\nHOME_MODE 0700\nSUB_UID_MIN 65536\nSUB_UID_COUNT 1\nSUB_UID_MAX 131071\n"
        )


def test_a_further_key_is_let_in_once(tmp_path: Path) -> None:
    ssh.authorize(str(tmp_path), b"ssh-ed25519 AAAA first\n")
    assert ssh.authorize_also(str(tmp_path), b"ssh-ed25519 BBBB second\n")
    assert not ssh.authorize_also(str(tmp_path), b"ssh-ed25519 BBBB second\n")
    assert not ssh.authorize_also(str(tmp_path), b"ssh-ed25519 AAAA first\n")
    assert ssh.keys_file(str(tmp_path))[2].count(b"\n") == 2
