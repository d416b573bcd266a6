"""Long transfers take ciphers that the processor is good at, unless a provider knows better; ssh itself says which."""

from __future__ import annotations

import subprocess
from pathlib import Path

from exekutir.remote.host import RemoteHost


def ciphers(*options: str) -> list[str]:
    """What ssh would offer, best first."""
    host = RemoteHost(name="one", address="192.0.2.1", key=Path("key"), known_hosts=Path("known"), options=options)
    *words, target = host.ssh()
    told = subprocess.run([*words, "-G", target], check=True, capture_output=True, text=True).stdout
    return next(line for line in told.splitlines() if line.startswith("ciphers ")).split()[1].split(",")


def test_the_first_cipher_is_what_the_processor_is_good_at() -> None:
    knows_aes = "aes" in Path("/proc/cpuinfo").read_text().split()

    assert ciphers()[0] == ("aes128-gcm@openssh.com" if knows_aes else "chacha20-poly1305@openssh.com")


def test_no_cipher_that_openssh_offers_by_itself_is_lost() -> None:
    told = subprocess.run(["ssh", "-F", "none", "-G", "one"], check=True, capture_output=True, text=True).stdout
    own = next(line for line in told.splitlines() if line.startswith("ciphers ")).split()[1].split(",")

    assert sorted(ciphers()) == sorted(own)


def test_a_provider_chooses_the_ciphers_of_its_hosts() -> None:
    assert ciphers("-o", "Ciphers=aes256-ctr") == ["aes256-ctr"]
