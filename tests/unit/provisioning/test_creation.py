"""A provisioning command may do anything; whatever it does, the peon is known, and the error says what to do."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from kommandir import process, provisioning
from kommandir.cancellation import Cancellation
from kommandir.cloud_command import CloudCommand
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, KommandirError, ProvisioningError, StoppedError, TimeOutError
from kommandir.events import EventStream, read
from kommandir.journal import Journal
from kommandir.provisioning import Means
from kommandir.redaction import Redactor

from .conftest import UUID, Create

GOOD = "echo 'ansible_host: 192.0.2.7'; echo 'ansible_user: root'"


def journal(workspace: Path) -> list[str]:
    return [entry.action for entry in Journal(workspace / "journal.jsonl").entries()]


def host_vars(workspace: Path, peon: str = "one") -> dict[str, Any]:
    return dict(yaml.safe_load((workspace / f"inventory/host_vars/{peon}.yml").read_text()))


def result(workspace: Path, peon: str = "one") -> dict[str, Any]:
    return dict(yaml.safe_load((workspace / f"results/{peon}/creation_result.yml").read_text()))


def test_what_a_good_command_prints_is_merged_into_the_host_variables(workspace: Path, create: Create) -> None:
    (workspace / "inventory/host_vars/one.yml").write_text("ansible_user: other\nkept: [1, 2]\n")
    assert create(GOOD) == {"ansible_host": "192.0.2.7", "ansible_user": "root"}
    assert host_vars(workspace) == {"ansible_user": "root", "kept": [1, 2], "ansible_host": "192.0.2.7"}
    assert journal(workspace) == ["peon_intent", "peon_created"]
    assert result(workspace)["outcome"] == "good"
    assert result(workspace)["rc"] == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (":", "printed nothing"),
        ("echo", "printed nothing"),
        ("echo '---'", "printed nothing"),
        ("echo '- one'; echo '- two'", "printed a list"),
        ("echo Creating the host", "printed a text"),
        ("echo 42", "printed a single value"),
        ("echo '{}'", "printed no host variables"),
        ("printf 'a: [1\\nb: }'", "did not print YAML"),
        ("printf '\\001\\377'", "did not print YAML"),
        ("echo 'a: 1'; echo 'a: 2'", "stands here twice"),
        ("printf -- '---\\na: 1\\n---\\nb: 1\\n'", "did not print YAML"),
        ("echo 'a: &a [*a]'", "did not print YAML"),
        ("echo 'not a name: 1'", "can't be the name of a variable"),
        ("echo 'ansible_port: ssh'", "is no port"),
        ("echo 'ansible_ssh_port: 70000'", "is no port"),
        ("echo '2026-01-01: 1'", "a key that is no name"),
        ("""echo "ansible_ssh_common_args: -o 'ProxyJump=x" """, "that no shell would take"),
        ("echo 'ssh_host_key: nonsense'", "is no public key"),
        (f"{GOOD}; echo went wrong >&2; exit 3", "exit code 3"),
        (f"{GOOD}; kill -KILL $$", "killed by SIGKILL"),
        ("no-such-program", "exit code 127"),
        ("head -c 3000000 /dev/zero | tr '\\0' a", "printed 3000000 bytes"),
    ],
)
def test_a_bad_command_is_told_and_nothing_of_it_is_believed(
    workspace: Path, create: Create, command: str, says: str
) -> None:
    with pytest.raises(ProvisioningError) as raised:
        create(command)
    assert says in str(raised.value)
    assert not (workspace / "inventory/host_vars/one.yml").exists()
    assert journal(workspace) == ["peon_intent", "peon_failed"]
    assert result(workspace)["outcome"] == "failed"
    assert Journal(workspace / "journal.jsonl").peons()["one"].may_exist


def test_the_error_has_the_command_its_end_both_streams_and_the_file(workspace: Path, create: Create) -> None:
    with pytest.raises(ProvisioningError) as raised:
        create("echo some words; for i in 1 2 3 4 5 6; do echo line $i >&2; done; exit 3")
    text = str(raised.value)
    assert text.startswith("one: its provisioning command failed: exit code 3")
    assert "command: echo some words" in text
    assert "stdout: some words" in text
    assert "stderr: line 4" in text
    assert "stderr: line 5" not in text
    assert "stderr: and 2 lines more" in text
    assert str(workspace / "results/one/creation_result.yml") in text
    assert "line 6" in result(workspace)["stderr"]


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    workspace: Path, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TimeOutError) as raised:
        create("echo begun; echo why >&2; sleep 3600 & sleep 3600", seconds=1, uuid="hanging-job")
    assert "longer than 1 s" in str(raised.value)
    assert "stdout: begun" in str(raised.value)
    assert "cloud_timeout" in str(raised.value)
    assert list(process.tagged("EXEKUTIR_JOB", "hanging-job")) == []
    assert result(workspace)["stdout"] == "begun\n"
    assert journal(workspace) == ["peon_intent", "peon_failed"]


def test_a_daemon_that_keeps_the_pipe_open_holds_nothing_up(create: Create, tmp_path: Path) -> None:
    told = create(f"{GOOD}; setsid sleep 30 & echo $! > {tmp_path}/pid")
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert told["ansible_host"] == "192.0.2.7"


def test_a_signal_ends_the_command_and_leaves_the_intent(workspace: Path, create: Create) -> None:
    cancellation = Cancellation()
    timer = threading.Timer(0.5, cancellation.request, [15])
    timer.start()
    means = Means(deadline=Deadline.after(60), cancellation=cancellation)
    with pytest.raises(StoppedError):
        create("sleep 3600", uuid="stopped-job", means=means)
    timer.join()
    assert list(process.tagged("EXEKUTIR_JOB", "stopped-job")) == []
    assert journal(workspace) == ["peon_intent", "peon_failed"]


def test_intent_and_way_back_are_on_the_disk_before_the_command_starts(workspace: Path, create: Create) -> None:
    told = create(
        "cp journal.jsonl seen.jsonl; cp -p private/one.yml seen.yml; echo 'a: 1'",
        environment={"CLOUD_PASSWORD": "hunter2secret"},
        destruction=CloudCommand(command="destroy it", chdir="/tmp"),
        provider="mycloud",
    )
    assert told == {"a": 1}
    seen = Journal(workspace / "seen.jsonl").peons()["one"]
    assert (seen.state, seen.provider, seen.peon_name, seen.uuid) == ("intent", "mycloud", "one-job-1", UUID)
    record = yaml.safe_load((workspace / "seen.yml").read_text())
    assert record["destruction"] == {"command": "destroy it", "chdir": "/tmp"}
    assert record["environment"] == {"CLOUD_PASSWORD": "hunter2secret"}
    assert stat.S_IMODE((workspace / "private/one.yml").stat().st_mode) == 0o600


def test_where_the_journal_cant_be_written_the_command_does_not_start(workspace: Path, create: Create) -> None:
    (workspace / "journal.jsonl").mkdir()
    with pytest.raises(KommandirError, match="journal can't be written"):
        create("touch started; echo 'a: 1'")
    assert not (workspace / "started").exists()


def test_secrets_are_in_the_host_variables_alone(workspace: Path, create: Create) -> None:
    events = EventStream(workspace / "results/events.jsonl", Redactor(), "setup")
    create(
        'echo "ansible_password: s3cretOfHost"; echo "$CLOUD_TOKEN" >&2',
        environment={"CLOUD_TOKEN": "t0kenOfCloud"},
        means=Means(deadline=Deadline.after(60), events=events),
    )
    assert host_vars(workspace)["ansible_password"] == "s3cretOfHost"
    assert stat.S_IMODE((workspace / "inventory/host_vars/one.yml").stat().st_mode) == 0o600
    visible = (workspace / "results/one/creation_result.yml").read_text() + (workspace / "journal.jsonl").read_text()
    visible += (workspace / "results/events.jsonl").read_text()
    assert "s3cretOfHost" not in visible
    assert "t0kenOfCloud" not in visible
    assert visible.count("[redacted]") == 3  # in the command itself, and in both streams


def test_secrets_in_junk_do_not_reach_the_error(workspace: Path, create: Create) -> None:
    with pytest.raises(ProvisioningError) as raised:
        create(
            "echo 'this is : no yaml :'; echo 'ansible_password: s3cretOfHost'; echo $TOKEN; exit 1",
            environment={"TOKEN": "t0kenOfCloud"},
        )
    seen = str(raised.value) + (workspace / "results/one/creation_result.yml").read_text()
    assert "s3cretOfHost" not in seen
    assert "t0kenOfCloud" not in seen


def test_a_template_in_what_is_printed_stays_text(workspace: Path, create: Create) -> None:
    create('echo \'note: "{{ lookup(\\"pipe\\", \\"touch /tmp/never\\") }}"\'')
    assert "note: !unsafe" in (workspace / "inventory/host_vars/one.yml").read_text()


def test_the_environment_is_that_of_the_job_and_what_cloud_environment_adds(
    create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET", "of the caller's shell")
    script = (
        'echo "secret: \\"$AWS_SECRET\\""; echo "added: $ADDED"; echo "job: $EXEKUTIR_JOB"; echo "place: $WORKSPACE"'
    )
    told = create(script, environment={"ADDED": "yes it is"})
    assert (told["secret"], told["added"], told["job"]) == ("", "yes it is", UUID)
    assert told["place"].endswith("/kommandir_workspace")


def test_chdir_executable_creates_and_removes_are_those_of_the_shell_module(workspace: Path, create: Create) -> None:
    (workspace / "cloud").mkdir()
    assert create('echo "where: $(basename $PWD)"', chdir="cloud") == {"where": "cloud"}
    assert create('echo "shell: ${BASH_VERSION:+bash}"', executable="/bin/bash") == {"shell": "bash"}
    assert create("false", creates="c*d") == {"where": "cloud", "shell": "bash"}
    assert create("false", removes="nothing-there") == {"where": "cloud", "shell": "bash"}
    assert "nothing-there does not exist" in result(workspace)["why"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [({"chdir": "nowhere"}, "`chdir`) is not there"), ({"executable": "/no/such/shell"}, "can't be started")],
)
def test_a_command_that_cant_be_started_says_why(create: Create, keys: dict[str, str], says: str) -> None:
    with pytest.raises(ProvisioningError) as raised:
        create("true", **keys)
    assert says in str(raised.value)


def test_events_tell_each_state(workspace: Path, create: Create) -> None:
    path = workspace / "results/events.jsonl"
    means = Means(deadline=Deadline.after(60), events=EventStream(path, Redactor(), "setup"))
    create(GOOD, means=means)
    with pytest.raises(ExekutirError):
        create("exit 1", means=means, peon="two")
    states = [(event["peon"], event["state"]) for event in read(path)]
    assert states == [("one", "creating"), ("one", "created"), ("two", "creating"), ("two", "failed")]


@pytest.mark.parametrize("name", ["../x", "a/b", "-rf", "", ".hidden", "a b"])
def test_a_peon_whose_name_is_no_name_is_refused_before_anything(workspace: Path, create: Create, name: str) -> None:
    with pytest.raises(ExekutirError, match="can't be the name of a peon"):
        create("touch started", peon=name)
    assert not (workspace / "journal.jsonl").exists()


def test_templates_of_ours_are_only_for_ssh_and_only_where_the_command_said_nothing(
    workspace: Path, create: Create
) -> None:
    means = Means(deadline=Deadline.after(60), templates={"ansible_ssh_args": "{{ ours }}"})
    create(GOOD, means=means)
    create("echo 'ansible_ssh_args: -v'", means=means, peon="two")
    create("echo 'ansible_connection: local'", means=means, peon="three")
    assert host_vars(workspace)["ansible_ssh_args"] == "{{ ours }}"
    assert host_vars(workspace, "two")["ansible_ssh_args"] == "-v"
    assert "ansible_ssh_args" not in host_vars(workspace, "three")


def test_a_reboot_without_a_provider_is_left_to_others(workspace: Path, create: Create) -> None:
    create(GOOD)
    assert not provisioning.reboot(workspace, "one", deadline=Deadline.after(60))
