"""Workspaces to and fro over a real SSH server: who wins, what travels and what stays where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from exekutir.remote.host import RemoteHost
from exekutir.remote.multiplexing import multiplexed
from exekutir.remote.rsync import StrangerError
from kommandir.errors import KommandirError
from tests.remote_hosts import NAME, Wire
from tests.two_workspaces import WORKSPACE, Two


def test_the_exekutirs_copy_wins_on_the_way_there(two: Two) -> None:
    two.lay(WORKSPACE)
    two.lay({"job.xn": "older", "stray": "", "roles/old/tasks/main.yml": ""}, there=True)
    own = {".bashrc": "", ".ssh/authorized_keys": "key", ".ansible/tmp/x": "", ".cache/y": "", "cache/image": "big"}
    own |= {"ssh/made_there": "secret of the job", "private/tmp123/env": "secret", "private/job.sqlite-wal": ""}
    two.lay({"private/job.sqlite-wal": "of a run here"})
    two.lay({**own, "private/long_gone.yml": "name: long_gone\n"}, there=True)
    report = two.sync().push()
    travelled = set(WORKSPACE) - {"private/laid.json", "results/events.jsonl"}
    assert two.names(two.there) == travelled | set(own)
    assert (two.there / "job.xn").read_text() == WORKSPACE["job.xn"]
    assert (report.files, report.deleted > 0) == (len(travelled), True)
    assert two.there.stat().st_mode & 0o777 == 0o700
    again = two.sync().push()
    assert (again.files, again.bytes, again.deleted) == (0, 0, 0), "nothing but changes travels"


def test_the_kommandirs_copy_wins_on_the_way_back(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    done = {"job.xn": "rewritten there", "results/peon/facts.json": "{}", "journal.jsonl": '{"peon": 1}\n'}
    done |= {"ssh/known_hosts": "peon key\n", "inventory/host_vars/peon.yml": "ansible_host: 10.0.0.9\n"}
    done |= {"private/peon.yml": "name: peon\n"}
    secret = {"private/extra_vars.yml": "changed there", "ssh/kommandir_key": "changed there", "ssh/made_there": "x"}
    own = {".bash_history": "", ".local/x": "", "cache/image": "big", "private/tmp1/env": ""}
    own |= {"results/events.jsonl": "not ours", "private/job.sqlite": "values of variables"}
    two.lay({**done, **secret, **own}, there=True)
    (two.there / "private/peon.yml").chmod(0o600)
    (two.there / "private/gone.yml").unlink()
    (two.there / "inventory/host_vars/kept.yml").unlink()
    two.sync().pull()
    gone = {"private/gone.yml", "inventory/host_vars/kept.yml"}
    assert two.names(two.here) == (set(WORKSPACE) | set(done)) - gone
    for name, text in {**WORKSPACE, **done}.items():
        assert name in gone or (two.here / name).read_text() == text, name
    assert (two.here / "private/peon.yml").stat().st_mode & 0o777 == 0o600


def test_the_state_of_the_peons_comes_alone_and_fast(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    state = {"private/peon.yml": "name: peon\n", "journal.jsonl": "more\n", "inventory/host_vars/peon.yml": "b: 2\n"}
    two.lay({**state, "results/big": "x" * 100_000, "job.xn": "rewritten"}, there=True)
    assert two.sync().pull_state().files == len(state)
    assert {name: (two.here / name).read_text() for name in state} == state
    assert (two.here / "job.xn").read_text() == WORKSPACE["job.xn"]
    assert not (two.here / "results/big").exists()


def test_links(two: Two) -> None:
    two.lay({"a/file": "inside", "job.xn": ""})
    outside = two.here.parent / "outside"
    outside.mkdir()
    (outside / "data").write_text("from outside")
    (two.here / "a/inside").symlink_to("file")
    (two.here / "a/out").symlink_to(outside / "data")
    (two.here / "a/folder").symlink_to(outside)
    (two.here / "a/no [where]*").symlink_to("/not/there")
    (two.here / "a/not_yet").symlink_to("made/later")
    two.lay({"stray": ""}, there=True)
    report = two.sync().push()
    assert report.dangling == ("a/no [where]*",)
    assert (two.there / "a/inside").readlink() == Path("file")
    assert (two.there / "a/not_yet").readlink() == Path("made/later")
    assert (two.there / "a/out").read_text() == (two.there / "a/folder/data").read_text() == "from outside"
    assert not (two.there / "a/out").is_symlink()
    assert not (two.there / "stray").exists(), "a link to nothing kept rsync from deleting"
    (two.there / "results").mkdir()
    (two.there / "results/passwd").symlink_to("/etc/passwd")
    (two.there / "results/nowhere").symlink_to("/not/there")
    assert two.sync().pull().dangling == ("results/nowhere",)
    assert not (two.here / "results/passwd").is_symlink()


def test_names_of_all_kinds_and_the_users_excludes(two: Two) -> None:
    names = ["with blank", "ünïcode", "quote'\"", "-dash", "new\nline", "star*[x]", "$(id)", "#hash"]
    two.lay({f"results/{name}": name for name in names})
    two.lay({"big/iso": "", "deep/down/x.iso": "", "deep/y": "", "big.txt": ""})
    excludes = ["big", "deep/**.iso"]
    two.sync(excludes=excludes).push()
    assert two.names(two.there) == {f"results/{name}" for name in names} | {"deep/y", "big.txt"}
    two.lay({"big/there": "", "results/new": ""}, there=True)
    two.sync(excludes=excludes).pull()
    assert (two.here / "big/iso").exists()
    assert not (two.here / "big/there").exists()
    assert two.sync(excludes=excludes).verified() == ()


@pytest.mark.parametrize("skew", [-86400.0, 86400.0])
def test_a_clock_that_is_off_by_a_day_hides_no_change(two: Two, skew: float) -> None:
    two.lay({"results/state": "bad\n", "results/same": "0\n", "job.xn": ""})
    two.sync().push()
    moment = (two.here / "results/state").stat().st_mtime_ns
    two.lay({"results/state": "ok!\n", "results/same": "1\n"}, there=True)
    os.utime(two.there / "results/state", ns=(moment, moment + int(skew * 1e9)))
    os.utime(two.there / "results/same", ns=(moment, moment + 1))  # the same second, the same size
    two.sync().pull()
    assert (two.here / "results/state").read_text() == "ok!\n"
    assert (two.here / "results/same").read_text() == "1\n"
    assert two.sync().verified() == ()
    two.lay({"results/state": "bad\n"})
    os.utime(two.here / "results/state", ns=(moment, moment - int(skew * 1e9)))
    two.sync().push()
    assert (two.there / "results/state").read_text() == "bad\n"


def test_a_corrupted_copy_is_noticed_and_mended(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    two.lay({"results/p/adept_result.txt": "failed\n", "journal.jsonl": "x\n"}, there=True)
    two.sync().pull()
    assert two.sync().verified() == ()
    kept = (two.here / "results/p/adept_result.txt").stat()
    (two.here / "results/p/adept_result.txt").write_text("passed\n")
    os.utime(two.here / "results/p/adept_result.txt", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (two.here / "journal.jsonl").unlink()
    (two.here / "results/only_here").write_text("")
    found = {"results/p/adept_result.txt", "journal.jsonl", "results/only_here"}
    assert set(two.sync().verified()) == found
    assert (two.here / "results/p/adept_result.txt").read_text() == "failed\n"
    assert two.sync().verified() == ()


def test_a_copy_that_stays_another_one_is_an_error(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    script = f"i=0; while sleep 0.005; do i=$((i+1)); echo $i >{two.there}/results/busy.new; "
    script += f"mv {two.there}/results/busy.new {two.there}/results/busy; done"
    with subprocess.Popen(["sh", "-c", script]) as writer:
        try:
            with pytest.raises(KommandirError, match="are not what they are there") as error:
                two.sync().verified()
        finally:
            writer.kill()
    assert "results/busy" in str(error.value)


def test_nothing_is_brought_back_from_a_home_that_is_another_one(two: Two) -> None:
    two.lay(WORKSPACE)
    with pytest.raises(StrangerError):
        two.sync().pull()
    two.sync().push()
    two.there.rename(two.there.with_name("old"))
    two.there.mkdir(mode=0o700)
    for what in (two.sync().pull, two.sync().pull_state, two.sync().verified):
        with pytest.raises(StrangerError, match="is not the one that was sent there") as error:
            what()
        assert NAME in str(error.value)
    assert two.names(two.here) == set(WORKSPACE)
    two.sync().push()
    two.sync().pull()


def test_what_a_killed_exekutir_did_not_bring_back_is_not_overwritten(two: Two) -> None:
    two.lay(WORKSPACE)
    two.sync().push()
    done = {"journal.jsonl": "a peon\n", "private/peon.yml": "name: peon\n", "results/r": "1"}
    done |= {"inventory/host_vars/peon.yml": "c: 1\n"}
    two.lay({**done, "job.xn": "rewritten there"}, there=True)
    two.lay({"job.xn": "the user's new one"})
    two.sync().push(laid=True)
    for name, text in done.items():
        laid = name.startswith("inventory")
        assert laid or (two.here / name).read_text() == (two.there / name).read_text() == text
        assert not laid or not (two.here / name).exists()
    assert (two.there / "job.xn").read_text() == "the user's new one"
    two.lay({"inventory/host_vars/peon.yml": "c: 2\n"}, there=True)
    two.sync().push()
    assert (two.here / "inventory/host_vars/peon.yml").read_text() == "c: 2\n"
    two.sync().verified()
    (two.here / "private/peon.yml").unlink()
    two.sync().push()
    assert not (two.there / "private/peon.yml").exists(), "what was brought back and destroyed here is gone there"


def test_all_commands_share_a_connection_that_is_closed_at_the_end(two: Two, wire: Wire) -> None:
    two.lay(WORKSPACE)
    with multiplexed(replace(two.server.host(), port=wire.port)) as host:
        socket = Path(next(word for word in host.options if word.startswith("ControlPath=")).partition("=")[2])
        sync = two.sync(host=host)
        sync.push()
        wire.down = True
        sync.pull()
        assert sync.verified() == ()
        assert socket.exists()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()
    processes = subprocess.run(["pgrep", "-f", str(socket)], capture_output=True, text=True, check=False)
    assert processes.stdout == ""


def test_the_folders_of_killed_exekutirs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    try:
        for name, age, used in (("old", 7200, False), ("used", 7200, True), ("new", 0, False)):
            folder = base / f"exekutir-ssh-{name}"
            folder.mkdir()
            if used:
                (folder / "s").touch()
            os.utime(folder, (time.time() - age, time.time() - age))
        host = RemoteHost(name="nobody", address="192.0.2.1", key=tmp_path / "key", known_hosts=tmp_path / "known")
        with multiplexed(host):
            assert len(list(base.iterdir())) == 3
        assert sorted(folder.name for folder in base.iterdir()) == ["exekutir-ssh-new", "exekutir-ssh-used"]
    finally:
        shutil.rmtree(base)
