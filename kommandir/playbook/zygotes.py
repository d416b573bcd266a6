"""The zygotes of a run: one for each environment in which its playbooks run."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from kommandir.strays import STEP_TAG

#: The variables in which the playbooks of one zygote may differ, unless what Ansible reads at its start names them.
DIFFERENT = frozenset({STEP_TAG, "AWX_ISOLATED_DATA_DIR", "PEON"})
#: Variables of Ansible that hold no path.
_NO_PATHS = frozenset(
    f"ANSIBLE_{name}"
    for name in ("HOST_KEY_CHECKING", "NOCOLOR", "RETRY_FILES_ENABLED", "STDOUT_CALLBACK", "STRATEGY", "TIMEOUT")
)
#: Zygotes at a time; each takes 60 MB, which its children share.
MOST = 3
#: Seconds for a zygote to end: it does so at once, unless a child of its was left.
ENDING = 5.0

_PROGRAM = Path(__file__).with_name("zygote.py")
_CALL = Path(__file__).with_name("zygote_call.py")
LAUNCHER = Path(__file__).with_name("launcher.py")


class Zygotes:
    """Starts zygotes as they are needed, from whatever thread, and ends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Zygote] = {}
        self._ending: list[_Zygote] = []

    def command(self, environment: Mapping[str, str], folder: Path, script: Path) -> list[str]:
        """What to start in ``folder`` for ``script``, an ``ansible-playbook``: its arguments are to follow.

        ``environment`` is that of the playbook, with the mark of its step.
        """
        config = _text(environment.get("ANSIBLE_CONFIG") or str(folder / "ansible.cfg"))
        shared = _shared(environment, config)
        key = repr((sorted(shared.items()), config, "" if _is_anywhere(environment, config) else str(folder)))
        with self._lock:
            zygote = self._open.pop(key, None)
            if zygote is None or not zygote.alive:
                zygote = _Zygote(environment, shared, folder)
            self._open[key] = zygote
            while len(self._open) > MOST:
                oldest = self._open.pop(next(iter(self._open)))
                oldest.leave()
                self._ending.append(oldest)
        return [sys.executable, "-I", "-S", str(_CALL), zygote.name, str(LAUNCHER), str(script)]

    def close(self) -> None:
        """End all of them; their playbooks have to be over."""
        with self._lock:
            ending = [*self._open.values(), *self._ending]
            self._open, self._ending = {}, []
        for zygote in ending:
            zygote.leave()
        for zygote in ending:
            zygote.end()


class _Zygote:
    """One of them."""

    def __init__(self, environment: Mapping[str, str], shared: Mapping[str, str], folder: Path) -> None:
        #: Of a socket without a file: nothing of it stays when all are killed.
        self.name = f"exekutir-{os.urandom(16).hex()}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{self.name}")
            listener.listen(128)
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(listener.fileno())],
                env={**shared, STEP_TAG: "0" * len(environment[STEP_TAG])},
                cwd=folder,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what is wrong with Ansible is told by the call that does without us
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it may be called."""
        return self._process.poll() is None

    def leave(self) -> None:
        """Let it end with its last playbook."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> None:
        """Wait for its end; what does not end is killed."""
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()


def _shared(environment: Mapping[str, str], config: str) -> dict[str, str]:
    """What all playbooks of a zygote have in their environment: all that Ansible may read when it is imported."""
    read = config + "\n".join(value for name, value in environment.items() if name.startswith("ANSIBLE_"))
    named = set(re.findall(r"\w+", read)) if "$" in read else set()
    different = DIFFERENT - named | {STEP_TAG}
    return {name: value for name, value in environment.items() if name not in different}


def _is_anywhere(environment: Mapping[str, str], config: str) -> bool:
    """Whether Ansible reads the same in whatever directory it is imported."""
    named = [value for name, value in environment.items() if name.startswith("ANSIBLE_") and name not in _NO_PATHS]
    paths = [path for value in named for path in value.split(":")]
    return "ANSIBLE_CONFIG" in environment and "{{CWD}}" not in config and all(path.startswith("/") for path in paths)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # Ansible will say so
