"""The role `compatible_ansible` asks for what exekutir's own dependencies ask for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement


def test_the_range_is_that_of_the_dependencies(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    [own] = [each for each in map(Requirement, project["dependencies"]) if each.name == "ansible-core"]
    told = yaml.safe_load((checkout / "roles/compatible_ansible/defaults/main.yml").read_text())
    wanted = {(">=", told["compatible_ansible_minimum"]), ("<", told["compatible_ansible_below"])}
    assert {(each.operator, each.version) for each in own.specifier} == wanted
