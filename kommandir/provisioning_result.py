"""What came of a command that creates or destroys a peon: its result file, its error for people, its event."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kommandir import peon_files
from kommandir.cloud_command import CloudCommand, Output
from kommandir.errors import ExekutirError, KommandirError, ProvisioningError
from kommandir.events import EventStream
from kommandir.process import Outcome
from kommandir.redaction import Redactor, is_secret_name

#: Lines and characters of each stream that an error shows.
LINES, WIDTH = 4, 160


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of command."""

    #: The file among the results of the peon.
    file: str
    #: What to do when it fails.
    hint: str


CREATION = Kind("creation_result.yml", "run the command by hand; when it prints YAML, run `exekutir setup` again")
DESTRUCTION = Kind("destruction_result.yml", "run the command by hand, then `exekutir cleanup` again")


class Report:
    """The result of one command for one peon, kept in ``results/NAME/`` whatever becomes of it."""

    def __init__(self, kind: Kind, peon: str, command: CloudCommand, workspace: Path, redactor: Redactor) -> None:
        self.kind, self.peon, self.command, self.workspace, self.redactor = kind, peon, command, workspace, redactor
        self.output = Output()
        self.outcome: Outcome | None = None
        self._began = time.time()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time so far, or that of the command."""
        return round(self.outcome.seconds if self.outcome else time.monotonic() - self._started, 3)

    @property
    def file(self) -> Path:
        """Where all of it is kept."""
        return peon_files.result_place(self.workspace, self.peon, self.kind.file)

    def ended(self, outcome: Outcome | None) -> None:
        """Take what came of the command."""
        self.outcome = outcome

    def good(self, variables: Sequence[str] = ()) -> None:
        """Keep that all went well; raises KommandirError when the file can't be written."""
        self._write("good", variables=list(variables))

    def skipped(self, why: str) -> None:
        """Keep that the command did not have to run."""
        self._write("skipped", why=why)

    def failed(self, error: ExekutirError) -> None:
        """Keep why it failed; where even that can't be written, the error itself says so."""
        try:
            self._write("failed", why=error.what)
        except KommandirError as unwritable:
            error.log, error.why = None, f"{error.why or ''}\n{unwritable.what}"

    def problem(
        self, what: str, kind: type[ExekutirError] = ProvisioningError, hint: str | None = None
    ) -> ExekutirError:
        """The error for people: the command, how it ended, the first lines of both streams, where all of it is."""
        self.redactor.add(_likely_secrets(self.output.stdout.text))
        end = self.outcome.end if self.outcome else "stopped before its end"
        lines = [f"command: {_shortened(' '.join(self.command.command.split()))}", f"ended with: {end}"]
        lines += _first_lines("stdout", self.output.stdout.text) + _first_lines("stderr", self.output.stderr.text)
        return kind(
            self.redactor.text(what),
            host=self.peon,
            why=self.redactor.text("\n".join(lines)),
            log=self.file,
            hint=hint or self.kind.hint,
        )

    def _write(self, outcome: str, **more: object) -> None:
        begin = datetime.datetime.fromtimestamp(self._began, datetime.UTC)
        told = {
            "outcome": outcome,
            **more,
            "cmd": self.command.command,
            **{key: value for key, value in self.command.told().items() if key != "command"},
            "rc": self.outcome.code if self.outcome else None,
            "start": begin.isoformat(timespec="milliseconds"),
            "end": (begin + datetime.timedelta(seconds=self.seconds)).isoformat(timespec="milliseconds"),
            "delta": self.seconds,
            "stdout": _printable(self.output.stdout.text),
            "stderr": _printable(self.output.stderr.text),
        }
        # Redacted before it is laid out as YAML, which would break the lines of a secret.
        content = "---\n" + _dumped(self.redactor.value(told))
        peon_files.keep_result(self.workspace, self.peon, self.kind.file, content, self.redactor)


def _dumped(told: Mapping[str, Any]) -> str:
    """YAML in which a person can read the output of a command: line by line, not quoted."""

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(dict(told), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return dumped


def announce(
    events: EventStream | None, peon: str, state: str, provider: str, message: str = "", seconds: float = 0.0
) -> None:
    """Tell the events what became of a peon."""
    if events:
        events.emit("peon", peon=peon, state=state, provider=provider, message=message, seconds=seconds)


def _first_lines(name: str, text: str) -> list[str]:
    lines = [_shortened(_printable(line)) for line in text.splitlines() if line.strip()]
    if not lines:
        return [f"{name}: nothing"]
    more = [f"{name}: and {len(lines) - LINES} lines more"] if len(lines) > LINES else []
    return [f"{name}: {line}" for line in lines[:LINES]] + more


def _shortened(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _printable(text: str) -> str:
    """Without the control characters that would colour or clear a terminal."""
    text = text.replace("\r\n", "\n").expandtabs()
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _likely_secrets(text: str) -> list[str]:
    """Values of ``name: value`` lines with the name of a secret, in output that is no YAML as a whole."""
    found = []
    for line in text.splitlines():
        name, separator, value = line.partition(":" if ":" in line else "=")
        if separator and is_secret_name(name.strip(" -\"'")):
            found.append(value.strip(" \"'"))
    return found
