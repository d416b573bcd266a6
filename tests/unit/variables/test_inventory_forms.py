"""Both forms of inventory files against Ansible's own plugins: what they take, we take, and with the same values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exekutir.variables import inventory
from exekutir.variables.inventory import Inventory, Settings
from tests.unit.variables.conftest import load_plugins

Values = dict[str, dict[str, Any]]
#: Variables of hosts, variables of groups, children of groups.
Content = tuple[Values, Values, dict[str, set[str]]]

LINES = """\
[web]|[web:vars]|[web:children]|[db]|[db:children]|[all:vars]|[all]|[ungrouped]| [web] |[web] # c|[web:vras]|[we b]|[
a|b[1:3]|b[01:03]|b[1:]|b[:3]|c[a:c]x|n[a:b]m[1:2]|x[1:9:4]|x[1:9:0]|x[5:1]|n[1-3]|n[1:2]:2222|[::1]:22|h:22|h:|a:b:c|fe80::1
a x=1|a x='y z'|a x="1"|a x=1 #2|a x|a ansible_host=10.0.0.1 ansible_user=me|user@host|*|a,b|]
x=1|x = 1|x='a|x=[1, 2]|x={'a': 1}|x=b=c|x=yes # no|x=1#2|a=b|# comment|; c|web|db|"""


def of_ansible(path: Path) -> Content | None:
    """What Ansible finds in a file; None where it refuses it."""
    from ansible.errors import AnsibleError
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import inventory_loader

    load_plugins()
    data = InventoryData()
    plugin = inventory_loader.get("ini" if path.suffix == "" else "yaml")
    try:
        plugin.parse(data, DataLoader(), str(path))
    except (AnsibleError, ValueError):
        return None
    own = {"inventory_file", "inventory_dir"}
    hosts = {name: {key: host.vars[key] for key in host.vars.keys() - own} for name, host in data.hosts.items()}
    # A group that is called like a host gets these too.
    settings = {name: {key: group.vars[key] for key in group.vars.keys() - own} for name, group in data.groups.items()}
    groups = {name: known for name, known in settings.items() if known}
    children = {name: {child.name for child in group.child_groups} for name, group in data.groups.items()}
    children["all"] -= {"ungrouped"}  # always there, also unsaid
    return hosts, groups, {name: below for name, below in children.items() if below}


def of_ours(path: Path) -> tuple[Inventory, Content]:
    found = inventory.read({path.name: path})

    def last(settings: Settings) -> dict[str, Any]:
        return {name: places[-1].value for name, places in settings.items()}

    hosts = {name: last(settings) for name, settings in found.hosts.items()}
    groups = {name: last(group.settings) for name, group in found.groups.items() if group.settings}
    children = {name: set(group.children) for name, group in found.groups.items() if group.children}
    return found, (hosts, groups, children)


@settings(max_examples=150)
@given(st.lists(st.sampled_from([part for line in LINES.splitlines() for part in line.split("|")]), max_size=7))
def test_any_lines_are_taken_or_refused_as_ansible_does(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hosts"
        path.write_text("\n".join(["first", *lines]) + "\n")
        answer = of_ansible(path)
        ours, values = of_ours(path)
        assert (answer is None) == bool(ours.mistakes), ours.mistakes
        if answer is not None:
            assert values == answer


names = st.sampled_from(["web", "db", "site", "all"])
variables = st.none() | st.dictionaries(
    st.sampled_from(["x", "y"]), st.integers() | st.text("ab {}", max_size=4) | st.booleans() | st.lists(st.integers())
)
hosts = st.none() | st.just("lone") | st.dictionaries(st.sampled_from(["a", "b[1:2]", "c:22", "d"]), variables)
groups: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.fixed_dictionaries({}, optional={"hosts": hosts, "vars": variables}),
    lambda below: st.fixed_dictionaries(
        {}, optional={"hosts": hosts, "vars": variables, "children": st.none() | st.dictionaries(names, below)}
    ),
    max_leaves=4,
)


def has_loop(children: dict[str, set[str]], start: str, seen: tuple[str, ...] = ()) -> bool:
    return start in seen or any(has_loop(children, child, (*seen, start)) for child in children.get(start, ()))


@settings(max_examples=100)
@given(st.dictionaries(names, groups, min_size=1))
def test_any_tree_in_yaml_is_taken_as_ansible_does(tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hosts.yml"
        path.write_text(yaml.safe_dump(tree))
        ours, values = of_ours(path)
        if any(has_loop(values[2], name) for name in values[2]):
            assert "is its own ancestor" in str(ours.mistakes)
            return
        assert ours.mistakes == []
        assert values == of_ansible(path)


@given(st.text(st.sampled_from("[]:=#;'\"{}ab,- \n\\\t0é"), max_size=60), st.sampled_from(["hosts", "hosts.yml"]))
def test_no_text_breaks_the_reading(text: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        of_ours(path)
