"""A list of items in YAML as a linear recipe: what ``job.xn`` is in its list form, as far as a picture shows it.

::

    - variable: {name: SUITE, value: smoke}
    - playbook: {filepath: run.yml, contexts: [run]}

Each item is a step, one after the other. What items mean is known to those who run them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from narval_engine.places import Mistake
from narval_engine.recipes import Recipe, Step, Transition
from narval_engine.yamltree import Item, YamlReading, listed

#: What an item is called by, the first one that it has.
_NAMES = ("filepath", "name")


def recipe_of(lists: Sequence[Item], file: str, mistakes: list[Mistake], notes: Sequence[str] = ()) -> Recipe | None:
    """The items of lists, a YAML document each, as one recipe; None where there is nothing."""
    reader = _Lists(mistakes, notes)
    steps = tuple(reader.steps(lists))
    transitions = tuple(
        Transition(id=f"t{number}", inputs=(before.id,), outputs=(after.id,))
        for number, (before, after) in enumerate(itertools.pairwise(steps), 1)
    )
    return Recipe(group="list", name=PurePath(file).name, steps=steps, transitions=transitions) if steps else None


class _Lists(YamlReading):
    def __init__(self, mistakes: list[Mistake], notes: Sequence[str]) -> None:
        super().__init__(mistakes)
        self.notes = notes

    def steps(self, lists: Sequence[Item]) -> Iterator[Step]:
        numbers = itertools.count(1)
        for document in lists:
            for entry in self.items(document, "a file without recipes"):
                if not entry.is_mapping:
                    self.wrong("an item is a mapping of its kind to its keys", entry)
                    continue
                for kind, keys in entry.pairs():
                    yield self.step(f"{next(numbers):02d}-{kind}", kind, keys)

    def step(self, name: str, kind: str, keys: Item) -> Step:
        if not keys.is_mapping:
            self.wrong(f"the item {kind!r} is a mapping of its keys", keys)
            return Step(id=name, target=kind)
        given = dict(keys.pairs())
        called = next((str(given[key].value) for key in _NAMES if key in given), kind)
        notes = tuple((note, listed(given[note])) for note in self.notes if note in given)
        return Step(id=name, target=called.rpartition("/")[2] or called, notes=notes, place=keys.place)
