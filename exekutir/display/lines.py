"""Plain lines for logs: UTC time, context, what starts and ends; a heartbeat where nothing else is said."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence

from exekutir.display.output import Output
from exekutir.display.progress import Event, Progress
from exekutir.display.sentences import Sentence, Speaker
from exekutir.results.cleaning import one_line
from exekutir.results.wording import duration

#: Seconds of silence after which a line says what it waits for.
HEARTBEAT = 30.0
_CODES = {"good": "32", "bad": "1;31", "warn": "33", "faint": "2", "strong": "1"}


def coloured(text: str, tone: str, colour: bool) -> str:
    """``text`` in the colour of ``tone`` where colours are wanted."""
    code = _CODES.get(tone) if colour else None
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


class Lines:
    """Prints sentences as they come, without any cursor movement."""

    pause = 0.0

    def __init__(self, output: Output, *, verbosity: int, colour: bool, heartbeat: float = HEARTBEAT) -> None:
        self.interval = heartbeat / 10
        self._output, self._colour, self._heartbeat = output, colour, heartbeat
        self._progress = Progress()
        self._speaker = Speaker(self._progress, verbosity, log=True)
        self._spoke = time.monotonic()
        self._under_way = False

    def take(self, events: Sequence[Event]) -> None:
        """Say what there is to say of events."""
        for event in events:
            self._progress.take(event, time.monotonic())
            self._under_way = event.get("event") != "context_finished"
            moment = one_line(event.get("time"), 40)
            context = one_line(event.get("context"), 60)
            for sentence in self._speaker.say(event):
                self._print(sentence, moment, context)
        self._output.flush()
        self.tick()

    def tick(self) -> None:
        """Say what it waits for where nothing was said for a while."""
        if self._under_way and time.monotonic() - self._spoke >= self._heartbeat:
            progress = self._progress
            passed = duration(time.monotonic() - progress.since)
            now = datetime.datetime.now(datetime.UTC).isoformat()
            self._print(Sentence(f"still at it after {passed}: {progress.awaited()}", "faint"), now, progress.context)
            self._output.flush()

    def close(self) -> None:
        """Nothing is open."""

    def _print(self, sentence: Sentence, moment: str, context: str) -> None:
        self._spoke = time.monotonic()
        self._output.write(f"{moment[:19]}Z {context}: {coloured(sentence.text, sentence.tone, self._colour)}\n")
        for line in sentence.detail:
            self._output.write(f"    {line}\n")


class JsonLines:
    """Each event as one line of JSON, and nothing else."""

    interval: float | None = None
    pause = 0.0

    def __init__(self, output: Output) -> None:
        self._output = output

    def take(self, events: Sequence[Event]) -> None:
        """Print events."""
        for event in events:
            self._output.write(_encoded(event) + "\n")
        self._output.flush()

    def tick(self) -> None:
        """Programs want no heartbeat that is no event."""

    def close(self) -> None:
        """Nothing is open."""


def _encoded(event: Event) -> str:
    """An event as one line of JSON in ASCII; figures that JSON does not know (NaN, infinity) become null."""
    try:
        return json.dumps(event, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(event, default=str), parse_constant=lambda _name: None))
