"""Modules (manual II.1.3): Python files with actions, described by decorators or by their ``MOD_XML``."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from narval_engine.actions import Action, Options, Registry
from narval_engine.places import Mistake, Place
from narval_engine.prototypes import Prototype
from narval_engine.validity import prototype_mistakes
from narval_engine.xmlrecipes import prototype_of
from narval_engine.xmltree import Node, Reading, parsed

_DECLARATION = "MOD_XML"


def load(path: Path, registry: Registry, mistakes: list[Mistake]) -> None:
    """Imports a module and registers its actions; what is wrong with it is added to ``mistakes``.

    Whether the expressions of its prototypes are good is for ``check``, once all modules are there. The module's own
    directory is searched last for what it imports, so that no module hides one of Python's.
    """
    module = _imported(path, mistakes)
    if module is None:
        return
    before = {action.name: action for action in registry}
    found = registry.add_module(module, path.stem)
    text = getattr(module, _DECLARATION, None)
    if isinstance(text, str | bytes):
        root = parsed(text.lstrip() if isinstance(text, str) else text, str(path), mistakes, _line_of(path, text))
        if root is not None:
            found += _Described(module, path, mistakes).actions(root, registry)
    elif text is not None:
        mistakes.append(
            Mistake(f"{_DECLARATION} is a {type(text).__name__}; XML as text is wanted", Place(str(path), 1))
        )
    mistakes += _twice(found, before)


def _twice(found: list[Action], before: dict[str, Action]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for action in found:
        other = before.get(action.name)
        # A module may import an action of another one.
        if action.name in seen or (other is not None and other.function is not action.function):
            yield Mistake(f"action {action.name!r} is there twice", action.place)
        seen.add(action.name)


def check(registry: Registry, mistakes: list[Mistake]) -> None:
    """Adds to ``mistakes`` what is wrong with the prototypes of all actions."""
    for action in registry:
        mistakes += prototype_mistakes(action.prototype, action.place, f"action {action.name!r}")


def _imported(path: Path, mistakes: list[Mistake]) -> ModuleType | None:
    name = f"narval_module_{path.stem}"
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    there = sys.modules.get(path.stem)
    if there is not None and there.__spec__ is not None and there.__spec__.origin == str(path):
        # Another module imported it by its plain name: its classes must not be there twice.
        return there
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        mistakes.append(Mistake("is no Python file", Place(str(path), 1)))
        return None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    if there is None or _is_of_a_home(there):
        sys.modules[path.stem] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a module may raise anything; it is the user's mistake
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        mistakes.append(Mistake(f"cannot be imported: {type(error).__name__}: {error}", _blame(error, path)))
        return None
    return module


def _is_of_a_home(module: ModuleType) -> bool:
    """Whether it came from the modules of a home, perhaps of another one."""
    other = sys.modules.get(f"narval_module_{module.__name__.removeprefix('narval_module_')}")
    return other is module


def _blame(error: BaseException, path: Path) -> Place:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return Place(str(path), error.lineno or 1)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return Place(str(path), (lines and lines[-1]) or 1)


def _line_of(path: Path, text: str | bytes) -> int:
    """The line of the file on which the declaration's text begins, 1 if it is not written out there."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return 1
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == _DECLARATION for target in targets):
            blank = text[: len(text) - len(text.lstrip())]
            return node.lineno + (blank.count("\n") if isinstance(blank, str) else 0)
    return 1


class _Described(Reading):
    """Reads the XML of a module (manual tables 13 to 15)."""

    def __init__(self, module: ModuleType, path: Path, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes)
        self._module = module
        self._path = path

    def actions(self, root: Node, registry: Registry) -> list[Action]:
        if root.tag != "module":
            self.wrong(f"{_DECLARATION} begins with <{root.tag}>; <module> is wanted", root.place)
            return []
        self.attributes(root, (), ("name", "version"))
        self._named("name", root, root)
        found = [self._action(node) for node in self.children(root, "action", "description") if node.tag == "action"]
        return [registry.add(action) for action in found if action is not None]

    def _named(self, attribute: str, node: Node, blamed: Node) -> None:
        said = node.attributes.get(attribute)
        if said is not None and said != self._path.stem:
            self.wrong(
                f"{attribute}={said!r} of <{node.tag}>; it is the name of the file, {self._path.stem!r}", blamed.place
            )

    def _action(self, node: Node) -> Action | None:
        ours = ("inline", "idempotent", "isolated", "finalizer", "nonexecuted")
        given = self.attributes(node, ("name", "func"), ("group", "eid", *ours))
        self._named("group", node, node)
        descriptions = {}
        for child in self.children(node, "description", "input", "output"):
            if child.tag == "description":
                self.attributes(child, ("lang",))
                descriptions[child.attributes.get("lang", "")] = child.text.strip()
        inputs, outputs = prototype_of(node, self.mistakes)
        function = self._function(node, "func")
        options = Options(
            inline=bool(self.yes_no(node, "inline")),
            idempotent=bool(self.yes_no(node, "idempotent")),
            isolated=bool(self.yes_no(node, "isolated")),
            finalizer=self._function(node, "finalizer"),
            nonexecuted=self._function(node, "nonexecuted"),
        )
        if function is None or not given.get("name"):
            return None
        name = f"{self._path.stem}.{given['name']}"
        return Action(name, function, Prototype(inputs, outputs), options, descriptions, node.place)

    def _function(self, node: Node, attribute: str) -> Callable[..., Any] | None:
        name = node.attributes.get(attribute)
        if not name:
            return None
        found = getattr(self._module, name, None)
        if callable(found):
            return found  # type: ignore[no-any-return] # callable() is all that is asked of it
        known = [each for each, thing in vars(self._module).items() if callable(thing) and not each.startswith("_")]
        near = difflib.get_close_matches(name, known, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"its functions are: {', '.join(known) or 'none'}"
        self.wrong(f"{attribute}={name!r} is no function of {self._path.name}; {hint}", node.place)
        return None
