"""``narval graph``: recipes of a file and plans of a journal as pictures, text for a terminal or SVG for a page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from narval_engine.drawings import Drawing, as_text
from narval_engine.places import Mistake, Place
from narval_engine.recipes import Recipe
from narval_engine.svg import as_svg

if TYPE_CHECKING:
    from narval_engine.engine import Engine

__all__ = ["Drawing", "as_svg", "as_text", "command"]

#: Keys of steps that files of jobs have besides ours; a picture shows them.
NOTES = ("contexts",)
#: Where the journal of a directory lies: that of a home, and that of the workspace of a job.
_JOURNALS = ("data/journal.sqlite", "private/job.sqlite", "kommandir_workspace/private/job.sqlite")
_SQLITE = b"SQLite format 3\0"
_XML_STARTS = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"


def command(options: argparse.Namespace, out: TextIO, refuse: Callable[[Sequence[Any]], int]) -> int:
    """Draw what ``options`` name; what is wrong with it goes to ``refuse``."""
    path: Path = options.file
    mistakes: list[Mistake] = []
    drawings = _drawings(path, options.home, mistakes)
    if mistakes:
        return refuse(mistakes)
    chosen = [drawing for drawing in drawings if options.recipe in {None, drawing.recipe.full_name}]
    if not chosen:
        return refuse([f"{path}: there is no recipe {options.recipe!r}" if options.recipe else f"{path}: is empty"])
    text = as_svg(chosen) if options.format == "svg" else "\n\n".join(as_text(each) for each in chosen)
    print(text, file=out)
    return 0


def _drawings(path: Path, home: Path | None, mistakes: list[Mistake]) -> list[Drawing]:
    if path.is_dir():
        journals = [path / name for name in _JOURNALS if (path / name).is_file()]
        if not journals:
            mistakes.append(Mistake(f"{path}: there is no journal of plans; nothing was run there yet"))
        return [drawing for journal in journals for drawing in _of_journal(journal, home)]
    try:
        data = path.read_bytes()
    except OSError as error:
        mistakes.append(Mistake(f"{path}: cannot be read: {error.strerror}"))
        return []
    if data.startswith(_SQLITE):
        return _of_journal(path, home)
    return [Drawing.of_recipe(recipe) for recipe in _recipes(data, str(path), mistakes)]


def _recipes(data: bytes, file: str, mistakes: list[Mistake]) -> list[Recipe]:
    """The recipes of a file in any notation, told apart by how it begins."""
    if data.lstrip(_XML_STARTS).startswith(b"<"):
        from narval_engine import xmlrecipes

        return xmlrecipes.recipes_of(data, file, mistakes, NOTES)
    from narval_engine import yamllists, yamlrecipes, yamltree

    documents = yamltree.documents(data, file, mistakes)
    if len(documents) == 1 and documents[0].is_mapping:
        return yamlrecipes.recipes_in(documents[0], mistakes, NOTES)
    recipe = yamllists.recipe_of(documents, file, mistakes, NOTES)
    if recipe is None and not mistakes:
        mistakes.append(Mistake("is empty", Place(file, 1)))
    return [recipe] if recipe is not None else []


def _of_journal(path: Path, directory: Path | None) -> list[Drawing]:
    """The plans as they are at the end of a journal; nothing is run and nothing written.

    Their recipes are those of the journal, or of the home ``directory`` where one is named.
    """
    from narval_engine import programs
    from narval_engine.engine import Engine
    from narval_engine.journal import SqliteJournal
    from narval_engine.resuming import replayed

    journal = SqliteJournal(path, read_only=True)
    try:
        if directory is not None:
            from narval_engine import home

            loaded = home.load(directory)
            with Engine(loaded.registry) as engine:
                engine.add_recipes(loaded.recipes)
                replayed(engine, journal)
                return _plans(engine)
        with Engine() as engine:
            for recipe in journal.recipes():
                engine.machine.programs[recipe.full_name] = programs.program_of(recipe, lambda _name: None)
            replayed(engine, journal)
            return _plans(engine)
    finally:
        journal.close()


def _plans(engine: Engine) -> list[Drawing]:
    return [Drawing.of_plan(plan) for plan in engine.plans]
