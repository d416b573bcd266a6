"""Where the content lies in a checkout; tests/end_to_end/test_wheel.py asks the same of a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from kommandir import content


def test_the_content_of_a_checkout_is_its_top_level(checkout: Path) -> None:
    assert content.root() == checkout
    places = [content.ansible_cfg(), content.roles(), content.playbooks(), content.inventory(), content.jobs()]
    assert [place.relative_to(checkout).as_posix() for place in places if place.exists()] == [
        "ansible.cfg",
        "roles",
        "playbooks",
        "inventory",
        "job_path",
    ]


def test_bundled_jobs_are_found_by_name() -> None:
    assert {"broken", "ci", "quickstart"} <= set(content.bundled_jobs())
    for name in content.bundled_jobs():
        assert content.bundled_job(name) == content.jobs() / name


@pytest.mark.parametrize("name", ["", ".", "..", "../roles", "/etc", "quickstart/../ci", "no_such_job"])
def test_whatever_is_no_name_of_a_job_finds_none(name: str) -> None:
    assert content.bundled_job(name) is None
