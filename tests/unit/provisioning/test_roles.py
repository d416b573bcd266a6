"""What a role says of its variables, its defaults and the reference page agree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kommandir import content

ROLES = sorted(path.name for path in content.roles().iterdir())


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def options(role: str) -> dict[str, dict[str, Any]]:
    specification = read(content.roles() / role / "meta/argument_specs.yml")["argument_specs"]["main"]
    return dict(specification["options"])


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_are_those_that_are_told(role: str) -> None:
    defaults = read(content.roles() / role / "defaults/main.yml")
    told = options(role)
    assert {name: value for name, value in defaults.items() if name in told and "default" in told[name]} == {
        name: option["default"] for name, option in told.items() if "default" in option
    }


def shown(option: dict[str, Any]) -> str:
    """How the page shows the default of a variable."""
    if "default" not in option:
        return "required" if option.get("required") else ""
    default = option["default"]
    text = default if isinstance(default, str) else json.dumps(default)
    return "`" + (text or '""').replace("|", "\\|") + "`"


@pytest.mark.parametrize("role", ROLES)
def test_the_reference_has_every_variable(role: str, checkout: Path) -> None:
    page = (checkout / "docs/reference/roles.md").read_text()
    section = re.search(rf"(?ms)^## {role}\n(.*?)(?=^## |\Z)", page)
    assert section, f"docs/reference/roles.md has no section {role}"
    for name, option in options(role).items():
        assert f"| `{name}` | {option['type']} | {shown(option)} |" in section[1]


def test_the_reference_has_no_other_roles(checkout: Path) -> None:
    page = (checkout / "docs/reference/roles.md").read_text()
    assert re.findall(r"(?m)^## (\S+)$", page) == ROLES
