"""What is drawn: a recipe, or a plan with the states of its steps and transitions; and both as text for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field

from narval_engine import layout
from narval_engine.elements import attributes_of
from narval_engine.plans import Plan
from narval_engine.recipes import Recipe, Step, Transition

_MARKS = {
    "done": "+",
    "history": "+",
    "running": ">",
    "ready": ">",
    "error": "!",
    "failed": "!",
    "killed": "!",
    "impossible": "-",
    "todo": " ",
}


@dataclass(frozen=True)
class Drawing:
    """A recipe, with the states of its steps and transitions by id where it is that of a plan."""

    recipe: Recipe
    title: str
    steps: dict[str, str] = field(default_factory=dict)
    transitions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Drawing:
        """A recipe by itself."""
        return cls(recipe, recipe.full_name)

    @classmethod
    def of_plan(cls, plan: Plan) -> Drawing:
        """A plan as it is now."""
        waits = ", waits" if plan.waiting else ""
        return cls(
            plan.recipe,
            f"plan {plan.eid} {plan.name}{_given(plan)}: {plan.state}{waits}",
            {name: step.state for name, step in plan.steps.items()},
            {name: transition.state for name, transition in plan.transitions.items()},
        )


def _given(plan: Plan) -> str:
    """What tells plans of one recipe apart: the first element with a name that the plan was given."""
    for element in plan.elements:
        name = attributes_of(element).get("name")
        if isinstance(name, str) and element.made_by_plan != plan.eid:
            return f" of {element.type} {name}"
    return ""


def as_text(drawing: Drawing) -> str:
    """One line a step in the order in which they can run, with what leads from it below."""
    lines = [drawing.title]
    steps = {step.id: step for step in drawing.recipe.steps}
    for row in layout.of(drawing.recipe).rows:
        for node in sorted((node for node in row if node.step), key=lambda node: list(steps).index(node.step)):
            lines.append(_line(drawing, steps[node.step]))
            lines += [
                f"        {_arrow(transition, node.step)}{_bracketed(said(drawing, transition))}"
                for transition in drawing.recipe.transitions
                if node.step in dict(transition.links())
            ]
    return "\n".join(lines)


def _line(drawing: Drawing, step: Step) -> str:
    state = drawing.steps.get(step.id, "")
    told = [
        f"{step.id} ({step.target})",
        *(f"{name}: {value}" for name, value in step.notes),
        *([state] if state else []),
    ]
    return f"  [{_MARKS.get(state or 'todo', '?')}] {'  '.join(told)}"


def _arrow(transition: Transition, step: str) -> str:
    with_others = [before for before, _flagged in transition.links() if before != step]
    joined = f" with {', '.join(with_others)}" if with_others else ""
    error = "on error " if step in transition.on_error else ""
    return f"-> {', '.join(transition.outputs)}  {error}{transition.id}{joined}"


def _bracketed(text: str) -> str:
    return f"  ({text})" if text else ""


def said(drawing: Drawing, transition: Transition, *, states: bool = True) -> str:
    """What a transition waits for, its priority and, with ``states``, its state."""
    found = [f"if {' and '.join(condition.expressions)}" for condition in transition.conditions]
    found += ["at a time"] if transition.times else []
    found += [f"priority {transition.priority}"] if transition.priority else []
    state = drawing.transitions.get(transition.id)
    found += [state] if state and states else []
    return "; ".join(found)
