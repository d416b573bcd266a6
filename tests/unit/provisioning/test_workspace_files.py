"""The files that provisioning writes for Ansible, ssh and people."""

from __future__ import annotations

import base64
import multiprocessing
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kommandir import host_vars, known_hosts, peon_results
from kommandir.cloud_command import KEPT, CloudCommand, Kept
from kommandir.errors import ProvisioningError, UsageError
from kommandir.peon_results import Failure
from kommandir.redaction import Redactor


def key(number: int = 0, kind: str = "ssh-ed25519") -> str:
    data = struct.pack(">I", len(kind)) + kind.encode() + struct.pack(">I", 32) + bytes([number]) * 32
    return f"{kind} {base64.b64encode(data).decode()}"


# -- host variables


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (None, "one.yml"),
        ("one", "one"),
        ("one.yml", "one.yml"),
        ("one.yaml", "one.yaml"),
        ("one.json", "one.json"),
        ("one/vars.yml", "one/zz_provisioned.yml"),
    ],
)
def test_variables_go_where_ansible_reads_them(workspace: Path, there: str | None, written: str) -> None:
    folder = workspace / "inventory/host_vars"
    if there:
        (folder / there).parent.mkdir(exist_ok=True)
        (folder / there).write_text('{"ansible_user": "me", "own": "value"}')
    assert host_vars.merged(workspace, "one", {"ansible_user": "root"}) == folder / written
    inventory = workspace / "inventory" / "hosts"
    inventory.write_text("one\n")
    command = [
        str(Path(sys.executable).with_name("ansible-inventory")),
        "-i",
        str(inventory),
        "--host",
        "one",
        "--yaml",
    ]
    seen = yaml.safe_load(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert seen["ansible_user"] == "root"
    assert seen.get("own") == ("value" if there else None)


def test_secrets_and_templates_of_the_job_survive_a_merge(workspace: Path) -> None:
    path = workspace / "inventory/host_vars/one.yml"
    path.write_text("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6161\nb: '{{ c }}'\n")
    host_vars.merged(workspace, "one", {"d": 1})
    text = path.read_text()
    assert "a: !vault |" in text
    assert "b: '{{ c }}'" in text


def test_a_broken_file_of_the_job_is_named(workspace: Path) -> None:
    (workspace / "inventory/host_vars/one.yml").write_text("a: [\n")
    with pytest.raises(UsageError, match=r"one\.yml:"):
        host_vars.merged(workspace, "one", {"d": 1})


# -- known_hosts


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ({}, ["one"]),
        ({"ansible_host": "192.0.2.7"}, ["192.0.2.7"]),
        ({"ansible_host": "::1", "ansible_port": 2222}, ["[::1]:2222"]),
        ({"ansible_port": "22"}, ["one"]),
        ({"ansible_ssh_common_args": "-o ProxyCommand='a b' -o HostKeyAlias=peon"}, ["one", "peon"]),
        ({"ansible_ssh_common_args": "-oHostKeyAlias=peon"}, ["one", "peon"]),
        ({"ansible_ssh_common_args": "-o 'HostKeyAlias peon'", "ansible_port": 23}, ["[one]:23", "peon"]),
    ],
)
def test_the_names_are_those_that_ssh_looks_up(told: dict[str, Any], names: list[str]) -> None:
    assert known_hosts.names_of(told, "one") == names


@pytest.mark.parametrize("address", ["a,b", "*", "a b", "a\nb", "!a", "@cert-authority"])
def test_a_name_that_is_a_pattern_is_refused(address: str) -> None:
    with pytest.raises(ProvisioningError, match="can't be the name of a host"):
        known_hosts.names_of({"ansible_host": address}, "one")


def test_keys_may_be_one_more_or_a_list() -> None:
    assert known_hosts.keys_of({}, "one") == []
    assert known_hosts.keys_of({"ssh_host_key": f"{key()} root@one\n"}, "one") == [key()]
    assert known_hosts.keys_of({"ssh_host_key": f"{key(1)}\n{key(2)}"}, "one") == [key(1), key(2)]
    assert known_hosts.keys_of({"ssh_host_key": [key(1), key(2)]}, "one") == [key(1), key(2)]


@pytest.mark.parametrize("value", [7, "ssh-ed25519", "ssh-ed25519 AAAA", "one ssh-ed25519 AAAA", f"* {key()}"])
def test_a_key_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ProvisioningError, match="ssh_host_key"):
        known_hosts.keys_of({"ssh_host_key": value}, "one")


def test_ssh_itself_finds_a_key_and_a_new_one_replaces_it(workspace: Path) -> None:
    known_hosts.add(workspace, ["one", "[two]:2222"], [key(1)])
    known_hosts.add(workspace, ["three"], [key(2)])
    known_hosts.add(workspace, ["one"], [key(3)])

    def found(name: str) -> str:
        command = ["ssh-keygen", "-F", name, "-f", str(known_hosts.path(workspace))]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    assert key(3) in found("one")
    assert key(1) not in found("one")
    assert key(1) in found("[two]:2222")
    assert key(2) in found("three")


def _add(place: Path, number: int) -> None:
    known_hosts.add(place, [f"host{number}"], [key(number)])


def test_many_processes_add_keys_at_once_and_none_is_lost(workspace: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add, args=(workspace, number)) for number in range(12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = known_hosts.path(workspace).read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(f"host{number}" for number in range(12))


# -- commands


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("true", "must be a mapping"),
        ([], "must be a mapping"),
        ({}, "has no `command`"),
        ({"command": "  "}, "has no `command`"),
        ({"command": "true", "chdri": "/"}, "`chdri`, did you mean `chdir`?"),
        ({"command": ["true"]}, "must be a text, but is a list"),
    ],
)
def test_a_command_that_is_none_is_a_mistake_with_a_hint(value: Any, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        CloudCommand.parsed(value, name="cloud_provisioning_command", host="one")
    assert says in str(raised.value)
    assert str(raised.value).startswith("one: cloud_provisioning_command")


def test_a_command_survives_its_own_writing() -> None:
    command = CloudCommand.parsed({"command": "a", "chdir": "b", "creates": None, "removes": ""}, name="x")
    assert CloudCommand.parsed(command.told(), name="x") == command
    assert command.told() == {"command": "a", "chdir": "b"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, KEPT)), max_size=4))
def test_of_a_stream_the_first_and_the_last_part_are_kept(parts: list[tuple[str, int]]) -> None:
    stream = Kept()
    for letter, count in parts:
        stream.write(letter.encode() * count)
    whole = "".join(letter * count for letter, count in parts)
    assert stream.size == len(whole)
    assert stream.cut == max(0, len(whole) - KEPT)
    if stream.cut:
        assert stream.text == f"{whole[: KEPT // 2]}\n[{stream.cut} bytes cut out]\n{whole[-KEPT // 2 :]}"
    else:
        assert stream.text == whole


# -- results


def test_the_result_of_a_failure_says_which_role_why_and_where(workspace: Path) -> None:
    why = "\n".join(f"line {number}" for number in range(20))
    failure = Failure(role="web_served", task="It answers", why=why, path="roles/web_served/tasks/main.yml:3")
    path = peon_results.failed(workspace, "one", failure, job="shop", context="run")
    text = path.read_text()
    assert path == workspace / "results/one/adept_result.txt"
    assert text.startswith("The peon one failed in the context run of the job shop.\nrole:    web_served\n")
    assert "task:    It answers (roles/web_served/tasks/main.yml:3)\n" in text
    assert "why:     line 0\n" in text
    assert "line 11\n         (8 lines more)\n" in text
    assert "output:  results/one/" in text


def test_the_reason_has_the_message_each_failed_item_and_the_streams() -> None:
    result = {
        "msg": "non-zero return code",
        "stderr": "no space",
        "results": [{"failed": True, "msg": "first"}, {"msg": "not this"}],
    }
    assert peon_results.why(result) == "non-zero return code\nfirst\nstderr: no space"
    assert peon_results.why({}) == "it gave no reason"


def test_a_result_is_redacted(workspace: Path) -> None:
    failure = Failure(role="", task="t", why="password is hunter2secret")
    path = peon_results.failed(workspace, "one", failure, job="", context="", redactor=Redactor(["hunter2secret"]))
    assert "hunter2secret" not in path.read_text()


@pytest.mark.parametrize("file", ["/etc/passwd", "../../x"])
def test_a_result_stays_among_the_results(workspace: Path, file: str) -> None:
    with pytest.raises(ValueError, match="does not lie among the results"):
        peon_results.rendered(workspace, "one", "text", file)
