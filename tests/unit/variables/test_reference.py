from __future__ import annotations

from pathlib import Path

import pytest

from exekutir.variables import reference
from exekutir.variables.schema import KNOWN
from kommandir.errors import ExitCode


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_up_to_date(checkout: Path, name: str) -> None:
    page = (checkout / "docs" / "reference" / name).read_text()
    assert page == reference.PAGES[name]().rstrip("\n") + "\n", "run `python -m exekutir.variables.reference`"


def test_every_variable_and_exit_code_is_there_once() -> None:
    page = reference.variables()
    assert [name for name in KNOWN if page.count(f"### `{name}`\n") != 1] == []
    codes = reference.exit_codes()
    assert [code for code in ExitCode if codes.count(f"| {int(code)} | `{code.name}` | {code.meaning} |") != 1] == []
