"""The commands that create and destroy hosts: any program that prints YAML, named by a variable (``design.md``)."""

from __future__ import annotations

import glob
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from kommandir import environment as environments
from kommandir import process
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline
from kommandir.errors import ProvisioningError, UsageError
from kommandir.process import Outcome
from kommandir.yamlfile import did_you_mean

KEYS = ("command", "chdir", "executable", "creates", "removes")
#: ADEPT's ``extra_kommandir_setup`` also names a host; commands of ours always run on the kommandir.
_IGNORED = ("delegate",)
SHELL = "/bin/sh"
#: Bytes of a stream that are kept: its first and its last half.
KEPT = process.KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCommand:
    """A shell command with the keys of Ansible's ``shell`` module."""

    #: Text for the shell.
    command: str
    #: Its working directory; the workspace where none is named.
    chdir: str | None = None
    #: The shell.
    executable: str | None = None
    #: Don't run where this path (a glob) exists.
    creates: str | None = None
    #: Don't run where this path (a glob) does not exist.
    removes: str | None = None

    @classmethod
    def parsed(cls, value: Any, *, name: str, host: str | None = None) -> CloudCommand:
        """From the value of the variable ``name``; raises UsageError, which says what is allowed there."""
        if not isinstance(value, Mapping):
            raise UsageError(
                f"{name} must be a mapping with the key `command`, but is a {type(value).__name__}",
                host=host,
                hint=f"write `{name}: {{command: ...}}`; further keys: {', '.join(KEYS[1:])}",
            )
        for key in value:
            if key not in KEYS and key not in _IGNORED:
                raise UsageError(
                    f"{name} has the unknown key `{key}`{did_you_mean(str(key), KEYS)}",
                    host=host,
                    hint=f"the keys are {', '.join(KEYS)}",
                )
        told = {key: _text(value[key], f"{name}.{key}", host) for key in KEYS if value.get(key) not in (None, "")}
        if not told.get("command", "").strip():
            raise UsageError(f"{name} has no `command`", host=host, hint=f"write `{name}: {{command: ...}}`")
        return cls(**told)

    def told(self) -> dict[str, str]:
        """The keys that are set, as ``parsed`` takes them."""
        return {key: getattr(self, key) for key in KEYS if getattr(self, key)}

    def skipped_because(self, folder: Path) -> str | None:
        """Why ``creates`` or ``removes`` keep it from running in ``folder``; None when it has to run."""
        if self.creates and glob.glob(str(folder / self.creates)):  # noqa: PTH207 - takes an absolute pattern as well
            return f"{self.creates} exists already"
        if self.removes and not glob.glob(str(folder / self.removes)):  # noqa: PTH207 - the same
            return f"{self.removes} does not exist"
        return None


def _text(value: Any, name: str, host: str | None) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"{name} must be a text, but is a {type(value).__name__}", host=host)


class Kept(io.RawIOBase):
    """A stream kept within bounds: ``text`` is its first and last half, ``size`` all the bytes that there were."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._head = bytearray()
        self._tail = bytearray()

    def writable(self) -> bool:
        """It is there to be written to."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        part = bytes(data)
        self.size += len(part)
        room = KEPT // 2 - len(self._head)
        self._head += part[:room]
        self._tail += part[max(room, 0) :]
        del self._tail[: -KEPT // 2]
        return len(part)

    @property
    def cut(self) -> int:
        """How many bytes in the middle are not kept."""
        return self.size - len(self._head) - len(self._tail)

    @property
    def text(self) -> str:
        """What is kept, decoded, with a mark where something was cut out."""
        if not self.cut:
            return (self._head + self._tail).decode(errors="replace")
        mark = f"\n[{self.cut} bytes cut out]\n"
        return self._head.decode(errors="replace") + mark + self._tail.decode(errors="replace")


@dataclass(slots=True)
class Output:
    """Both streams of a command as they came, also when it was stopped; the middle of a very long one is cut out."""

    stdout: Kept = field(default_factory=Kept)
    stderr: Kept = field(default_factory=Kept)


def run_command(
    command: CloudCommand,
    *,
    uuid: str,
    environment: Mapping[str, str],
    folder: Path,
    deadline: Deadline,
    cancellation: Cancellation | None = None,
    output: Output | None = None,
    doing: str = "",
) -> Outcome | None:
    """Run it in ``chdir`` (relative to ``folder``), with the job's environment and ``environment`` on top.

    None comes back when ``creates`` or ``removes`` say that there is nothing to do. ``output`` also gets the streams.
    Raises TimeOutError and StoppedError as ``process.run`` does, ProvisioningError when it can't be started.
    """
    where = folder / command.chdir if command.chdir else folder
    if command.skipped_because(where):
        return None
    if not where.is_dir():
        raise ProvisioningError(f"its command can't run: the folder {where} (`chdir`) is not there")
    output = output or Output()
    shell = command.executable or SHELL
    try:
        return process.run(
            [shell, "-c", command.command],
            environment={**environments.of_job(uuid), **environment},
            folder=where,
            deadline=deadline,
            cancellation=cancellation,
            doing=doing or "the command",
            stdout=cast("IO[bytes]", output.stdout),
            stderr=cast("IO[bytes]", output.stderr),
        )
    except OSError as error:
        raise ProvisioningError(
            f"its command can't be started: {error.strerror}: {shell}", hint="mend the key `executable`"
        ) from error
