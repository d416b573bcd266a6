"""The journal of an engine: facts in an append-only SQLite file, written before their effects can be seen.

Two kinds of safety, and two prices. What is written survives the death of the process at once: a write-ahead log is
handed to the kernel with each batch. It survives the death of the machine once it is synced: that is done in batches
too, at the latest ``sync_every`` seconds later, or with each write for ``sync_every=0``. A machine that dies loses the
last moments, never the order: what is left is always a prefix.

Beside the facts there is room for what a program has to find again itself: ``labels``, texts by name that say whose
plans these are, and ``notes``, an append-only list of records.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from narval_engine import encoding, recipewriting, xmlrecipes
from narval_engine.elements import Element
from narval_engine.places import Mistake
from narval_engine.plans import Plan
from narval_engine.recipes import Recipe
from narval_engine.world import Fact

#: Raised when the format of the records changes.
VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS labels (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recipes (number INTEGER PRIMARY KEY, recipe TEXT NOT NULL);
"""
_NOTE = "INSERT INTO notes (note) VALUES (?)"
_NOTES = "SELECT note FROM notes ORDER BY number"
_INSERT = "INSERT INTO batches (facts) VALUES (?)"
_KEEP = "INSERT INTO recipes (recipe) VALUES (?)"
_ALL = "SELECT facts FROM batches ORDER BY number"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JournalError(Exception):
    """A journal cannot be opened, read or written; the message says which file and why."""


class JournalBusyError(JournalError):
    """Another process is writing the journal."""


class JournalLostError(JournalError):
    """A journal that was begun can be written no more. Nothing runs on without it; what it has is a good prefix."""


class Entry(NamedTuple):
    """A fact as it is kept: the plan by its eid, elements by theirs, new ones with all that they are."""

    number: int
    kind: str
    plan: int | None
    record: dict[str, Any]


class Journal(Protocol):
    """What the engine writes facts to."""

    #: Whether elements that cannot be kept are its own business, instead of an error of the step that made them.
    lenient: bool

    def write(self, facts: Iterable[Fact]) -> None:
        """Keeps the facts, all or none of them, before it returns."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...


class SqliteJournal:
    """A journal in one file (mode 0600).

    One process at a time may write it; JournalError says so to another. ``read_only`` looks at one that may be in use.
    """

    lenient = False

    def __init__(self, path: Path | str, *, sync_every: float = 0.1, read_only: bool = False) -> None:
        self.path = Path(path)
        self._sync_every = 0 if read_only else sync_every
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._syncing: threading.Thread | None = None
        #: Notes are written from any thread.
        self._writing = threading.Lock()
        #: Elements whose content the journal has, so that it is written once.
        self._known: set[int] = set()
        #: The recipes that it was given by this engine.
        self._recipes: set[str] = set()
        self._lock = -1
        #: The file, until it was synced for the first time; closed after SQLite's own, whose locks would go with it.
        self._file = -1
        self._unsynced = True
        self._relaxed = False
        try:
            self._database = self._looked_at() if read_only else self._opened()
        except (OSError, sqlite3.Error) as error:
            self._unlock()
            raise JournalError(f"{self.path}: the journal cannot be opened: {error}") from error
        except JournalError:
            self._unlock()
            raise
        if self._sync_every:
            self._syncing = threading.Thread(target=self._sync_in_batches, name="narval-journal", daemon=True)
            self._syncing.start()

    def _looked_at(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
        if self._sync_every:
            # Nothing is promised before the first sync, which takes the file too; most runs are over before that.
            database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA)
        database.execute("INSERT OR IGNORE INTO about VALUES ('version', ?)", (str(VERSION),))
        database.execute(f"PRAGMA synchronous = {'NORMAL' if self._sync_every else 'FULL'}")
        (version,) = database.execute("SELECT value FROM about WHERE name = 'version'").fetchone()
        if version != str(VERSION):
            raise JournalError(f"{self.path}: the journal has version {version}, this engine reads {VERSION}")
        return database

    def _take_lock(self) -> None:
        """A file of its own: closing a second descriptor of the database would lose the locks of SQLite."""
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalBusyError(f"{self.path}: another process is writing this journal") from error

    def _unlock(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def write(self, facts: Iterable[Fact]) -> None:
        """Keeps the facts, all or none. Raises JournalError; encoding.EncodingError for what no file can hold."""
        facts = list(facts)
        self._keep_recipes(facts)
        self._insert(_INSERT, _encode([self._record(fact) for fact in facts]))

    def note(self, record: Mapping[str, Any]) -> None:
        """Keeps a record of plain data that JSON can hold; from any thread. Raises JournalLostError."""
        self._insert(_NOTE, _encode(record))

    def _insert(self, statement: str, text: str) -> None:
        try:
            with self._writing:
                self._database.execute(statement, (text,))
        except UnicodeEncodeError:
            # Half a character, which only an escape can stand for.
            self._insert(statement, json.dumps(json.loads(text)))
        except sqlite3.Error as error:
            raise JournalLostError(f"{self.path}: the journal cannot be written: {error}") from error
        if self._sync_every and not self._dirty.is_set():
            self._dirty.set()

    def notes(self) -> Iterator[dict[str, Any]]:
        """All notes in the order in which they were written. Raises JournalError."""
        try:
            yield from (json.loads(text) for (text,) in self._database.execute(_NOTES))
        except (sqlite3.Error, ValueError) as error:
            raise JournalError(f"{self.path}: the notes of the journal cannot be read: {error}") from error

    @property
    def labels(self) -> dict[str, str]:
        """What ``begin`` and ``label`` were told. Raises JournalError."""
        try:
            return dict(self._database.execute("SELECT name, value FROM labels"))
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: the journal cannot be read: {error}") from error

    def begin(self, labels: Mapping[str, str]) -> None:
        """Forgets all that it has and begins anew, in one step. Raises JournalLostError."""
        try:
            with self._writing:
                self._database.execute("BEGIN IMMEDIATE")
                for table in ("batches", "notes", "labels", "recipes"):
                    self._database.execute(f"DELETE FROM {table}")  # noqa: S608 -- the names stand above
                self._database.executemany("INSERT INTO labels VALUES (?, ?)", labels.items())
                self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalLostError(f"{self.path}: the journal cannot be written: {error}") from error
        self._known.clear()
        self._recipes.clear()

    def copy_to(self, path: Path) -> None:
        """Writes a copy of the journal to another file (mode 0600), whole or not at all. Raises JournalError."""
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            self._database.execute("VACUUM INTO ?", (name,))
            Path(name).replace(path)
        except (sqlite3.Error, OSError) as error:
            Path(name).unlink(missing_ok=True)
            raise JournalError(f"{self.path}: the journal cannot be copied to {path}: {error}") from error

    def label(self, name: str, value: str) -> None:
        """Adds a label, or changes it. Raises JournalLostError."""
        try:
            with self._writing:
                self._database.execute("INSERT OR REPLACE INTO labels VALUES (?, ?)", (name, value))
        except sqlite3.Error as error:
            raise JournalLostError(f"{self.path}: the journal cannot be written: {error}") from error

    def _keep_recipes(self, facts: Iterable[Fact]) -> None:
        """Keep the recipes of plans that are made: whoever looks at the journal draws its plans by them."""
        made = {
            fact.plan.name: fact.plan.recipe for fact in facts if fact.kind == "plan_made" and fact.plan is not None
        }
        for name in made.keys() - self._recipes:
            self._recipes.add(name)
            # An argument that no file can hold: such a plan can't be drawn.
            with contextlib.suppress(encoding.EncodingError):
                self._insert(_KEEP, recipewriting.written(made[name]))

    def recipes(self) -> list[Recipe]:
        """The recipes of its plans, those that were written last coming last. Raises JournalError."""
        mistakes: list[Mistake] = []
        try:
            found = list(self._database.execute("SELECT recipe FROM recipes ORDER BY number"))
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: the journal cannot be read: {error}") from error
        return [recipe for (text,) in found for recipe in xmlrecipes.recipes_of(text, str(self.path), mistakes)]

    def _sync_in_batches(self) -> None:
        while not self._closing.wait(self._sync_every):
            self._dirty.wait()
            self._dirty.clear()
            if not self._relaxed:
                self.sync()

    def sync(self) -> None:
        """Has the kernel bring to disk what was written."""
        if self._unsynced and self._file >= 0:
            self._unsynced = False
            os.fdatasync(self._file)
            _sync_file(str(self.path.parent))
        _sync_file(f"{self.path}-wal")

    def relax(self) -> None:
        """What is in the journal need not outlive the machine any more: closing it does not wait for the disk."""
        self._relaxed = True
        self._database.execute("PRAGMA synchronous = OFF")

    def entries(self) -> Iterator[Entry]:
        """All facts in the order in which they were written."""
        number = 0
        try:
            for (batch,) in self._database.execute(_ALL):
                for kind, plan, *record in json.loads(batch):
                    number += 1
                    yield Entry(number, kind, plan, record[0] if record else {})
        except (sqlite3.Error, ValueError) as error:
            raise JournalError(f"{self.path}: the journal cannot be read after entry {number}: {error}") from error

    def close(self) -> None:
        """Syncs and closes the file. A second time does nothing."""
        self._closing.set()
        self._dirty.set()
        if self._syncing is not None:
            self._syncing.join()
            self._syncing = None
        try:
            if not self._relaxed:
                self.sync()
            self._database.close()
            self._unlock()
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"{self.path}: the journal cannot be closed: {error}") from error

    def known(self, eids: Iterable[int]) -> None:
        """The content of these elements is in the journal already."""
        self._known.update(eids)

    def _record(self, fact: Fact) -> list[Any]:
        record: dict[str, Any] = {}
        if fact.number >= 0:
            record["n"] = fact.number
        if fact.elements:
            record["e"] = [element.eid for element in fact.elements]
            new = [element for element in fact.elements if self._is_new(element, fact.kind)]
            if new:
                record["new"] = [self._content(element) for element in new]
        if fact.detail is not None:
            detail = _DETAILS.get(fact.kind)
            if detail is not None:
                record["d"] = detail(fact)
        plan = None if fact.plan is None else fact.plan.eid
        return [fact.kind, plan, record] if record else [fact.kind, plan]

    def _is_new(self, element: Element, kind: str) -> bool:
        if isinstance(element, Plan) or (element.eid in self._known and kind != "elements_changed"):
            return False
        self._known.add(element.eid or 0)
        return True

    def _content(self, element: Element) -> list[Any]:
        made = [element.made_by_plan, element.made_by_step] if element.made_by_plan is not None else []
        return [element.eid, *encoding.element_packed(element), *made]


def _sync_file(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # Nothing was written yet, or SQLite has folded the log into the file, and synced that itself.
        return
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _of_made(fact: Fact) -> dict[str, Any]:
    plan = fact.plan
    assert plan is not None
    record: dict[str, Any] = {"recipe": plan.name}
    if plan.parent is not None:
        record["parent"] = plan.parent.eid
    for name in ("starter", "restarted"):
        if fact.detail[name] is not None:
            record[name] = fact.detail[name].eid
    if plan.computed:
        record["computed"] = {
            str(at): [encoding.element_packed(each) for each in made] for at, made in plan.computed.items()
        }
    return record


def _of_started(fact: Fact) -> dict[str, Any]:
    """The inputs: a number for an element, a list of numbers for a list, null for none."""
    return {
        name: value.eid if isinstance(value, Element) else value and [each.eid for each in value]
        for name, value in fact.detail.items()
    }


def _plainly(fact: Fact) -> Any:
    return fact.detail


_DETAILS: dict[str, Any] = {
    "plan_made": _of_made,
    "step_started": _of_started,
    "step_ended": _plainly,
    "call_ended": _plainly,
    "time_set": _plainly,
    "plan_failed": _plainly,
    "plan_ended": _plainly,
}
