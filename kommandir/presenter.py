"""Events as plain lines, for the command ``kommandir`` and for ``exekutir xn``: what runs, what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from kommandir.events import Event

_MARKS = {"failed": "FAILED", "unreachable": "UNREACHABLE"}


class Presenter:
    """A subscriber of an event stream that writes lines; output of commands comes out as it is."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._lines: dict[str, Callable[[Event], None]] = {
            "step_started": self._started,
            "step_finished": self._finished,
            "play_started": lambda event: self._told(f"PLAY [{event['play']}]"),
            "task_started": self._task,
            "task_result": self._result,
            "output": self._output,
            "resumed": self._resumed,
            "warning": lambda event: self._told(f"warning: {event['message']}"),
        }

    def __call__(self, event: Event) -> None:
        """Write the lines of one event."""
        tell = self._lines.get(event["event"])
        if tell:
            tell(event)

    def _told(self, line: str) -> None:
        self._stderr.write(line + "\n")
        self._stderr.flush()

    def _resumed(self, event: Event) -> None:
        self._told(f"== it was killed before; these have been done: {', '.join(event['done']) or 'none'}")

    def _started(self, event: Event) -> None:
        self._told(f"== {event['index']}/{event['total']} {event['kind']} {event['name']}")

    def _finished(self, event: Event) -> None:
        if event["outcome"] != "ok":
            log = f", all of it: {event['log']}" if event["log"] else ""
            self._told(f"== {event['outcome']}: exit code {event['exit_code']}{log}")

    def _task(self, event: Event) -> None:
        role = f"{event['role']} : " if event["role"] else ""
        self._told(f"TASK [{role}{event['task']}]")

    def _result(self, event: Event) -> None:
        outcome = _MARKS.get(event["outcome"], event["outcome"])
        message = event["message"] if event["outcome"] != "skipped" else ""
        self._told(f"{outcome}: [{event['host']}]" + (f" {message}" if message else ""))

    def _output(self, event: Event) -> None:
        stream = self._stderr if event["stream"] == "stderr" else self._stdout
        stream.write(f"{event['line']}\n")
        stream.flush()
