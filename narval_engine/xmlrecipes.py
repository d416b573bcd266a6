"""Recipes in the XML of the manual (II.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

from narval_engine.calendars import FIELDS
from narval_engine.elements import Element
from narval_engine.places import Mistake, PlacedText
from narval_engine.prototypes import CONTEXTS, Context, Input, Output
from narval_engine.recipes import Computed, Condition, Recipe, Step, Time, Transition
from narval_engine.xmlelements import element_of
from narval_engine.xmltree import Node, Reading, parsed

_CONTEXT = ("from_context", "to_context")
_INPUT = ("use", "list", "optional", "outdates", *_CONTEXT)


def recipes_of(text: str | bytes, file: str, mistakes: list[Mistake], notes: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of a file whose root is a cookbook or a recipe; what is wrong with it is added to ``mistakes``.

    ``notes`` are attributes of steps that are somebody else's.
    """
    root = parsed(text, file, mistakes)
    return [] if root is None else recipes_below(root, mistakes, notes)


def recipes_below(root: Node, mistakes: list[Mistake], notes: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of a cookbook or recipe node."""
    reader = _Recipes(mistakes, notes)
    if root.tag == "recipe":
        return [reader.recipe(root)]
    if root.tag != "cookbook":
        reader.wrong(f"<{root.tag}> is no recipe; <recipe> or <cookbook> is wanted", root.place)
        return []
    reader.attributes(root, (), ("name", "group", "version"))
    return [reader.recipe(node) for node in reader.children(root, "recipe")]


class _Recipes(Reading):
    def __init__(self, mistakes: list[Mistake], notes: Sequence[str] = ()) -> None:
        super().__init__(mistakes)
        self.notes = notes

    def recipe(self, node: Node) -> Recipe:
        given = self.attributes(node, ("group", "name"), ("restart", "decay", "start_step", "end_step", "eid"))
        children = self.children(node, "step", "transition")
        return Recipe(
            group=given.get("group", ""),
            name=given.get("name", ""),
            steps=tuple(self.step(child) for child in children if child.tag == "step"),
            transitions=tuple(self.transition(child) for child in children if child.tag == "transition"),
            start_step=given.get("start_step"),
            end_step=given.get("end_step"),
            restart=bool(self.yes_no(node, "restart")),
            decay=self.number(node, "decay"),
            place=node.place,
        )

    def step(self, node: Node) -> Step:
        ours = ("deadline", "attempts", "backoff", "memory", "cpu")
        given = self.attributes(node, ("id", "type", "target"), ("foreach", *ours, *self.notes))
        children = self.children(node, "arguments", "input", "output", "context")
        memory = self.number(node, "memory", whole=True)
        backoff, attempts = self.number(node, "backoff"), self.number(node, "attempts", whole=True)
        return Step(
            id=given.get("id", ""),
            target=given.get("target", ""),
            type=given.get("type", "action"),
            arguments=tuple(each for child in children if child.tag == "arguments" for each in self.arguments(child)),
            inputs=tuple(self.input(child) for child in children if child.tag == "input"),
            outputs=tuple(self.output(child) for child in children if child.tag == "output"),
            foreach=given.get("foreach"),
            context=self._context(node),
            deadline=self.number(node, "deadline"),
            attempts=1 if attempts is None else int(attempts),
            backoff=1.0 if backoff is None else backoff,
            memory=None if memory is None else int(memory),
            cpu=self.number(node, "cpu"),
            notes=tuple((name, given[name]) for name in self.notes if name in given),
            place=node.place,
        )

    def arguments(self, node: Node) -> list[Element | Computed]:
        self.attributes(node, ())
        self.children(node, *(child.tag for child in node.children))
        return [given for child in node.children if (given := self.given(child)) is not None]

    def given(self, node: Node) -> Element | Computed | None:
        """An argument: an element, or ``<eval>`` with an expression whose value is one."""
        if node.tag == "eval":
            self.attributes(node, ())
            return Computed(node.text.strip(), node.place)
        element = element_of(node, self.mistakes)
        if element is not None:
            # Each plan gets a copy, and each copy a number of its own.
            element.eid = None
        return element

    def input(self, node: Node) -> Input:
        given = self.attributes(node, ("id",), _INPUT)
        first, last = self._area(node)
        return Input(
            given.get("id", ""),
            self.matches(node),
            list=self.yes_no(node, "list"),
            optional=self.yes_no(node, "optional"),
            use=self.yes_no(node, "use"),
            outdates=self.yes_no(node, "outdates"),
            from_context=first,
            to_context=last,
            place=node.place,
        )

    def output(self, node: Node) -> Output:
        given = self.attributes(node, ("id",), ("list", "optional", "outdates"))
        return Output(
            given.get("id", ""),
            self.matches(node),
            list=self.yes_no(node, "list"),
            optional=self.yes_no(node, "optional"),
            outdates=given.get("outdates"),
            place=node.place,
        )

    def matches(self, node: Node) -> tuple[str, ...]:
        found = []
        for child in self.children(node, "match"):
            self.attributes(child, ())
            for inner in child.children:
                self.wrong(f"unexpected <{inner.tag}> in <match>; a Python expression is wanted", inner.place)
            found.append(PlacedText(child.text.strip(), child.place))
        return tuple(found)

    def _area(self, node: Node) -> Context:
        """Where it looks, from and to; ``None`` where it does not say."""
        for name in _CONTEXT:
            if node.attributes.get(name) == "":
                self.wrong(f"{name}='' of <{node.tag}>; it is one of {', '.join(CONTEXTS)}", node.place)
        return node.attributes.get("from_context"), node.attributes.get("to_context")

    def _context(self, node: Node) -> Context:
        """The ``context`` child of a step or a transition: where its inputs or conditions look unless they say so."""
        contexts = [child for child in node.children if child.tag == "context"]
        for child in contexts:
            self.attributes(child, (), _CONTEXT)
            self.children(child)
        if len(contexts) > 1:
            self.wrong(f"<{node.tag}> has one <context> at most", contexts[1].place)
        return self._area(contexts[0]) if contexts else (None, None)

    def transition(self, node: Node) -> Transition:
        given = self.attributes(node, ("id",), ("priority",))
        children = self.children(node, "in", "out", "condition", "time", "context")
        context = self._context(node)
        links = [self._link(child) for child in children if child.tag == "in"]
        outs = [child for child in children if child.tag == "out"]
        for child in outs:
            self.attributes(child, ("idref",))
            self.children(child)
        priority = self.number(node, "priority", whole=True)
        return Transition(
            id=given.get("id", ""),
            inputs=tuple(step for step, flagged in links if not flagged),
            on_error=tuple(step for step, flagged in links if flagged),
            outputs=tuple(PlacedText(child.attributes.get("idref", ""), child.place) for child in outs),
            conditions=tuple(self.condition(child, context) for child in children if child.tag == "condition"),
            times=tuple(self.time(child) for child in children if child.tag == "time"),
            priority=0 if priority is None else int(priority),
            place=node.place,
        )

    def _link(self, node: Node) -> tuple[str, bool]:
        given = self.attributes(node, ("idref",), ("on_error",))
        self.children(node)
        return PlacedText(given.get("idref", ""), node.place), bool(self.yes_no(node, "on_error"))

    def condition(self, node: Node, context: Context) -> Condition:
        self.attributes(node, (), ("use", *_CONTEXT))
        first, last = self._area(node)
        return Condition(
            self.matches(node),
            use=bool(self.yes_no(node, "use")),
            from_context=context[0] if first is None else first,
            to_context=context[1] if last is None else last,
            place=node.place,
        )

    def time(self, node: Node) -> Time:
        given = self.attributes(node, (), FIELDS)
        self.children(node)
        return Time(**{name: given.get(name, "*") for name in FIELDS}, place=node.place)


def prototype_of(node: Node, mistakes: list[Mistake]) -> tuple[tuple[Input, ...], tuple[Output, ...]]:
    """The inputs and outputs that stand below an action or a prototype node."""
    reader = _Recipes(mistakes)
    return (
        tuple(reader.input(child) for child in node.children if child.tag == "input"),
        tuple(reader.output(child) for child in node.children if child.tag == "output"),
    )


def given_of(node: Node, mistakes: list[Mistake]) -> Element | Computed | None:
    """What stands below ``arguments`` or ``start-plan``: an element or a computed argument."""
    return _Recipes(mistakes).given(node)
