"""The inventory is read as Ansible reads it: Ansible is asked in each of these tests."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exekutir.variables import inventory
from exekutir.variables.inventory import Inventory
from exekutir.variables.job_content import JobContent
from exekutir.variables.overlay import Overlay
from exekutir.variables.sources import Variables
from kommandir.yamlfile import Document
from tests.unit.variables.conftest import Ask, Write


def read(folder: Path) -> Inventory:
    return inventory.read(Overlay((folder,)).files("inventory"))


def values(folder: Path, names: set[str]) -> dict[str, dict[str, Any]]:
    """What we say that each host has of ``names``."""
    content = JobContent(None, Overlay((folder,)))
    variables = Variables({}, Document({}, "exekutir_vars.yml"), content)
    found: dict[str, dict[str, Any]] = {}
    for host in content.inventory.hosts:
        winners = {name: [source for source in variables.sources(name, host) if source.counts] for name in names}
        found[host] = {name: sources[0].value for name, sources in winners.items() if sources}
    return found


def of_ansible(answers: dict[str, dict[str, Any]], names: set[str]) -> dict[str, dict[str, Any]]:
    return {host: {name: its[name] for name in names if name in its} for host, its in answers.items()}


LAYOUTS = {
    "a range and a port": {"inventory/hosts": "web[01:03]:2222 x=1\n[db]\ndb[a:c:2] x='two words' # comment\n"},
    "literals": {
        "inventory/hosts": "a x=yes y=1.5 z=\"['b', 'c']\" w={'k':1} v=0x1F\n[all:vars]\nt=(1, 2)\nu='a b'\nx=no\n"
    },
    "group variables of the file are weaker than group_vars/all": {
        "inventory/hosts": "[web]\na\n[web:vars]\nx=file\ny=file\n",
        "inventory/group_vars/all.yml": "x: all\n",
    },
    "children over parents": {
        "inventory/hosts": "[leaf]\na\n[zroot:children]\nleaf\n[zroot:vars]\nx=root\n[leaf:vars]\nx=leaf\n",
        "inventory/group_vars/zroot.yml": "y: root\n",
        "inventory/group_vars/leaf/b.yml": "y: leaf b\n",
        "inventory/group_vars/leaf/a.yml": "y: leaf a\nz: leaf a\n",
    },
    "names among equals": {
        "inventory/hosts": "[b]\nh\n[a]\nh\n",
        "inventory/group_vars/a.yml": "x: a\n",
        "inventory/group_vars/b.yml": "x: b\n",
    },
    "priority among equals": {
        "inventory/hosts": "[b]\nh\n[a]\nh\n[a:vars]\nansible_group_priority=10\n",
        "inventory/group_vars/a.yml": "x: a\n",
        "inventory/group_vars/b.yml": "x: b\n",
    },
    "the folder hides the file": {
        "inventory/hosts": "[g]\nh\n",
        "inventory/group_vars/g/main.yml": "x: folder\n",
        "inventory/group_vars/g.yml": "x: file\ny: file\n",
    },
    "odd names in folders": {
        "inventory/hosts": "[g]\nh\n",
        "inventory/group_vars/g/.hidden.yml": "x: hidden\n",
        "inventory/group_vars/g/old.yml~": "x: backup\n",
        "inventory/group_vars/g/notes.txt": "x: text\n",
        "inventory/group_vars/g/deep/a.yml": "x: deep\n",
        "inventory/group_vars/g/noext": "y: noext\n",
        "inventory/group_vars/g/data.json": '{"z": "json"}',
        "inventory/group_vars/g/dotted.d/a.yml": "w: dotted\n",
    },
    "beside the playbook": {
        "inventory/hosts": "[g]\nh\n",
        "inventory/group_vars/g.yml": "x: inventory\ny: inventory\n",
        "inventory/group_vars/all.yml": "z: inventory\nw: inventory\n",
        "inventory/host_vars/h.yml": "v: inventory\n",
        "group_vars/all.yml": "x: playbook\nz: playbook\n",
        "group_vars/g.yml": "y: playbook\n",
        "host_vars/h.yml": "v: playbook\n",
    },
    "hosts over groups": {
        "inventory/hosts": "[g]\nh x=line y=line\n[g:vars]\nx=group\n",
        "inventory/host_vars/h.yml": "y: host_vars\n",
        "inventory/group_vars/g.yml": "x: group_vars\ny: group_vars\n",
    },
    "YAML": {
        "inventory/hosts.yml": "web:\n  hosts:\n    a: {x: 1}\n    b[1:2]:\n  vars: {x: 2, y: yes}\n"
        "  children:\n    inner:\n      hosts:\n        c:\n      vars:\n        x: 3\n",
    },
    "YAML without a telling name": {"inventory/hosts": "---\nall:\n  hosts:\n    a:\n      x: 1\n  vars:\n    x: 2\n"},
    "several files": {
        "inventory/10_hosts": "[g]\nh x=first\n",
        "inventory/20_more": "[g]\nh x=second\ni\n",
        "inventory/README.md": "not an inventory = at all\n",
        "inventory/deeper/hosts": "[k]\nj x=deep\n",
    },
    "ungrouped": {
        "inventory/hosts": "lone\n[g]\nh\n[ungrouped:vars]\nx=1\n",
        "inventory/group_vars/ungrouped.yml": "y: 1\n",
    },
    "a group in two places of the tree": {
        "inventory/hosts": "[leaf]\nh\n[mid:children]\nleaf\n[top:children]\nmid\nleaf\n",
        "inventory/group_vars/top.yml": "x: top\n",
        "inventory/group_vars/mid.yml": "x: mid\ny: mid\n",
        "inventory/group_vars/leaf.yml": "y: leaf\n",
    },
}
NAMES = {"x", "y", "z", "w", "v", "u", "t", "ansible_port"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_host_has_what_ansible_says(tmp_path: Path, write: Write, ask_ansible: Ask, layout: str) -> None:
    write(tmp_path, LAYOUTS[layout])
    assert read(tmp_path).mistakes == []
    assert values(tmp_path, NAMES) == of_ansible(ask_ansible(tmp_path / "inventory"), NAMES)


groups = st.sampled_from(["g1", "g2", "g3", "g4"])
edges = st.sets(st.tuples(groups, groups).filter(lambda pair: pair[0] < pair[1]), max_size=4)
#: Which places set the variable: of the file, of group_vars, of host_vars.
places = st.sets(
    st.sampled_from([*itertools.product(("file", "vars"), ("g1", "g2", "g3", "g4", "all")), ("host", "h")])
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edges=edges,
    member=st.sets(groups, min_size=1),
    places=places,
    priorities=st.dictionaries(groups, st.integers(1, 3)),
)
def test_random_trees_of_groups_come_out_as_ansible_has_them(
    write: Write,
    ask_ansible: Ask,
    edges: set[tuple[str, str]],
    member: set[str],
    places: set[tuple[str, str]],
    priorities: dict[str, int],
) -> None:
    lines = [f"[{group}]\n" + ("h\n" if group in member else "") for group in ("g1", "g2", "g3", "g4")]
    lines += [f"[{parent}:children]\n{child}\n" for parent, child in sorted(edges)]
    lines += [f"[{group}:vars]\nansible_group_priority={value}\n" for group, value in priorities.items()]
    lines += [f"[{group}:vars]\nx=file-{group}\n" for kind, group in sorted(places) if kind == "file"]
    files = {"inventory/hosts": "".join(lines)}
    for kind, name in places:
        if kind != "file":
            files[f"inventory/{'group' if kind == 'vars' else 'host'}_vars/{name}.yml"] = f"x: {kind}-{name}\n"
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name), files)
        assert values(folder, {"x"}) == of_ansible(ask_ansible(folder / "inventory"), {"x"})


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        ({"hosts": "[web]\na\n[web:vras]\nx=1\n"}, "hosts:3", "unknown type, did you mean `vars`?"),
        ({"hosts": "[web\n[a b]\n"}, "hosts:2", "is no section"),
        ({"hosts": "[web]\na\n[site:children]\nwbe\n"}, "hosts:4", "`wbe`, which is not defined"),
        ({"hosts": "[severs:vars]\nx=1\n[servers]\na\n"}, "hosts:1", "is not defined, did you mean `servers`?"),
        ({"hosts": "a x = 1\n"}, "hosts:1", "is no variable"),
        ({"hosts": "a 'x\n"}, "hosts:1", "can't be read: No closing quotation"),
        ({"hosts": "a[3:1x]\n"}, "hosts:1", "neither of numbers nor of letters"),
        ({"hosts": "a[c:a]\n"}, "hosts:1", "ends before it begins"),
        ({"hosts": "[all:vars]\nnothing\n"}, "hosts:2", "is no variable"),
        ({"hosts": "[a:children]\nb\n[b:children]\na\n"}, "hosts:1", "is its own ancestor"),
        (
            {"hosts.yml": "web:\n  host:\n    a:\n"},
            "hosts.yml:2",
            "unknown key `host` of group `web`, did you mean `hosts`?",
        ),
        ({"hosts.yml": "web:\n  hosts:\n    - a\n"}, "hosts.yml:2", "must be a mapping, but is a list"),
        ({"hosts.yml": "web: [a]\n"}, "hosts.yml:1", "must be a mapping of hosts, children, vars"),
        ({"hosts.yml": "web:\n  hosts:\n    a: 5\n"}, "hosts.yml:3", "must hold a mapping of variables"),
        ({"hosts.yml": "web:\n  hosts: {a: [\n"}, "hosts.yml:3", "not valid YAML"),
        ({"hosts.yml": ""}, "hosts.yml:1", "is empty"),
    ],
)
def test_mistakes_have_file_and_line(
    tmp_path: Path, write: Write, files: dict[str, str], place: str, message: str
) -> None:
    found = read(write(tmp_path, {f"inventory/{name}": text for name, text in files.items()})).mistakes
    assert any(f"{place}:" in f"{mistake.place}:" and message in mistake.message for mistake in found), found


def test_what_can_not_be_read_is_a_mistake_not_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts").write_bytes(b"\xff\xfe")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    assert sorted(mistake.message.split(":")[0] for mistake in read(tmp_path).mistakes) == [
        "can't be read",
        "is not UTF-8 text",
    ]


def test_scripts_and_plugins_are_not_run(tmp_path: Path, write: Write) -> None:
    write(tmp_path, {"inventory/script": "#!/bin/false\n", "inventory/cloud.yml": "plugin: some.cloud\n"})
    found = read(tmp_path)
    assert [path.name for path in found.dynamic] == ["cloud.yml", "script"]
    assert found.mistakes == []
