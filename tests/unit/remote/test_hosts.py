"""How ssh and rsync are told where a host is."""

from __future__ import annotations

from pathlib import Path

import pytest

from exekutir.remote.host import RemoteHost


@pytest.mark.parametrize(
    ("address", "target"),
    [("lab.example.org", "root@lab.example.org:/x"), ("2001:db8::1", "root@[2001:db8::1]:/x")],
)
def test_a_colon_in_an_address_is_not_the_one_before_the_path(address: str, target: str) -> None:
    assert RemoteHost(name="one", address=address, key=Path("key"), known_hosts=Path("known")).target("/x") == target
