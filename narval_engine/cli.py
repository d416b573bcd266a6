"""The command ``narval``: runs a home, resumes it after a crash, draws its recipes."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from narval_engine.engine import Engine
    from narval_engine.home import Home
    from narval_engine.journal import Journal

USAGE = 2
_WAITS = 3
#: The plans did what they did, but what was asked for besides could not be written.
_UNWRITTEN = 1
_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
#: Seconds that running steps have to end after a signal.
_GRACE = 5.0


class _EndedError(BaseException):
    """A signal came before anything was run."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}; nothing was run")
        self.code = _SIGNALS[signal.Signals(number)]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\n  next: {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_given: object) -> NoReturn:
        from importlib import metadata

        print(f"narval {metadata.version('exekutir')}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit code."""
    _fill_streams()
    options = _parser().parse_args(arguments)
    options.for_good = arguments is None
    try:
        return _command(options)
    except _EndedError as end:
        print(end, file=sys.stderr)
        return end.code
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _fill_streams() -> None:
    """Has something in the place of each standard stream that is closed, so that no file gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 -- as long as the process
            if stream.fileno() != number:
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)


def _command(options: argparse.Namespace) -> int:
    """Runs the command. What the user got wrong is told as such, and not as a traceback."""
    from narval_engine.places import RecipeError

    try:
        code: int = options.run(options)
    except RecipeError as error:
        return _refuse(error.mistakes)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _refuse([error])
    except Exception as error:
        # Goes on unless it is one of three, whose modules are imported late.
        known = type(error).__name__
        if known in {"JournalLostError", "EncodingError"}:
            print(f"{error}\n  next: make room, then go on with `narval resume`", file=sys.stderr)
            return 1
        if known != "JournalError":
            raise
        return _refuse([error])
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="narval", description="Runs recipes: steps and transitions over a memory of elements.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="run the plans of a home until nothing more can happen")
    _home(run, "directory with modules/, recipes/ and data/memory.xml")
    run.add_argument("--recipe", metavar="GROUP.NAME", help="also start a plan of this recipe")
    _common(run)
    run.add_argument("--save", type=Path, metavar="FILE", help="write memory to a file in the end, as a memory.xml")
    kept = run.add_mutually_exclusive_group()
    kept.add_argument("--journal", type=Path, metavar="FILE", help="the journal (default: DIR/data/journal.sqlite)")
    kept.add_argument("--no-journal", action="store_true", help="keep nothing from which `narval resume` could go on")
    run.set_defaults(run=_run)
    resume = commands.add_parser("resume", help="go on where a journal ends")
    _home(resume, "the directory that the journal was begun with")
    resume.add_argument("--journal", type=Path, metavar="FILE", help="the journal (default: DIR/data/journal.sqlite)")
    _common(resume)
    resume.set_defaults(run=_resume)
    graph = commands.add_parser("graph", help="draw the recipes of a file, or the plans of a journal")
    graph.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="recipes (XML, YAML, job.xn), a journal, or a home or workspace with some",
    )
    graph.add_argument("--format", choices=("text", "svg"), default="text")
    graph.add_argument("--recipe", metavar="GROUP.NAME", help="only this one")
    graph.add_argument("--home", type=Path, help="the home of a journal, for recipes that it does not have")
    graph.set_defaults(run=_graph)
    return parser


def _home(parser: argparse.ArgumentParser, meaning: str) -> None:
    usual = os.environ.get("NARVAL_HOME")
    default = None if usual is None else Path(usual)
    text = f"{meaning} (default: $NARVAL_HOME)"
    parser.add_argument("--home", type=Path, required=default is None, default=default, metavar="DIR", help=text)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--watch", action="store_true", help="go on, and take elements from standard input, XML, one a line"
    )
    parser.add_argument("--workers", type=int, default=32, help="how many actions run at the same time")
    parser.add_argument("--strict", action="store_true", help="refuse to choose between elements that fit alike")


def _refuse(mistakes: Sequence[Any]) -> int:
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    print(f"nothing was run: {len(mistakes)} mistake{'' if len(mistakes) == 1 else 's'}", file=sys.stderr)
    return USAGE


def _load(options: argparse.Namespace) -> Home | None:
    """The home, if all of it is good; else its mistakes have been told."""
    from narval_engine import home
    from narval_engine.places import Mistake

    try:
        loaded = home.load(options.home)
    except OSError as error:
        _refuse([error])
        return None
    wanted = getattr(options, "recipe", None)
    if wanted is not None and wanted not in {recipe.full_name for recipe in loaded.recipes}:
        known = ", ".join(sorted(recipe.full_name for recipe in loaded.recipes)) or "none"
        loaded.mistakes.append(Mistake(f"--recipe: there is no recipe {wanted!r}; known are: {known}"))
    if loaded.errors:
        _refuse(loaded.errors)
        return None
    for warning in loaded.mistakes:
        print(f"{warning} (a warning)", file=sys.stderr)
    return loaded


def _report_to(descriptor: int) -> TextIO:
    # A text may hold halves of characters, which JSON writes in just that way.
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def _output_kept(*, for_good: bool) -> Iterator[TextIO]:
    """Gives standard output to the report alone: what modules and actions print goes to standard error.

    ``for_good``: also what they print when the process ends.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr), _report_to(os.dup(kept)) as report:
            yield report
    finally:
        if not for_good:
            os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def _on_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[Callable[[], None]]:
    """A signal raises _EndedError; what this gives raises it again where a module has caught it."""
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise _EndedError(number)

    def look() -> None:
        if came:
            raise _EndedError(came[0])

    with _on_signals(end):
        yield look


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _run(options: argparse.Namespace) -> int:
    with _output_kept(for_good=options.for_good) as out, _ended_by_signals() as look:
        loaded = _load(options)
        look()
        if loaded is None:
            return USAGE
        journal = _journal(options, loaded)
        with _engine(options, loaded, journal) as engine:
            _start(engine, loaded, options.recipe)
            return _drive(engine, options, journal, out)


def _journal(options: argparse.Namespace, loaded: Home) -> Journal | None:
    """The journal that the options ask for. Raises JournalError where one is named that holds something."""
    from narval_engine import homejournal
    from narval_engine.journal import JournalError, SqliteJournal

    if options.journal is None:
        if options.no_journal:
            return None
        if loaded.plans:
            _say(f"{options.home / 'data' / 'memory.xml'}: there are plans in it; nothing is kept to resume from")
            return None
        return homejournal.begun(options.home, options.recipe, _say)
    journal = SqliteJournal(options.journal)
    if next(journal.entries(), None) is not None:
        journal.close()
        raise JournalError(f"{options.journal}: the journal is not empty; go on from it with `narval resume`")
    return journal


def _note_end(journal: Journal | None, code: int) -> None:
    from narval_engine.homejournal import HomeJournal

    if isinstance(journal, HomeJournal):
        journal.ended(waits=code == _WAITS)


def _engine(options: argparse.Namespace, loaded: Home, journal: Any) -> Engine:
    from narval_engine.engine import Engine

    engine = Engine(loaded.registry, workers=max(1, options.workers), strict=options.strict, journal=journal)
    engine.add_recipes(loaded.recipes)
    return engine


def _start(engine: Engine, loaded: Home, recipe: str | None) -> None:
    with engine.held():
        _start_all(engine, loaded, recipe)


def _start_all(engine: Engine, loaded: Home, recipe: str | None) -> None:
    from narval_engine.elements import ErrorElement

    if loaded.plans:
        from narval_engine import savedmemory

        savedmemory.reserve(engine, loaded.plans)
    if loaded.elements:
        engine.add_element(*loaded.elements)
    if loaded.plans:
        savedmemory.restore(engine, loaded.plans)
    for start in loaded.starts:
        if start.recipe in engine.recipes:
            engine.start_plan(start.recipe, start.elements)
        else:
            message = f"{start.place}: start-plan names the unknown recipe {start.recipe!r}"
            engine.add_element(ErrorElement(message, "unknown recipe", recipe=start.recipe))
    if recipe is not None:
        engine.start_plan(recipe)


def _drive(engine: Engine, options: argparse.Namespace, journal: Journal | None, out: TextIO) -> int:
    """Runs the engine, prints the report, returns the exit code."""
    from narval_engine import report

    caught: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if caught:
            # Whoever asks twice does not want to wait; the journal has what happened.
            os._exit(_SIGNALS[signal.Signals(number)])
        caught.append(number)
        engine.cancel(signal.Signals(number).name, grace=_GRACE)

    with _on_signals(stop):
        if options.watch:
            from narval_engine import watching

            watching.watch(engine, sys.stdin, lambda: bool(caught))
        else:
            engine.run()
    told = report.exit_code(engine)
    _note_end(journal, told)
    code = _SIGNALS[signal.Signals(caught[0])] if caught else told
    saved = getattr(options, "save", None) is None or _save(engine, options.save)
    printed = _print(report.as_json(engine) if options.format == "json" else report.as_text(engine), out)
    return code if saved and printed else code or _UNWRITTEN


def _save(engine: Engine, path: Path) -> bool:
    from narval_engine import savedmemory
    from narval_engine.encoding import EncodingError

    try:
        savedmemory.write(engine, path)
    except (OSError, EncodingError) as error:
        _say(f"{path}: memory cannot be saved: {error}")
        return False
    return True


def _print(text: str, out: TextIO) -> bool:
    try:
        print(text, file=out, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _say(f"the report cannot be written: {error}; all else has been done")
        # What is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return False
    return True


def _resume(options: argparse.Namespace) -> int:
    from narval_engine import homejournal, resuming

    with _output_kept(for_good=options.for_good) as out, _ended_by_signals() as look:
        loaded = _load(options)
        look()
        if loaded is None:
            return USAGE
        path = options.journal or options.home / homejournal.NAME
        if not path.is_file():
            return _refuse([f"{path}: there is no such journal"])
        journal, recipe = homejournal.opened(path, _say)
        with _engine(options, loaded, journal) as engine:
            resuming.resume(engine, journal.inner)
            if not engine.plans and all(type(element).private for element in engine.memory):
                # It died before anything was written: nothing has happened yet.
                _start(engine, loaded, recipe)
            return _drive(engine, options, journal, out)


def _graph(options: argparse.Namespace) -> int:
    from narval_engine import graph

    code: int = graph.command(options, sys.stdout, _refuse)
    return code
