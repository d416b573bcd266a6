"""Whatever the journal knows of can be destroyed, with nothing else to go by; and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kommandir import peon_files, provisioning
from kommandir.cloud_command import CloudCommand
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, ProvisioningError, TimeOutError, UsageError
from kommandir.events import EventStream, read
from kommandir.journal import Journal
from kommandir.redaction import Redactor

from .conftest import Create

GOOD = "echo 'ansible_host: 192.0.2.7'"


def state(workspace: Path, peon: str = "one") -> str:
    return Journal(workspace / "journal.jsonl").peons()[peon].state


def destroy_all(workspace: Path, seconds: float = 60) -> list[str]:
    return [peon.name for peon in provisioning.destroy_all(workspace, deadline=Deadline.after(seconds), uuid="job-1")]


def by(command: str) -> CloudCommand:
    return CloudCommand(command=command)


def test_a_peon_is_destroyed_with_its_own_environment(workspace: Path, create: Create) -> None:
    create(GOOD, environment={"TOKEN": "t0ken"}, destruction=by('echo "$TOKEN $EXEKUTIR_JOB" > gone'))
    assert provisioning.destroy(workspace, "one") == {"state": "destroyed"}
    assert (workspace / "gone").read_text() == "t0ken job-1\n"
    assert state(workspace) == "destroyed"
    assert peon_files.record_of(workspace, "one") is None
    assert yaml.safe_load((workspace / "results/one/destruction_result.yml").read_text())["outcome"] == "good"


def test_what_never_was_or_is_gone_is_destroyed_well(workspace: Path, create: Create) -> None:
    assert provisioning.destroy(workspace, "one") == {"state": "absent"}
    create(GOOD)
    provisioning.destroy(workspace, "one")
    assert provisioning.destroy(workspace, "one", by("touch again")) == {"state": "absent"}
    assert not (workspace / "again").exists()


def test_the_inventory_wins_over_what_was_recorded(workspace: Path, create: Create) -> None:
    create(GOOD, destruction=by("exit 1"), environment={"HOW": "old"})
    provisioning.destroy(workspace, "one", by("echo $HOW > gone"), {"HOW": "new"})
    assert (workspace / "gone").read_text() == "new\n"


def test_a_destruction_that_fails_says_why_and_can_be_repeated(workspace: Path, create: Create) -> None:
    create(GOOD, destruction=by("echo no credit >&2; test -e paid"))
    with pytest.raises(ProvisioningError) as raised:
        provisioning.destroy(workspace, "one")
    assert "one: its destruction command failed: exit code 1" in str(raised.value)
    assert "stderr: no credit" in str(raised.value)
    assert "destruction_result.yml" in str(raised.value)
    assert state(workspace) == "leaked"
    (workspace / "paid").touch()
    assert provisioning.destroy(workspace, "one") == {"state": "destroyed"}


def test_a_destruction_that_hangs_is_ended(workspace: Path, create: Create) -> None:
    create(GOOD, destruction=by("sleep 3600"))
    with pytest.raises(TimeOutError):
        provisioning.destroy(workspace, "one", deadline=Deadline.after(0.5))
    assert state(workspace) == "leaked"


def test_a_host_that_nobody_may_destroy_is_given_up(workspace: Path, create: Create) -> None:
    create(GOOD, destruction=None)
    assert provisioning.destroy(workspace, "one") == {"state": "destroyed"}
    assert not (workspace / "results/one/destruction_result.yml").exists()


def test_a_creation_that_failed_may_have_left_half_a_host(workspace: Path, create: Create) -> None:
    with pytest.raises(ProvisioningError):
        create("touch half; exit 1", destruction=by("rm half"))
    assert destroy_all(workspace) == []
    assert not (workspace / "half").exists()


def test_all_are_destroyed_and_those_that_remain_are_named(workspace: Path, create: Create) -> None:
    events = EventStream(workspace / "results/events.jsonl", Redactor(), "cleanup")
    for peon in ("one", "two", "three", "four"):
        create(GOOD, peon=peon, destruction=by(f"test {peon} != two && touch gone-{peon}"))
    provisioning.destroy(workspace, "four")
    left = provisioning.destroy_all(workspace, deadline=Deadline.after(60), events=events, uuid="job-1")
    assert [(peon.name, peon.state) for peon in left] == [("two", "leaked")]
    assert sorted(path.name for path in workspace.glob("gone-*")) == ["gone-four", "gone-one", "gone-three"]
    told = [event for event in read(workspace / "results/events.jsonl") if event["event"] == "warning"]
    assert "two may still be there" in told[0]["message"]


def test_all_are_destroyed_without_a_journal_or_with_a_torn_one(workspace: Path, create: Create) -> None:
    create(GOOD, destruction=by("touch gone"))
    journal = workspace / "journal.jsonl"
    journal.write_text(journal.read_text()[:40])
    assert destroy_all(workspace) == []
    assert (workspace / "gone").exists()


def test_all_are_destroyed_by_the_journal_where_private_records_are_gone(workspace: Path, create: Create) -> None:
    provider = workspace / "providers" / "mycloud"
    provider.parent.mkdir()
    provider.write_text('#!/bin/sh\necho "$@" >> calls\n')
    provider.chmod(0o755)
    create(GOOD, provider="mycloud")
    peon_files.forget_record(workspace, "one")
    assert destroy_all(workspace) == []
    assert (workspace / "calls").read_text() == "destroy one-job-1 --uuid job-1\n"


def test_a_broken_private_record_is_a_peon_left_over(workspace: Path, create: Create) -> None:
    create(GOOD)
    (workspace / "private/one.yml").write_text("- no record\n")
    assert destroy_all(workspace) == ["one"]


def test_nothing_is_destroyed_where_nothing_is(workspace: Path) -> None:
    (workspace / "private/extra_vars.yml").write_text("a: 1\n")
    assert destroy_all(workspace) == []


# -- leases


def with_provider(workspace: Path, script: str) -> None:
    provider = workspace / "providers" / "mycloud"
    provider.parent.mkdir()
    provider.write_text(f"#!/bin/sh\n{script}\n")
    provider.chmod(0o755)


def test_a_lease_is_renewed_by_the_provider_and_remembered(workspace: Path, create: Create) -> None:
    with_provider(workspace, 'echo "$@" > calls')
    create(GOOD, provider="mycloud")
    provisioning.keep(workspace, "one", 5_000_000_000)
    assert (workspace / "calls").read_text() == "renew one-job-1 --uuid job-1 --expires 5000000000\n"
    known = Journal(workspace / "journal.jsonl").peons()["one"]
    assert (known.state, known.expires) == ("kept", 5_000_000_000)
    record = peon_files.record_of(workspace, "one")
    assert record is not None
    assert record.expires == 5_000_000_000


def test_a_lease_that_cant_be_renewed_is_an_error_with_the_reason(workspace: Path, create: Create) -> None:
    with_provider(workspace, "echo no such host >&2; exit 3")
    create(GOOD, provider="mycloud")
    with pytest.raises(ProvisioningError, match="renew") as raised:
        provisioning.keep(workspace, "one", 5_000_000_000)
    assert "no such host" in str(raised.value)
    assert state(workspace) == "created"


def test_a_peon_without_provider_is_kept_by_the_journal_alone(workspace: Path, create: Create) -> None:
    create(GOOD)
    provisioning.keep(workspace, "one", 5_000_000_000)
    assert state(workspace) == "kept"


def test_who_is_unknown_cant_be_kept(workspace: Path) -> None:
    with pytest.raises(UsageError, match="nothing is known"):
        provisioning.keep(workspace, "one", 5_000_000_000)


def test_a_reboot_brings_what_the_provider_tells_anew(workspace: Path, create: Create) -> None:
    with_provider(workspace, "echo 'ansible_port: 2222'")
    create(GOOD, provider="mycloud")
    assert provisioning.reboot(workspace, "one", deadline=Deadline.after(60))
    assert yaml.safe_load((workspace / "inventory/host_vars/one.yml").read_text())["ansible_port"] == 2222
    assert state(workspace) == "rebooted"


def test_every_error_is_one_of_ours(workspace: Path, create: Create) -> None:
    with_provider(workspace, "exit 9")
    create(GOOD, provider="mycloud")
    with pytest.raises(ExekutirError, match="reboot"):
        provisioning.reboot(workspace, "one", deadline=Deadline.after(60))
