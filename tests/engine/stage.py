"""What the cases are played on: the actions of their notation, short ways to write recipes, and what was called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from narval_engine import (
    Condition,
    Element,
    Engine,
    ErrorElement,
    Input,
    ManualClock,
    Output,
    Plan,
    Recipe,
    Registry,
    Step,
    Time,
    Transition,
    recipewriting,
)
from narval_engine.places import Mistake
from narval_engine.xmlrecipes import recipes_of


def x(value: Any) -> Element:
    """``x:value``"""
    return Element("x", v=value)


def y(value: Any) -> Element:
    """``y:value``"""
    return Element("y", v=value)


def z(value: Any) -> Element:
    """``z:value``"""
    return Element("z", v=value)


def takes(name: str, kind: str, *more: str, **said: Any) -> Input:
    return Input(name, (f"elmt.type == {kind!r}", *more), **said)


def makes(name: str, kind: str, **said: Any) -> Output:
    return Output(name, (f"elmt.type == {kind!r}",), **said)


class Cases(dict[str, Callable[["Stage"], None]]):
    """Cases by their id: ``@case("A01")``."""

    def __call__(self, name: str) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
        def keep(function: Callable[[Stage], None]) -> Callable[[Stage], None]:
            assert name not in self, name
            self[name] = function
            return function

        return keep


def shown(value: Any) -> Any:
    """An element as ``type:v``, an error as its kind, a list as list."""
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    if isinstance(value, ErrorElement):
        return f"Error<{value.type}>"
    return None if value is None else f"{value.type}:{value.v}"


class Stage:
    """An engine with the actions of the cases; ``calls`` are (action, inputs as text) in the order of the calls."""

    def __init__(
        self,
        *,
        strict: bool = False,
        inline: bool = True,
        through_xml: bool = False,
        now: Any = 0.0,
        **options: Any,
    ) -> None:
        self.through_xml = through_xml
        self.clock = ManualClock(now)
        self.registry = Registry()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.inline = inline
        self.engine = Engine(self.registry, clock=self.clock, strict=strict, **options)
        self._takers()
        self._makers()
        self._breakers()

    def add(
        self,
        name: str,
        inputs: Sequence[Input] = (),
        outputs: Sequence[Output] = (),
        result: Callable[[dict[str, Any]], Any] = lambda _inputs: None,
        **options: Any,
    ) -> None:
        def function(given: dict[str, Any]) -> Any:
            self.calls.append((name, {key: shown(value) for key, value in given.items()}))
            return result(given)

        self.registry.register(f"a.{name}", function, inputs, outputs, **{"inline": self.inline, **options})

    def _takers(self) -> None:
        self.add("noop")
        self.add("x", [takes("i", "x")])
        self.add("x_use", [takes("i", "x", use=True)])
        self.add("x_list", [takes("i", "x", list=True)])
        self.add("x_list_opt", [takes("i", "x", list=True, optional=True)])
        self.add("x_list_use", [takes("i", "x", list=True, use=True)])
        self.add("x_opt", [takes("i", "x", optional=True)])
        self.add("xx", [takes("a", "x"), takes("b", "x")])
        self.add("xx_use", [takes("a", "x", use=True), takes("b", "x", use=True)])
        self.add("xz_use", [takes("a", "x", use=True), takes("b", "z")])
        self.add("ab", [takes("a", "x"), takes("b", "y", "b.v == a.v + 1")])
        self.add("ylist", [takes("i", "y", list=True)])
        self.add("handler", [Input("e", ("isinstance(elmt, ErrorElement)",))])
        self.add("no_match", [Input("i")])

    def _makers(self) -> None:
        self.add("mkx", [], [makes("o", "x")], lambda _inputs: {"o": x("prev")})
        self.add("mkx2", [], [makes("o", "x", list=True)], lambda _inputs: {"o": [x("p1"), x("p2")]})
        self.add("mky", [], [makes("o", "y")], lambda _inputs: {"o": y(1)})
        self.add("x2x", [takes("i", "x")], [makes("o", "x")], lambda given: {"o": x(given["i"].v + 1)})
        more: Callable[[dict[str, Any]], Any] = lambda given: {"o": x(given["i"].v + 1)}  # noqa: E731 -- as below
        self.add("x2x_out", [takes("i", "x", outdates=True)], [makes("o", "x")], more)
        self.add("x2x_outdates", [takes("i", "x")], [makes("o", "x", outdates="i")], more)
        self.add("x2y", [takes("i", "x")], [makes("o", "y")], lambda given: {"o": y(given["i"].v)})
        self.add("x2y_opt", [takes("i", "x", optional=True)], [makes("o", "y")], lambda given: {"o": y(given["i"].v)})
        self.add("x2y_use", [takes("i", "x", use=True)], [makes("o", "y")], lambda given: {"o": y(given["i"].v)})
        failing = lambda given: {"o": ErrorElement("two", "myerr") if given["i"].v == 2 else y(given["i"].v)}  # noqa: E731 -- one line in a table
        self.add("x2y_err2", [takes("i", "x")], [makes("o", "y")], failing)
        self.add("xz2y", [takes("i", "x"), takes("k", "z")], [makes("o", "y")], lambda given: {"o": y(given["i"].v)})
        start = Output("o", ("elmt.type == 'start-plan'",))
        self.add("mkstart", [], [start], lambda _inputs: {"o": Element("start-plan", recipe="c.C")})

    def _breakers(self) -> None:
        def boom(_given: Any) -> None:
            raise ValueError("boom")

        def out_of_memory(_given: Any) -> None:
            raise MemoryError("no more")

        self.add("err", [], [], lambda _inputs: {"error": ErrorElement("it failed", "myerr")})
        self.add("boom", [], [], boom)
        self.add("oom", [], [], out_of_memory)
        both = lambda _inputs: {"o": y(1), "error": ErrorElement("it failed", "myerr")}  # noqa: E731 -- one line in a table
        self.add("err_and_y", [], [makes("o", "y")], both)
        one = [makes("o", "y")]
        self.add("out_unknown", [], one, lambda _inputs: {"o": y(1), "other": y(2)})
        self.add("out_nomatch", [], one, lambda _inputs: {"o": x(1)})
        self.add("out_missing", [], one)
        self.add("out_opt", [], [makes("o", "y", optional=True)])
        self.add("out_list", [], [makes("o", "y", list=True)], lambda _inputs: {"o": [y(1), y(2)]})
        self.add("out_several", [], one, lambda _inputs: {"o": [y(1), y(2)]})
        self.add("out_errplain", [], one, lambda _inputs: {"o": y(1), "error": "no element"})
        self.add("out_list_value", [], one, lambda _inputs: [y(1)])

    # Recipes.

    def recipe(self, name: str, steps: str, *links: Any, unchecked: bool = False, **said: Any) -> Recipe:
        """Adds a recipe, see ``written``."""
        made = written(name, steps, *links, **said)
        if self.through_xml:
            mistakes: list[Mistake] = []
            (made,) = recipes_of(recipewriting.written(made), "recipe.xml", mistakes)
            assert mistakes == []
        self.engine.add_recipe(made, unchecked=unchecked)
        return made

    def memory(self, *elements: Element) -> None:
        self.engine.add_element(*elements)

    def start(self, name: str = "R", *elements: Any) -> Plan:
        return self.engine.start_plan(f"c.{name}", elements)

    def run(self, name: str = "R", *elements: Any) -> Plan:
        """Starts a plan and runs until nothing more can happen."""
        plan = self.start(name, *elements)
        self.engine.run()
        return plan

    def go(self) -> None:
        self.engine.run()

    @property
    def names(self) -> list[str]:
        """The actions that were called, in order, without noop."""
        return [name for name, _inputs in self.calls if name != "noop"]

    def inputs(self, action: str) -> list[dict[str, Any]]:
        return [given for name, given in self.calls if name == action]


def written(name: str, steps: str, *links: Any, changes: Any = None, **said: Any) -> Recipe:
    """A recipe "c.NAME". Steps as ``S=noop C=[sub]``; without a name the target is the id.

    A link is ``"S + !A -> B, C"`` (``!`` flags an error link), or a tuple of it and a dict of Transition fields; the
    first step listed is the start step, the last one the end step.
    """
    made = [_step(token, changes or {}) for token in steps.split()]
    transitions = [_transition(at, link) for at, link in enumerate(links)]
    if made and "start_step" not in said:
        said = {"start_step": made[0].id, "end_step": made[-1].id, **said}
    return Recipe(group="c", name=name, steps=tuple(made), transitions=tuple(transitions), **said)


def _step(token: str, changes: dict[str, dict[str, Any]]) -> Step:
    name, _equals, target = token.partition("=")
    target = target or name
    child = re.fullmatch(r"\[(\w+)\]", target)
    more = changes.get(name, {})
    if child:
        return Step(id=name, target=f"c.{child[1]}", type="recipe", **more)
    return Step(id=name, target=f"a.{target}", **more)


def _transition(at: int, link: Any) -> Transition:
    text, said = link if isinstance(link, tuple) else (link, {})
    before, _arrow, after = text.partition("->")
    ins = [part.strip() for part in before.split("+")]
    return Transition(
        id=said.pop("id", f"t{at}"),
        inputs=tuple(part for part in ins if not part.startswith("!")),
        on_error=tuple(part[1:] for part in ins if part.startswith("!")),
        outputs=tuple(part.strip() for part in after.split(",")),
        **said,
    )


def when(*kinds: str, **said: Any) -> dict[str, Any]:
    """Conditions, each on a type."""
    return {"conditions": tuple(Condition((f"elmt.type == {kind!r}",), **said) for kind in kinds)}


def matching(expression: str, **said: Any) -> dict[str, Any]:
    """One condition with this expression."""
    return {"conditions": (Condition((expression,), **said),)}


def at(**fields: Any) -> dict[str, Any]:
    """A time condition."""
    return {"times": (Time(**fields),)}


def of(name: str, **said: Any) -> dict[str, Any]:
    """What a step says of an input."""
    return {"inputs": (Input(name, **said),)}


def kinds(plan: Plan) -> list[str]:
    """The types of the errors of a plan."""
    return [error.type for error in plan.errors]


def states(plan: Plan) -> dict[str, str]:
    return {name: step.state for name, step in plan.steps.items()}


def values(elements: Iterable[Element], kind: str = "x") -> list[Any]:
    """The ``v`` of the elements of a type."""
    return [element.v for element in elements if element.type == kind]
