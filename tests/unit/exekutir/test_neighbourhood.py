"""What lives on another exekutir: a kommandir that podman or QEMU made there, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from exekutir.generations import Generation, Generations
from exekutir.kommandirs import neighbourhood
from kommandir.errors import UsageError

ELSEWHERE = {"host": "worker-a", "machine": "0" * 32}


def begun(folder: Path, provider: str) -> tuple[Generations, Generation]:
    known = Generations(folder / "ci-kommandir")
    return known, known.begin(provider, neighbourhood.maker(provider))


@pytest.mark.parametrize("provider", ["podman", "qemu", "existing", "mycloud"])
def test_what_was_made_here_is_ours(tmp_path: Path, provider: str) -> None:
    known, one = begun(tmp_path, provider)

    assert neighbourhood.is_ours(one, provider)
    neighbourhood.demand_ours(one, provider, known.path)


@pytest.mark.parametrize(
    ("changes", "ours"),
    [({"host": "new-name"}, True), ({"machine": "0" * 32}, True), (ELSEWHERE, False)],
    ids=["renamed", "a new machine-id", "another host"],
)
def test_a_host_is_known_by_its_name_or_its_machine(tmp_path: Path, changes: dict[str, str], ours: bool) -> None:
    _, one = begun(tmp_path, "podman")
    changed = dataclasses.replace(one, maker={**one.maker, **changes})

    assert neighbourhood.is_ours(changed, "podman") == ours


def test_one_of_another_host_is_refused_with_that_host_and_what_to_do(tmp_path: Path) -> None:
    known = Generations(tmp_path / "ci-kommandir")
    one = known.begin("podman", ELSEWHERE)

    with pytest.raises(UsageError, match="worker-a") as refused:
        neighbourhood.demand_ours(one, "podman", known.path)

    assert refused.value.host == "ci-kommandir-g1"
    assert "lock_dir" in str(refused.value.hint)


def test_what_another_provider_made_is_refused_with_both_of_them(tmp_path: Path) -> None:
    known, one = begun(tmp_path, "podman")

    with pytest.raises(UsageError, match=r"made by `podman`.*begins with `qemu`"):
        neighbourhood.demand_ours(one, "qemu", known.path)
