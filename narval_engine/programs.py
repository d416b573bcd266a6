"""Programs: recipes made ready to run, with numbers for names and expressions compiled; plans of a recipe share one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from narval_engine import calendars
from narval_engine.actions import Action
from narval_engine.expressions import Expression, ExpressionError, Facts, compiled
from narval_engine.index import Question
from narval_engine.places import Mistake, RecipeError
from narval_engine.prototypes import CONTEXTS, Input, Output, Prototype
from narval_engine.recipes import Computed, Condition, Given, Recipe, Step, Transition

#: Ranks of manual table 2 and 3, numbered as there; callers follow each other between CALLERS and MEMORY.
ARGUMENT, VALIDATED, PRODUCED, PLAN, CALLERS, MEMORY = 1, 2, 3, 4, 5, 1_000_000
_FROM = dict(zip(CONTEXTS, (ARGUMENT, PLAN, CALLERS, MEMORY), strict=True))
_TO = dict(zip(CONTEXTS, (PRODUCED, PLAN, MEMORY - 1, MEMORY), strict=True))


class Pattern:
    """What an input or a condition asks of an element, and where it looks: ranks ``first`` to ``last``."""

    __slots__ = ("expressions", "first", "key", "last", "named", "question", "use")

    def __init__(
        self,
        match: Sequence[str],
        key: tuple[str, str],
        entry: Input | Condition,
        parameters: Sequence[str] = (),
        own: str | None = None,
    ) -> None:
        everything = [compiled(source, parameters, own) for source in match]
        facts = Facts(
            tuple(kind for each in everything for kind in each.facts.types),
            tuple(name for each in everything for name in each.facts.classes),
            tuple(pair for each in everything for pair in each.facts.attributes),
        )
        self.question = Question(facts)
        #: Expressions that look at other inputs come last: they are only asked once those are assigned.
        self.expressions: tuple[Expression, ...] = tuple(each for each in everything if not each.names)
        self.named: tuple[Expression, ...] = tuple(each for each in everything if each.names)
        self.first = _FROM[entry.from_context or CONTEXTS[0]]
        self.last = _TO[entry.to_context or CONTEXTS[-1]]
        self.use = bool(entry.use)
        #: The mark that using an element leaves on it: the recipe, and the step or transition.
        self.key = key

    def fits(self, element: Any) -> bool:
        """Whether the element may be taken, as far as that does not depend on other inputs."""
        if element.outdated or not self.question.admits((element.__class__, element.type)):
            return False
        if self.use and element.used_by is not None and self.key in element.used_by:
            return False
        for expression in self.expressions:  # noqa: SIM110 -- the hot path; a generator costs as much as the match
            if not expression.matches(element):
                return False
        return True

    def agrees(self, element: Any, inputs: dict[str, Any]) -> bool:
        """Whether the element goes together with what the inputs before were given."""
        return all(expression.matches(element, inputs) for expression in self.named)


class InputProgram:
    """An input of a step, after the step narrowed it."""

    __slots__ = ("id", "is_list", "optional", "outdates", "pattern")

    def __init__(self, entry: Input, key: tuple[str, str], before: Sequence[str]) -> None:
        self.id = entry.id
        self.is_list = bool(entry.list)
        self.optional = bool(entry.optional)
        self.outdates = bool(entry.outdates)
        self.pattern = Pattern(entry.match, key, entry, before, entry.id)


class OutputProgram:
    """An output of a step, after the step narrowed it."""

    __slots__ = ("expressions", "id", "is_list", "optional")

    def __init__(self, entry: Output, inputs: Sequence[str]) -> None:
        self.id = entry.id
        self.is_list = bool(entry.list)
        self.optional = bool(entry.optional)
        self.expressions = tuple(compiled(source, inputs, entry.id) for source in entry.match)


class StepProgram:
    """A step: transitions into it (``incoming``) and out of it (``outgoing``) are numbers, as it is one itself."""

    __slots__ = (
        *("action", "arguments", "foreach", "id", "incoming", "inputs", "is_recipe", "number", "outgoing", "outputs"),
        *("problem", "quick", "simple", "source", "ways_out"),
    )

    def __init__(self, number: int, source: Step, action: Action | None, recipe: str) -> None:
        self.number = number
        self.id = source.id
        self.source = source
        self.action = action
        self.is_recipe = source.type == "recipe"
        self.incoming: tuple[int, ...] = ()
        self.outgoing: tuple[int, ...] = ()
        #: The transitions out of it, each with whether its link is flagged as error handling.
        self.ways_out: tuple[tuple[int, bool], ...] = ()
        prototype = self._prototype(action, source)
        key = (recipe, source.id)
        names = [entry.id for entry in prototype.inputs]
        self.inputs = tuple(
            InputProgram(entry, key, [name for name in names[:at] if name.isidentifier()])
            for at, entry in enumerate(prototype.inputs)
        )
        identifiers = [name for name in names if name.isidentifier()]
        self.outputs = {
            entry.id: OutputProgram(entry, [name for name in identifiers if name != entry.id])
            for entry in prototype.outputs
        }
        self.arguments: tuple[Given, ...] = source.arguments
        self.foreach = names.index(source.foreach) if source.foreach in names else None
        #: What validity would have said of this step: its error if it is run all the same.
        self.problem = self._problem(source, action)
        #: Nothing to assign, nothing to check: the quick way.
        self.quick = self.is_recipe or action is None or action.options.inline
        self.simple = not (self.inputs or source.foreach or self.problem or self.is_recipe)

    @staticmethod
    def _prototype(action: Action | None, source: Step) -> Prototype:
        if action is None:
            return Prototype()
        return action.prototype.narrowed(source.inputs, source.outputs, source.context).settled()

    def _problem(self, source: Step, action: Action | None) -> tuple[str, str] | None:
        if action is None and not self.is_recipe:
            return "unknown action", f"there is no action {source.target!r}"
        if source.foreach is not None:
            if self.foreach is None:
                return "bad foreach", f"{source.target} has no input {source.foreach!r} to repeat it for"
            if self.inputs[self.foreach].is_list:
                return (
                    "bad foreach",
                    f"input {source.foreach!r} of {source.target} takes a list, so it cannot be repeated for",
                )
        return None


class TransitionProgram:
    """A transition: ``links`` are numbers of in-steps with their error flag, ``outs`` numbers of out-steps."""

    __slots__ = ("competes", "conditions", "error_handling", "id", "links", "number", "outs", "priority", "times")

    def __init__(self, number: int, source: Transition, numbers: dict[str, int], recipe: str) -> None:
        self.number = number
        self.id = source.id
        self.priority = source.priority
        self.links = tuple((numbers[step], flagged) for step, flagged in source.links())
        self.outs = tuple(numbers[step] for step in dict.fromkeys(source.outputs))
        self.error_handling = any(flagged for _step, flagged in self.links)
        # A step may have the same id.
        key = (recipe, f"{source.id} (transition)")
        self.conditions = tuple(Pattern(each.expressions, key, each) for each in source.conditions)
        self.times = tuple(calendars.Schedule.of(each) for each in source.times)
        #: Another transition leaves one of its in-steps.
        self.competes = False


class Program:
    """A recipe ready to run. Raises ValueError where the recipe is not even structurally sound (see validity)."""

    __slots__ = (
        *("computed", "end", "finalizers", "name", "observed", "recipe", "start", "step_numbers", "steps"),
        *("transition_numbers", "transitions"),
    )

    def __init__(self, recipe: Recipe, action_of: Callable[[str], Action | None]) -> None:
        self.recipe = recipe
        self.name = recipe.full_name
        self.steps = [
            StepProgram(number, step, None if step.type == "recipe" else action_of(step.target), self.name)
            for number, step in enumerate(recipe.steps)
        ]
        self.step_numbers = numbers = {step.id: step.number for step in self.steps}
        self.transitions = [
            TransitionProgram(number, transition, numbers, self.name)
            for number, transition in enumerate(recipe.transitions)
        ]
        self.transition_numbers = {transition.id: transition.number for transition in self.transitions}
        self._link()
        self.start = numbers[recipe.first() or ""]
        self.end = numbers[recipe.last() or ""]
        self.finalizers = tuple(
            (step.number, step.action.options.finalizer)
            for step in self.steps
            if step.action is not None and step.action.options.finalizer is not None
        )
        self.computed = any(isinstance(each, Computed) for step in self.steps for each in step.arguments)

    def _link(self) -> None:
        incoming: list[list[int]] = [[] for _step in self.steps]
        outgoing: list[list[tuple[int, bool]]] = [[] for _step in self.steps]
        for transition in self.transitions:
            for number, flagged in transition.links:
                outgoing[number].append((transition.number, flagged))
            for number in transition.outs:
                incoming[number].append(transition.number)
        for step in self.steps:
            step.incoming, step.ways_out = tuple(incoming[step.number]), tuple(outgoing[step.number])
            step.outgoing = tuple(transition for transition, _flagged in step.ways_out)
            if len(step.outgoing) > 1:
                for number in step.outgoing:
                    self.transitions[number].competes = True


def program_of(recipe: Recipe, action_of: Callable[[str], Action | None]) -> Program:
    """The program of a recipe. Raises RecipeError where it has no start or no end, for then it cannot be one."""
    ids = {step.id for step in recipe.steps}
    ends = [("initial", recipe.first()), ("final", recipe.last())]
    mistakes = [Mistake(f"{recipe.full_name}: {what} step is missing") for what, step in ends if step not in ids]
    if mistakes:
        raise RecipeError(mistakes)
    return Program(recipe, action_of)


def argument_value(given: Computed) -> Any:
    """What a computed argument is; raises ExpressionError for bad text, and whatever the expression raises."""
    if "elmt" in given.source and "elmt" in _names(given.source):
        raise ExpressionError("there is no elmt to look at in an argument")
    return compiled(given.source).value(None, {})


def _names(source: str) -> set[str]:
    import ast

    try:
        return {node.id for node in ast.walk(ast.parse(source, mode="eval")) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
