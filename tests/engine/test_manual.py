"""The table that leads from the manual to code and tests leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.engine import test_cases_inputs, test_cases_life, test_cases_steps, test_cases_transitions

CHECKOUT = Path(__file__).resolve().parents[2]
TABLE = CHECKOUT / "docs" / "reference" / "narval-manual.md"
CASES = {
    "test_cases_inputs.py": set(test_cases_inputs.case),
    "test_cases_steps.py": set(test_cases_steps.case),
    "test_cases_transitions.py": set(test_cases_transitions.case),
    "test_cases_life.py": {*test_cases_life.case, *(each[0] for each in test_cases_life.TIMES), "J16"},
}
ROWS = [line for line in TABLE.read_text().splitlines() if line.startswith("| ") and "`" in line]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_row(row: str) -> None:
    _start, section, _says, code, tests, _end = row.split("|")
    for name in re.findall(r"`([^`]+)`", code):
        assert (CHECKOUT / "narval_engine" / name).is_file(), f"{section}: {name}"
    for name, ids in re.findall(r"`(test_\w+\.py)`((?: [^`,]+,?)*)", tests):
        assert (CHECKOUT / "tests" / "engine" / name).is_file(), f"{section}: {name}"
        for case in filter(None, (part.strip() for part in ids.split(","))):
            assert case in CASES[name], f"{section}: {name} has no case {case!r}"
