"""The board of a terminal: one picture of what is under way, redrawn; what has ended scrolls up above it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, cast

from exekutir.display.looks import Looks
from exekutir.display.output import Output
from exekutir.display.progress import Event, Progress, Unit
from exekutir.display.sentences import Sentence, Speaker
from exekutir.results.cleaning import REPLACEMENT
from exekutir.results.wording import clock

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod
    from rich.live import Live
    from rich.text import Text

_STYLES = {"good": "green", "bad": "bold red", "warn": "yellow", "faint": "dim", "strong": "bold", "plain": ""}
_SIGNS = {"good": "✓ ", "bad": "✗ ", "warn": "! "}
_ASCII = {"good": "+ ", "bad": "x ", "warn": "! "}
#: Columns of a unit's name at most.
_NAME = 32


class Board:
    """Draws with rich, which is imported when there is something to draw."""

    #: Seconds between two pictures while nothing happens: the clocks go on.
    interval = 1.0
    #: Seconds between two pictures while much happens.
    pause = 0.1

    def __init__(self, output: Output, looks: Looks, *, verbosity: int, environ: Mapping[str, str]) -> None:
        self._output, self._looks, self._environ = output, looks, environ
        self._signs = _SIGNS if looks.unicode else _ASCII
        self._progress = Progress()
        self._speaker = Speaker(self._progress, verbosity, log=False)
        self._console: Console | None = None
        self._live: Live | None = None

    def take(self, events: Sequence[Event]) -> None:
        """Say what has ended and draw the new picture, once for all ``events``."""
        console = self._opened()
        said: list[Text] = []
        running = self._live is not None
        for event in events:
            self._progress.take(event, time.monotonic())
            running = event.get("event") != "context_finished"
            said += [text for sentence in self._speaker.say(event) for text in self._texts(sentence)]
        if not running:
            self.close()
        for text in said:
            console.print(text, soft_wrap=True)
        if running:
            self._draw(console)

    def tick(self) -> None:
        """Draw the picture anew."""
        if self._live is not None and self._console is not None:
            self._draw(self._console)

    def close(self) -> None:
        """Take the picture away and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._output.flush()

    def _opened(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=cast("IO[str]", self._output),
                force_terminal=True,
                color_system="standard" if self._looks.colour else None,
                no_color=not self._looks.colour,
                markup=False,
                highlight=False,
                emoji=False,
                legacy_windows=False,
                _environ=self._environ,
            )
        return self._console

    def _draw(self, console: Console) -> None:
        from rich.console import Group
        from rich.live import Live

        picture = Group(*self._rows(console.size.width, console.size.height))
        if self._live is None:
            self._live = Live(
                picture,
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start(refresh=True)
        else:
            self._live.update(picture, refresh=True)

    def _rows(self, width: int, height: int) -> list[Text]:
        progress, now = self._progress, time.monotonic()
        head = f"{progress.context}  {clock(now - progress.since)}  {progress.counts()}".rstrip()
        rows = [self._row(head, "bold red" if progress.failed else "bold")]
        if progress.waiting:
            rows.append(self._row(f"{self._signs['warn']}waiting for {progress.waiting}", "yellow"))
        units = progress.units
        if not units and progress.phase:
            rows.append(self._row(f"  {progress.transfer or progress.phase}", "dim"))
        room = max(0, height - len(rows) - 2)
        shown = units if len(units) <= room else units[: max(0, room - 1)]
        longest = min(max((len(unit.name) for unit in shown), default=0), _NAME, max(8, width // 3))
        rows += [self._row(self._unit(unit, longest, now), "") for unit in shown]
        if len(units) > len(shown):
            rows.append(self._row(f"  and {len(units) - len(shown)} more", "dim"))
        return rows

    def _unit(self, unit: Unit, longest: int, now: float) -> str:
        mark = "  " if unit.kind == "peon" else ""
        name = f"{mark}{unit.name}"
        return f"  {name[: longest + 2]:<{longest + 2}} {clock(now - unit.since):>6}  {unit.last}"

    def _row(self, text: str, style: str) -> Text:
        from rich.text import Text

        overflow: OverflowMethod = "ellipsis" if self._looks.unicode else "crop"
        return Text(self._fitting(text), style, no_wrap=True, overflow=overflow)

    def _texts(self, sentence: Sentence) -> list[Text]:
        from rich.text import Text

        sign = self._signs.get(sentence.tone, "")
        told = [Text(self._fitting(f"{sign}{sentence.text}"), _STYLES[sentence.tone])]
        return told + [Text(self._fitting(f"    {line}")) for line in sentence.detail]

    def _fitting(self, text: str) -> str:
        if self._looks.unicode:
            return text
        return text.replace(REPLACEMENT, "?").encode("ascii", "replace").decode()
