"""Recipes of a ``job.xn``, in YAML or XML, read and checked whole: every mistake in them with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kommandir.mistakes import Mistake
from kommandir.recipes.contexts import Contexts
from kommandir.recipes.item import NO_KEYS, StepItem
from kommandir.recipes.schema import NOTHING, OPERATIONS, Operation
from kommandir.xn.reading import Checking, listed
from kommandir.xn.schema import CONTEXTS
from kommandir.yamlfile import Document, Way, did_you_mean
from narval_engine import Element, Recipe, RecipeError, Step
from narval_engine import Mistake as EngineMistake


@dataclass(frozen=True, slots=True)
class Recipes:
    """What a file with recipes says; the first recipe is the one that a context starts."""

    recipes: tuple[Recipe, ...] = ()
    contexts: Contexts = field(default_factory=dict)
    #: A step each, for those who only want to know what may be run.
    items: tuple[StepItem, ...] = ()


def read(document: Document, text: str, mistakes: list[Mistake]) -> Recipes:
    """The recipes of a document, of which ``text`` is the source; what is wrong is added to ``mistakes``."""
    from narval_engine import yamlrecipes

    return checked(document, lambda told: yamlrecipes.recipes_of(text, document.source, told, [CONTEXTS]), mistakes)


def checked(
    document: Document, engine_read: Callable[[list[EngineMistake]], list[Recipe]], mistakes: list[Mistake]
) -> Recipes:
    """The same for a document of either notation, of which ``engine_read`` gives the recipes as the engine reads them.

    It adds what the engine finds wrong to the list that it is called with.
    """
    checking = _Steps(document, mistakes)
    checking.run()
    told: list[EngineMistake] = []
    recipes = engine_read(told)
    _add(mistakes, told, document.source)
    if mistakes or len(recipes) != len(checking.recipes):
        return Recipes(tuple(recipes), {}, tuple(checking.shown))
    found = Recipes(
        tuple(_with_items(recipe, steps) for recipe, steps in zip(recipes, checking.recipes, strict=True)),
        {
            (recipe.full_name, step.id): told.contexts
            for recipe, steps in zip(recipes, checking.recipes, strict=True)
            for step, told in zip(recipe.steps, steps, strict=True)
            if told.contexts
        },
        tuple(checking.shown),
    )
    mistakes += _of_engine(found.recipes)
    mistakes += _of_pipelines(found.recipes)
    return found


def _add(mistakes: list[Mistake], told: Iterable[EngineMistake], source: str) -> None:
    """Mistakes of the engine as ours, but for those at places of which something is known already."""
    known = {mistake.place for mistake in mistakes}
    for each in told:
        place = str(each.place or f"{source}:1")
        if not each.warning and place not in known:
            mistakes.append(Mistake(place, *_parted(each.message)))


def _parted(message: str) -> tuple[str, str]:
    """Message and hint: the engine writes both in one sentence."""
    head, _, hint = message.partition("; ")
    return head, hint


def _of_engine(recipes: tuple[Recipe, ...]) -> list[Mistake]:
    """What the engine finds wrong with recipes: names, targets, expressions, times, the graph."""
    from kommandir.recipes.actions import registered
    from narval_engine import Engine

    found: list[Mistake] = []
    names = [recipe.full_name for recipe in recipes]
    for recipe in recipes:
        if names.count(recipe.full_name) > 1:
            message = f"there are two recipes `{recipe.full_name}`"
            found.append(Mistake(str(recipe.place), message, "give one of them another name"))
    try:
        with Engine(registered(None)) as engine:
            engine.add_recipes(recipes)
    except RecipeError as error:
        _add(found, error.mistakes, "job.xn")
    return found


def _of_pipelines(recipes: tuple[Recipe, ...]) -> Iterator[Mistake]:
    known = [recipe.full_name for recipe in recipes]
    for recipe in recipes:
        for step in recipe.steps:
            for given in step.arguments:
                name = getattr(given, "recipe", None) if isinstance(given, Element) else None
                if step.target == "peon.pipelines" and name is not None and name not in known:
                    message = f"there is no recipe `{name}`{did_you_mean(str(name), known)}"
                    yield Mistake(str(getattr(given, "place", step.place)), message, f"it has {listed(known)}")


@dataclass(slots=True)
class _Told:
    """What our own part of one step says."""

    contexts: tuple[str, ...] = ()
    #: The item of each argument that has one.
    items: dict[int, StepItem] = field(default_factory=dict)


class _Steps(Checking):
    """Goes through the steps of all recipes of a document for what is ours: contexts, actions and their arguments."""

    def __init__(self, document: Document, mistakes: list[Mistake]) -> None:
        super().__init__(document, [], mistakes)
        self.shown: list[StepItem] = []
        self.recipes: list[list[_Told]] = []

    def run(self) -> None:
        for way, recipe in self._recipes():
            steps = recipe.get("steps") if isinstance(recipe, dict) else None
            entries = steps.items() if isinstance(steps, dict) else enumerate(steps if isinstance(steps, list) else ())
            self.recipes.append([self._step((*way, "steps", key), key, step) for key, step in entries])

    def _recipes(self) -> Iterator[tuple[Way, Any]]:
        value = self.document.value
        if "steps" in value or "transitions" in value:
            key = next(key for key in value if key in ("steps", "transitions"))
            self.wrong((key,), f"`{key}` stands outside of a recipe", "put it below `recipe:`")
        if "recipe" in value:
            yield ("recipe",), value["recipe"]
        recipes = value.get("recipes")
        for number, recipe in enumerate(recipes if isinstance(recipes, list) else ()):
            yield ("recipes", number), recipe

    def _step(self, way: Way, name: Any, step: Any) -> _Told:
        told = _Told()
        if not isinstance(step, dict):
            return told
        told.contexts = self.contexts((*way, CONTEXTS), step.get(CONTEXTS))
        for limit in ("memory", "cpu"):
            if limit in step:
                self.wrong((*way, limit), f"`{limit}` can't limit a step of a job", "set limits in the program itself")
        operation = OPERATIONS.get(str(step.get("target"))) if step.get("type", "action") == "action" else None
        if operation is None:
            return told
        arguments = step.get("arguments")
        for number, given in enumerate(arguments if isinstance(arguments, list) else ()):
            if isinstance(given, dict) and len(given) == 1 and "eval" not in given:
                self._argument((*way, "arguments", number), operation, given, told)
        shown = next(iter(told.items.values()), None) or StepItem(
            kind=operation.kind or NO_KEYS, index=0, place=self.document.place(*way), operation=operation.name
        )
        if operation.name != NOTHING:
            self.shown.append(replace(shown, contexts=told.contexts, index=len(self.shown) + 1))
        return told

    def _argument(self, way: Way, operation: Operation, given: Mapping[Any, Any], told: _Told) -> None:
        name, keys = next(iter(given.items()))
        kind = operation.kind
        if kind is None or name not in (kind.name, *(["peon"] if operation.peons else [])):
            known = [kind.name] if kind else []
            hint = f"it takes {listed(known)}" if known else "it takes none"
            message = f"unknown argument `{name}` of `{operation.name}`{did_you_mean(str(name), known)}"
            self.wrong((*way, name), message, hint)
        elif name == kind.name:
            keys = {} if keys is None else keys
            if isinstance(keys, dict) and CONTEXTS in keys:
                self.wrong((*way, name, CONTEXTS), f"`{CONTEXTS}` stands in an argument", "put it into the step")
                keys = {key: value for key, value in keys.items() if key != CONTEXTS}
            self.items.clear()
            self.item((*way, name), kind, keys)
            for item in self.items:
                told.items[way[-1]] = StepItem(
                    kind=kind, index=0, place=item.place, keys=item.keys, operation=operation.name
                )


def _with_items(recipe: Recipe, steps: list[_Told]) -> Recipe:
    """The recipe with arguments as they were checked: texts, with their place."""
    return replace(recipe, steps=tuple(_with_item(*pair) for pair in zip(recipe.steps, steps, strict=True)))


def _with_item(step: Step, told: _Told) -> Step:
    if not told.items:
        return step
    arguments = list(step.arguments)
    for number, item in told.items.items():
        arguments[number] = Element(item.kind.name, **item.keys, place=item.place)
    return replace(step, arguments=tuple(arguments))
