"""A home (manual II.2.2): a directory with modules, recipes and the elements that memory begins with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from narval_engine import commands, modules, recipewriting, xmlelements, xmlrecipes
from narval_engine.actions import Registry
from narval_engine.elements import Element
from narval_engine.places import Mistake, Place
from narval_engine.recipes import Given, Recipe
from narval_engine.validity import argument_mistakes, mistakes_of
from narval_engine.xmltree import Node, parsed


@dataclass(frozen=True)
class Start:
    """A start-plan of ``memory.xml``."""

    recipe: str
    elements: tuple[Given, ...]
    place: Place


@dataclass
class Home:
    """What a home holds, and everything that is wrong with it."""

    registry: Registry = field(default_factory=Registry)
    recipes: list[Recipe] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    #: Plans of a memory that was saved, see savedmemory.
    plans: list[Node] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def errors(self) -> list[Mistake]:
        """The mistakes without the warnings, each once, by place."""
        found = {str(mistake): mistake for mistake in self.mistakes if not mistake.warning}
        return sorted(found.values(), key=lambda each: (each.place.file, each.place.line) if each.place else ("", 0))


def load(directory: Path) -> Home:
    """Reads a home and checks all of it. Raises NotADirectoryError; all other mistakes are in the home returned."""
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is no directory")
    home = Home()
    commands.register(home.registry)
    for path in _files(directory / "modules", ".py"):
        modules.load(path, home.registry, home.mistakes)
    modules.check(home.registry, home.mistakes)
    for folder in ("modules", "transforms", "recipes"):
        _load_transforms(directory / folder, home)
    for path in _recipe_files(directory):
        home.recipes += recipes_in(path, home.mistakes)
    memory = directory / "data" / "memory.xml"
    if memory.exists() or memory.is_symlink():
        read_memory(memory, home)
    _check(home)
    return home


def _load_transforms(folder: Path, home: Home) -> None:
    for path in _files(folder, ".xsl", ".xslt"):
        from narval_engine import transforms

        transforms.load(path, home.registry, home.mistakes)


def _recipe_files(directory: Path) -> Iterator[Path]:
    shared = os.environ.get("NARVAL_SHARE")
    for folder in (directory / "recipes", *([Path(shared) / "recipes"] if shared else ())):
        yield from _files(folder, ".xml", ".yml", ".yaml")


def _files(folder: Path, *suffixes: str) -> list[Path]:
    """The files of a folder that have these suffixes, by name. Hidden ones are editors' own."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in suffixes and not path.name.startswith("."))


def recipes_in(path: Path, mistakes: list[Mistake]) -> list[Recipe]:
    """The recipes of one file, XML or YAML by its name."""
    try:
        data = path.read_bytes()
    except OSError as error:
        mistakes.append(Mistake(f"cannot be read: {error.strerror}", Place(str(path), 1)))
        return []
    if path.suffix == ".xml":
        return xmlrecipes.recipes_of(data, str(path), mistakes)
    from narval_engine import yamlrecipes

    found: list[Recipe] = yamlrecipes.recipes_of(data, str(path), mistakes)
    return found


def _check(home: Home) -> None:
    known: dict[str, Recipe] = {}
    for recipe in home.recipes:
        other = known.setdefault(recipe.full_name, recipe)
        if other is not recipe and not _copied(other, recipe):
            home.mistakes.append(
                Mistake(f"recipe {recipe.full_name!r} is there twice; the other is at {other.place}", recipe.place)
            )
    home.recipes = list(known.values())
    for recipe in home.recipes:
        home.mistakes += mistakes_of(recipe, home.registry.get, known)


def _copied(one: Recipe, other: Recipe) -> bool:
    """Whether they are the same from two places: a memory that was saved has the recipes of its home too."""
    folders = {Path(each.place.file).parent for each in (one, other) if each.place is not None}
    return len(folders) == 2 and recipewriting.written(one) == recipewriting.written(other)


def read_memory(path: Path, home: Home) -> None:
    """Reads a ``memory.xml``, also one that was saved, into a home."""
    try:
        root = parsed(path.read_bytes(), str(path), home.mistakes)
    except OSError as error:
        home.mistakes.append(Mistake(f"cannot be read: {error.strerror}", Place(str(path), 1)))
        return
    if root is None:
        return
    if root.tag != "memory":
        home.mistakes.append(Mistake(f"<{root.tag}> is no memory; <memory> is wanted", root.place))
        return
    for name in root.attributes:
        home.mistakes.append(Mistake(f"unknown attribute {name!r} of <memory>; it has none", root.place))
    if root.text.strip():
        home.mistakes.append(Mistake(f"unexpected text {root.text.strip()[:40]!r} in <memory>", root.place))
    _read_nodes(root, home)
    _check_numbers(home, root)


def _read_nodes(root: Node, home: Home) -> None:
    for node in root.children:
        if node.tag == "start-plan":
            home.starts.append(start_of(node, home.mistakes))
        elif node.tag == "plan":
            home.plans.append(node)
        elif node.tag in {"recipe", "cookbook"}:
            home.recipes += xmlrecipes.recipes_below(node, home.mistakes)
        else:
            element = xmlelements.element_of(node, home.mistakes)
            if element is not None:
                home.elements.append(element)


def start_of(node: Node, mistakes: list[Mistake]) -> Start:
    """The start of a plan that a ``<start-plan>`` asks for."""
    recipe, nodes = xmlelements.start_plan_of(node, mistakes)
    given = [each for child in nodes if (each := xmlrecipes.given_of(child, mistakes)) is not None]
    for each in given:
        mistakes += argument_mistakes(each)
    return Start(recipe, tuple(given), node.place)


def _check_numbers(home: Home, root: Node) -> None:
    seen: set[int] = set()
    for element in home.elements:
        if element.eid in seen and element.eid is not None:
            home.mistakes.append(Mistake(f"two elements have the eid {element.eid}", root.place))
        elif element.eid is not None:
            seen.add(element.eid)
