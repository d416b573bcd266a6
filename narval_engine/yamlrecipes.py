"""Recipes in YAML: the mapping form, with everything that the manual's XML has.

::

    recipe:
      group: mail
      name: answer
      restart: false                  # also: decay, start_step, end_step
      steps:
        read: {target: Email.catch_new}
        answer:
          target: Email.answer        # type: recipe for one whose target is a recipe
          foreach: mail
          arguments: [{text: {body: Hello}}]
          inputs: {mail: {match: elmt.sender == "M. Dupont", use: true}}
      transitions:
        - {in: read, out: answer, when: elmt.type == "mail"}

A file holds one ``recipe``, or a list ``recipes``. Steps and transitions are mappings by id, or lists with ``id``;
transitions of a list that have no id are numbered. ``in`` takes a name, a list, or ``{error: name}``; ``when`` takes an
expression, a condition (``match``, ``use``, ``from_context``, ``to_context``) or a list of them; ``time`` a mapping of
the fields of the manual's table 9, or a list of such. The names of the XML (``input``, ``condition``, ``idref``,
``on_error``) do as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from narval_engine.calendars import FIELDS
from narval_engine.elements import Element, element_from
from narval_engine.places import Mistake, PlacedText
from narval_engine.prototypes import Input, Output
from narval_engine.recipes import Computed, Condition, Recipe, Step, Time, Transition
from narval_engine.yamltree import Item, YamlReading, listed, parsed

_OF_INPUT = ("match", "use", "list", "optional", "outdates", "from_context", "to_context")
_OF_OUTPUT = ("match", "list", "optional", "outdates")
_OF_STEP = (
    *("target", "type", "foreach", "arguments", "inputs", "outputs"),
    *("deadline", "attempts", "backoff", "memory", "cpu"),
)


def recipes_of(text: str | bytes, file: str, mistakes: list[Mistake], notes: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of a YAML text; what is wrong with it is added to ``mistakes``.

    ``notes`` are keys of steps that are somebody else's.
    """
    root = parsed(text, file, mistakes)
    return [] if root is None else recipes_in(root, mistakes, notes)


def recipes_in(root: Item, mistakes: list[Mistake], notes: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of a mapping that has been read, for files in which a recipe is only a part."""
    reader = _Recipes(mistakes, notes)
    keys = reader.mapping(root, ("recipe", "recipes"), "a recipe file")
    found = [keys["recipe"]] if "recipe" in keys else []
    if "recipes" in keys:
        found += reader.items(keys["recipes"], "recipes")
    if not found and not mistakes:
        reader.wrong("there is no recipe; the keys recipe or recipes are wanted", root)
    return [reader.recipe(item) for item in found]


_AS_IN_XML = {
    "step": "steps",
    "input": "inputs",
    "output": "outputs",
    "transition": "transitions",
    "condition": "when",
}


class _Recipes(YamlReading):
    also = _AS_IN_XML

    def __init__(self, mistakes: list[Mistake], notes: Sequence[str] = ()) -> None:
        super().__init__(mistakes)
        self.notes = notes

    def recipe(self, item: Item) -> Recipe:
        allowed = ("group", "name", "restart", "decay", "start_step", "end_step", "steps", "transitions")
        keys = self.mapping(item, allowed, "a recipe", required=("group", "name", "steps"))
        return Recipe(
            group=self.text(keys, "group") or "",
            name=self.text(keys, "name") or "",
            steps=tuple(self.step(each, name) for name, each in self._named(keys.get("steps"), "steps")),
            transitions=tuple(
                self.transition(each, name, at)
                for at, (name, each) in enumerate(self._named(keys.get("transitions"), "transitions"), 1)
            ),
            start_step=self.text(keys, "start_step"),
            end_step=self.text(keys, "end_step"),
            restart=bool(self.flag(keys, "restart")),
            decay=self.number(keys, "decay"),
            place=item.place,
        )

    def _named(self, item: Item | None, what: str) -> Iterator[tuple[str | None, Item]]:
        if item is None:
            return
        if item.is_mapping:
            yield from ((name, each) for name, each in item.pairs())
        else:
            yield from ((None, each) for each in self.items(item, what))

    def step(self, item: Item, name: str | None) -> Step:
        allowed = (*(() if name is not None else ("id",)), *_OF_STEP, *self.notes)
        keys = self.mapping(item, allowed, "a step", required=("target",) if name is not None else ("id", "target"))
        attempts, memory = (self.number(keys, name, whole=True) for name in ("attempts", "memory"))
        backoff = self.number(keys, "backoff")
        return Step(
            id=name if name is not None else self.text(keys, "id") or "",
            target=self.text(keys, "target") or "",
            type=self.text(keys, "type") or "action",
            arguments=tuple(self._arguments(keys.get("arguments"))),
            inputs=tuple(self._inputs(keys.get("inputs"))),
            outputs=tuple(self._outputs(keys.get("outputs"))),
            foreach=self.text(keys, "foreach"),
            deadline=self.number(keys, "deadline"),
            attempts=1 if attempts is None else int(attempts),
            backoff=1.0 if backoff is None else backoff,
            memory=None if memory is None else int(memory),
            cpu=self.number(keys, "cpu"),
            notes=tuple((note, listed(keys[note])) for note in self.notes if note in keys),
            place=item.place,
        )

    def _arguments(self, item: Item | None) -> Iterator[Element | Computed]:
        for each in self.items(item, "arguments") if item is not None else ():
            given = self.given(each)
            if given is not None:
                yield given

    def given(self, item: Item) -> Element | Computed | None:
        """``{TYPE: {attribute: value, ...}}``, or ``{eval: expression}``."""
        pairs = list(item.pairs()) if item.is_mapping else []
        if len(pairs) != 1:
            self.wrong("an element is a mapping of its type to its attributes, as in {mail: {sender: me}}", item)
            return None
        kind, inside = pairs[0]
        if kind == "eval":
            return Computed(str(inside.value), inside.place)
        attributes = inside.value if inside.value is not None else {}
        if not isinstance(attributes, dict) or not all(isinstance(key, str) for key in attributes):
            self.wrong(f"the attributes of the element {kind!r} are a mapping of names to values", inside)
            return None
        try:
            return element_from(kind, attributes)
        except (TypeError, ValueError) as error:
            self.wrong(str(error), inside)
            return None

    def _inputs(self, item: Item | None) -> Iterator[Input]:
        for name, each in self._entries(item, "inputs"):
            own, keys = self._entry(name, each, _OF_INPUT, "an input")
            yield Input(
                own,
                self.matches(keys),
                list=self.flag(keys, "list"),
                optional=self.flag(keys, "optional"),
                use=self.flag(keys, "use"),
                outdates=self.flag(keys, "outdates"),
                from_context=self.text(keys, "from_context"),
                to_context=self.text(keys, "to_context"),
                place=each.place,
            )

    def _outputs(self, item: Item | None) -> Iterator[Output]:
        for name, each in self._entries(item, "outputs"):
            own, keys = self._entry(name, each, _OF_OUTPUT, "an output")
            yield Output(
                own,
                self.matches(keys),
                list=self.flag(keys, "list"),
                optional=self.flag(keys, "optional"),
                outdates=self.text(keys, "outdates"),
                place=each.place,
            )

    def _entries(self, item: Item | None, what: str) -> Iterator[tuple[str | None, Item]]:
        if item is None:
            return
        if not item.is_mapping and not item.is_list:
            self.wrong(f"{what} are a mapping of ids, or a list of what has an id", item)
            return
        yield from self._named(item, what)

    def _entry(self, name: str | None, item: Item, allowed: tuple[str, ...], what: str) -> tuple[str, dict[str, Item]]:
        if name is not None:
            return name, self.mapping(item, allowed, what)
        keys = self.mapping(item, ("id", *allowed), what, required=("id",))
        return self.text(keys, "id") or "", keys

    def matches(self, keys: dict[str, Item]) -> tuple[str, ...]:
        if "match" not in keys:
            return ()
        item = keys["match"]
        listed = self.items(item, "match") if item.is_list else [item]
        return tuple(PlacedText(str(each.value).strip(), each.place) for each in listed)

    def transition(self, item: Item, name: str | None, at: int) -> Transition:
        allowed = ("in", "out", "when", "time", "priority", *(() if name is not None else ("id",)))
        keys = self.mapping(item, allowed, "a transition", required=("in", "out"))
        links = [self._link(each) for each in self._one_or_more(keys.get("in"))]
        priority = self.number(keys, "priority", whole=True)
        return Transition(
            id=name if name is not None else self.text(keys, "id") or f"transition {at}",
            inputs=tuple(step for step, flagged in links if not flagged),
            on_error=tuple(step for step, flagged in links if flagged),
            outputs=tuple(self._out(each) for each in self._one_or_more(keys.get("out"))),
            conditions=tuple(self._condition(each) for each in self._one_or_more(keys.get("when"))),
            times=tuple(self._time(each) for each in self._one_or_more(keys.get("time"))),
            priority=0 if priority is None else int(priority),
            place=item.place,
        )

    def _one_or_more(self, item: Item | None) -> list[Item]:
        if item is None:
            return []
        return list(item.children()) if item.is_list else [item]

    def _link(self, item: Item) -> tuple[str, bool]:
        if not item.is_mapping:
            return PlacedText(str(item.value), item.place), False
        keys = self.mapping(item, ("error", "idref", "on_error"), "a link")
        if ("error" in keys) == ("idref" in keys):
            self.wrong("a link has the step that it leads from, as error or as idref", item)
        if "error" in keys:
            return self.text(keys, "error") or "", True
        return self.text(keys, "idref") or "", bool(self.flag(keys, "on_error"))

    def _out(self, item: Item) -> str:
        if not item.is_mapping:
            return PlacedText(str(item.value), item.place)
        return self.text(self.mapping(item, ("idref",), "a link", required=("idref",)), "idref") or ""

    def _condition(self, item: Item) -> Condition:
        if not item.is_mapping:
            return Condition((str(item.value).strip(),), place=item.place)
        keys = self.mapping(item, ("match", "use", "from_context", "to_context"), "a condition")
        return Condition(
            self.matches(keys),
            use=bool(self.flag(keys, "use")),
            from_context=self.text(keys, "from_context"),
            to_context=self.text(keys, "to_context"),
            place=item.place,
        )

    def _time(self, item: Item) -> Time:
        keys = self.mapping(item, FIELDS, "a time")
        said: dict[str, Any] = {name: str(each.value) for name, each in keys.items()}
        return Time(**said, place=item.place)
