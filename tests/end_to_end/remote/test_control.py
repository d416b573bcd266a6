"""The control connection to a real SSH server: what runs, what is refused and why, what is noticed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exekutir.remote import control as controls
from exekutir.remote.control import ConnectionLostError, Control, HostKeyError
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ExitCode, KommandirError, StoppedError, TimeOutError, UnreachableError
from tests.remote_hosts import NAME, Server, Wire


def patience(seconds: float = 60) -> Deadline:
    return Deadline.after(seconds)


def opened(server: Server, port: int | None = None, cancellation: Cancellation | None = None) -> Control:
    return Control.opened(server.host(port), deadline=patience(), cancellation=cancellation or Cancellation())


@pytest.fixture
def control(server: Server) -> Iterator[Control]:
    with opened(server) as found:
        yield found


def test_a_program_runs_with_its_input_and_its_end_is_a_value(control: Control) -> None:
    script = "import sys; data = sys.stdin.read(); print(len(data)); print(sys.argv[1], file=sys.stderr); sys.exit(7)"
    odd = 'it\'s a "word"; $HOME `id` \n#'
    outcome = control.run(
        [sys.executable, "-c", script, odd], stdin=b"x" * 3_000_000, deadline=patience(), cancellation=Cancellation()
    )
    assert (outcome.code, outcome.stdout, outcome.stderr) == (7, "3000000\n", f"{odd}\n")
    assert not outcome.good


def test_much_output_on_both_sides_comes_whole(control: Control) -> None:
    script = "import sys; [print('o' * 99) or print('e' * 99, file=sys.stderr) for _ in range(30000)]"
    outcome = control.run([sys.executable, "-c", script], deadline=patience(), cancellation=Cancellation())
    assert (len(outcome.stdout), len(outcome.stderr)) == (3_000_000, 3_000_000)


def test_a_program_that_closes_its_output_is_waited_for(control: Control) -> None:
    argv = ["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 3"]
    assert control.run(argv, deadline=patience(), cancellation=Cancellation()).code == 3


def test_several_commands_share_one_connection(control: Control) -> None:
    cat = control.started(["/bin/sh", "-c", "sleep 1; echo first"], deadline=patience(), cancellation=Cancellation())
    again = control.run(["echo", "second"], deadline=patience(), cancellation=Cancellation())
    assert again.stdout == "second\n"
    while not cat.ended:
        control.wait([cat], seconds=10, cancellation=None)
    assert cat.lines() == [b"first"]
    assert cat.outcome(0).good


def test_lines_come_as_they_are_written(control: Control, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = f"printf 'one\\n\\ntwo\\n'; while ! [ -e {go_on} ]; do sleep 0.05; done; printf torn"
    lines = control.stream(["/bin/sh", "-c", script], deadline=patience(), cancellation=Cancellation())
    assert [next(lines) for _ in range(3)] == [b"one", b"", b"two"]
    go_on.touch()
    assert list(lines) == [b"torn"]


def test_a_stream_that_fails_says_why(control: Control) -> None:
    with pytest.raises(KommandirError, match="exit code 4") as caught:
        list(
            control.stream(["/bin/sh", "-c", "echo why >&2; exit 4"], deadline=patience(), cancellation=Cancellation())
        )
    assert caught.value.why == "why\n"


def test_an_unknown_host_key_is_refused(server: Server) -> None:
    server.known_hosts.write_text("other-host " + server.known_hosts.read_text().partition(" ")[2])
    with pytest.raises(HostKeyError, match="no key of this host is known") as caught:
        opened(server)
    assert str(server.known_hosts) in str(caught.value)
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    server.known_hosts.unlink()
    with pytest.raises(HostKeyError, match="no key of this host is known"):
        opened(server)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_changed_host_key_is_refused(server: Server, kind: str) -> None:
    other = server.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(other)], check=True)
    server.know(other.with_suffix(".pub"))
    with pytest.raises(HostKeyError, match="key has changed") as caught:
        opened(server)
    assert NAME in str(caught.value)
    assert "SHA256:" in str(caught.value) or "known kind" in str(caught.value)


def test_a_key_that_does_not_fit_is_told(server: Server) -> None:
    (server.folder / "authorized").write_text("")
    with pytest.raises(UnreachableError, match="can't log in with the key"):
        opened(server)


@pytest.mark.parametrize("content", [None, "no key", "passphrase"])
def test_a_key_file_that_is_none_is_told(server: Server, content: str | None) -> None:
    key = server.folder / "key"
    key.unlink()
    if content == "passphrase":
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "hard to guess", "-f", str(key)], input=b"y", check=True
        )
    elif content:
        key.write_text(content)
    with pytest.raises(KommandirError, match="the key can't be read"):
        opened(server)


def test_no_agent_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(server.folder / "key", server.folder / "agents")
    (server.folder / "agents").chmod(0o600)
    (server.folder / "key").unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(server.folder / "key")], check=True)
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(server.folder / "agent")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not (server.folder / "agent").exists():
            time.sleep(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(server.folder / "agent"))
        subprocess.run(["ssh-add", "-q", str(server.folder / "agents")], check=True)
        with pytest.raises(UnreachableError, match="can't log in"):
            opened(server)
    finally:
        agent.terminate()
        agent.wait()


def test_nobody_who_listens_is_told(server: Server) -> None:
    server.stop()
    with pytest.raises(UnreachableError, match=r"no connection to 127\.0\.0\.1"):
        opened(server)


def test_a_server_that_says_nothing_is_given_up(server: Server, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "PATIENCE", 2.0)
    wire.deaf = True
    with pytest.raises(UnreachableError, match="no SSH connection"):
        opened(server, wire.port)


def test_a_signal_ends_every_wait(server: Server, wire: Wire) -> None:
    wire.deaf = True
    cancellation = Cancellation()
    threading.Timer(0.5, cancellation.request, [signal.SIGTERM]).start()
    with pytest.raises(StoppedError, match="SIGTERM while a connection"):
        opened(server, wire.port, cancellation)
    cancellation = Cancellation()
    with opened(server) as control:
        threading.Timer(0.5, cancellation.request, [signal.SIGINT]).start()
        with pytest.raises(StoppedError, match="SIGINT while running sleep"):
            control.run(["sleep", "60"], deadline=patience(), cancellation=cancellation)


def test_a_deadline_ends_a_wait(control: Control) -> None:
    with pytest.raises(TimeOutError, match="running sleep"):
        control.run(["sleep", "60"], deadline=patience(0.5), cancellation=Cancellation())


def test_a_connection_that_is_cut_is_noticed(server: Server, wire: Wire) -> None:
    with opened(server, wire.port) as control:
        threading.Timer(0.5, wire.cut).start()
        with pytest.raises(ConnectionLostError, match="connection was lost"):
            control.run(["sleep", "60"], deadline=patience(), cancellation=Cancellation())
        with pytest.raises(ConnectionLostError):
            control.run(["true"], deadline=patience(), cancellation=Cancellation())


@pytest.mark.parametrize("when", ["during a command", "before a command"])
def test_a_connection_that_went_silent_is_noticed(
    server: Server, wire: Wire, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(controls, "PULSE", 0.3)
    monkeypatch.setattr(controls, "SILENCE", 2.0)
    with opened(server, wire.port) as control:
        if when == "before a command":
            wire.deaf = True
        else:
            threading.Timer(0.5, setattr, [wire, "deaf", True]).start()
        with pytest.raises(ConnectionLostError, match="nothing came for"):
            control.run(["sleep", "60"], deadline=patience(), cancellation=Cancellation())


#: What a provider's ProxyCommand does: pass bytes on, or hand over a connection.
PASSES = """
import os, select, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for one in select.select([0, s], [], [])[0]:
        data = os.read(one if one == 0 else s.fileno(), 65536)
        if not data:
            sys.exit()
        s.sendall(data) if one == 0 else os.write(1, data)
"""
HANDS_OVER = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
socket.send_fds(socket.socket(fileno=1), [b"x"], [s.fileno()])
"""


@pytest.mark.parametrize(("script", "more"), [(PASSES, []), (HANDS_OVER, ["-o", "ProxyUseFdpass=yes"])])
def test_a_proxy_of_the_provider_is_used(server: Server, tmp_path: Path, script: str, more: list[str]) -> None:
    (tmp_path / "proxy.py").write_text(script)
    proxy = f"ProxyCommand={sys.executable} {tmp_path}/proxy.py %h %p"
    host = replace(server.host(), options=("-o", proxy, *more))
    with Control.opened(host, deadline=patience(), cancellation=Cancellation()) as control:
        assert control.run(["echo", "through"], deadline=patience(), cancellation=Cancellation()).stdout == "through\n"


@pytest.mark.parametrize("option", [["-o", "ProxyJump={}"], ["-J", "{}"]])
def test_a_jump_over_another_host_is_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    """The jump itself logs in as ssh does for everybody, here with the key that the server knows."""
    log, own = tmp_path / "jumps", f"-i {server.folder}/key -o UserKnownHostsFile={server.known_hosts}"
    (tmp_path / "ssh").write_text(
        f'#!/bin/sh\necho "$@" >>{log}\nexec {shutil.which("ssh")} {own} -o HostKeyAlias={NAME} "$@"\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    jump = f"{server.host().user}@127.0.0.1:{server.port}"
    host = replace(server.host(), options=tuple(word.format(jump) for word in option))
    with Control.opened(host, deadline=patience(), cancellation=Cancellation()) as control:
        assert control.run(["echo", "through"], deadline=patience(), cancellation=Cancellation()).stdout == "through\n"
    assert f"ssh://{jump}" in log.read_text()


def test_a_proxy_that_fails_is_told(server: Server) -> None:
    for more in ([], ["-o", "ProxyUseFdpass=yes"]):
        host = replace(server.host(), options=("-o", "ProxyCommand=exit 3", *more))
        with pytest.raises(UnreachableError):
            Control.opened(host, deadline=patience(), cancellation=Cancellation())


def test_paramiko_keeps_quiet(server: Server, wire: Wire, capfd: pytest.CaptureFixture[str]) -> None:
    with opened(server, wire.port) as control:
        wire.cut()
        with pytest.raises(ConnectionLostError):
            control.run(["true"], deadline=patience(), cancellation=Cancellation())
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_starting_exekutir_does_not_import_paramiko() -> None:
    script = "import sys, exekutir.cli, exekutir.remote.control; sys.exit('paramiko' in sys.modules)"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0
