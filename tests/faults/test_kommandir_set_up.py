"""A kommandir that dies, or changes, while a job makes it ready: the job says so, and its next call goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calls import BIN, PATIENCE, Calls
from tests.kommandirs import containers, first, generations, inside, job_of_commands, killed, on_podman, until

Make = Callable[..., Calls]

#: A group of the job's own; once ``flag`` is there its command tells another host under the same name.
FICKLE = """---
cloud_provisioning_command:
  command: >-
    name={peon}; test ! -e {flag} || name=$name-other; {kommandir} provider call podman create $name --kommandir
    --uuid {uuid} --expires {expires} --public-key {key}
cloud_destruction_command:
  command: >-
    for name in {peon} {peon}-other; do {kommandir} provider call podman destroy $name --uuid {uuid} || exit 1; done
"""


def fickle_job(folder: Path, flag: Path) -> Path:
    text = FICKLE.format(
        peon="{{ peon_name }}",
        uuid="{{ uuid }}",
        expires="{{ peon_expires }}",
        key="{{ inventory_dir | dirname }}/ssh/kommandir_key.pub",
        flag=flag,
        kommandir=BIN / "kommandir",
    )
    job_of_commands(folder, setup="true", run="true", cleanup="true")
    (folder / "inventory" / "group_vars").mkdir(parents=True)
    (folder / "inventory" / "group_vars" / "fickle.yml").write_text(text)
    return folder


def ended(call: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = call.communicate(timeout=PATIENCE)
    assert "Traceback" not in said
    return call.returncode, said


@pytest.mark.timeout(1500)
def test_a_kommandir_that_dies_before_and_in_its_set_up_is_finished_by_the_next_call(
    remote_calls: Make, tmp_path: Path
) -> None:
    state, flag = tmp_path / "state", tmp_path / "flag"
    calls = remote_calls("ws", fickle_job(tmp_path / "job", flag), state)
    calls.environment = on_podman(state, kommandir_groups=["fickle"])

    setup = calls.started("setup")
    until(calls, "kommandir", state="created")
    killed(state, first(state))
    code, said = ended(setup)
    assert code in (3, 4), said
    assert first(state) in said
    assert "next: " in said

    seen = len(calls.events())
    setup = calls.started("setup")
    until(calls, "task_started", after=seen, task="It is installed beside older releases")
    killed(state, first(state))
    code, said = ended(setup)
    assert (code, "it can't be set up: It is installed beside older releases" in said) == (3, True), said
    assert "run the same command again" in said

    # The exekutir is killed, and then its provider finds another host: what was half set up is not gone on with.
    seen = len(calls.events())
    setup = calls.started("setup")
    until(calls, "task_started", after=seen, task="It is installed beside older releases")
    setup.kill()
    ended(setup)
    flag.touch()
    calls("setup")
    calls("run")
    assert sorted(containers(state)) == [first(state), f"{first(state)}-other"]
    assert calls.uuid in inside(state, f"{first(state)}-other", "ls", "/home")
    assert [one["state"] for one in generations(state)] == ["ready"]
    calls("cleanup", "-e", "stonith=true")
    assert containers(state) == []
    assert [one["state"] for one in generations(state)] == ["destroyed"]
    assert calls.left() == []
