"""The journal that ``narval run`` keeps of a home, so that ``narval resume`` can go on after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from narval_engine.encoding import EncodingError
from narval_engine.journal import JournalError, SqliteJournal
from narval_engine.world import Fact

#: Where it is, in a home; and that of the run before, if somebody might want to go on with it.
NAME = Path("data", "journal.sqlite")
BEFORE = Path("data", "journal-before.sqlite")
_RECIPE, _ENDED, _STOPPED = "recipe", "ended", "stopped"
_WELL, _WAITING = "yes", "waits"
_Say = Callable[[str], None]


class HomeJournal:
    """A journal that stops where a fact holds what no file can, instead of failing the step. It says so once."""

    lenient = True

    def __init__(self, inner: SqliteJournal, say: _Say) -> None:
        self.inner = inner
        self._say = say
        self._stopped = False

    def write(self, facts: Iterable[Fact]) -> None:
        """Keeps the facts, all or none, unless it has stopped. Raises JournalLostError."""
        if self._stopped:
            return
        try:
            self.inner.write(facts)
        except EncodingError as error:
            self._stopped = True
            self.inner.label(_STOPPED, str(error))
            self._say(f"{self.inner.path}: {error}; from here on nothing is kept to resume from")

    def ended(self, *, waits: bool) -> None:
        """Nothing more can happen, unless a plan ``waits``: whoever begins anew loses nothing."""
        self.inner.label(_ENDED, _WAITING if waits else _WELL)
        if not waits:
            self.inner.relax()

    def close(self) -> None:
        """Gives back the file."""
        self.inner.close()


def begun(home: Path, recipe: str | None, say: _Say) -> HomeJournal | None:
    """A new journal of a home; that of the run before is kept beside it, unless it came to its end.

    ``None``, and a word to ``say``, where it cannot be written, or another run of the home is writing it.
    """
    try:
        journal = SqliteJournal(home / NAME)
        _keep_before(journal, home, say)
        journal.begin({_RECIPE: recipe or ""})
    except (JournalError, OSError) as error:
        say(f"{error}; nothing is kept to resume from")
        return None
    return HomeJournal(journal, say)


def _keep_before(journal: SqliteJournal, home: Path, say: _Say) -> None:
    ended = journal.labels.get(_ENDED)
    if ended == _WELL or next(journal.entries(), None) is None:
        return
    journal.copy_to(home / BEFORE)
    how = "waits" if ended else "was cut off"
    say(f"a run {how}; `narval resume --home {home} --journal {home / BEFORE}` goes on from it")


def opened(path: Path, say: _Say) -> tuple[HomeJournal, str | None]:
    """A journal to go on from, and the recipe that its run was told to start. Raises JournalError."""
    journal = SqliteJournal(path)
    labels = journal.labels
    stopped = labels.get(_STOPPED)
    if stopped is not None:
        journal.close()
        raise JournalError(f"{path}: the journal was not kept to the end: {stopped}")
    journal.label(_ENDED, "")
    return HomeJournal(journal, say), labels.get(_RECIPE) or None
