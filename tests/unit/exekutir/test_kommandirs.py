"""Which of a kommandir's groups makes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exekutir import kommandirs
from exekutir.job import Job


@pytest.mark.parametrize(
    ("groups", "provider"),
    [(["podman"], "podman"), (["lab", "podman"], "podman"), (["qemu", "lab"], "qemu"), (["mycloud", "lab"], "mycloud")],
)
def test_the_one_that_has_the_name_of_a_provider_makes_it(
    job_of: Callable[..., Job], groups: list[str], provider: str
) -> None:
    assert kommandirs.provider(job_of(kommandir_groups=groups)) == provider
