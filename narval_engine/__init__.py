"""The engine of recipes: steps and transitions over a memory of elements.

An action is a Python function that takes elements and makes elements. A recipe says which actions run, in which order
and under which conditions. A plan is a recipe in execution::

    from narval_engine import Element, Engine, Recipe, Registry, Step, Transition, action, input, output

    registry = Registry()

    @registry.add
    @action("demo.greet")
    @input("person", type="person")
    @output("greeting", type="greeting")
    def greet(inputs):
        return {"greeting": Element("greeting", text=f"Hello, {inputs['person'].name}!")}

    @registry.add
    @action("demo.shout")
    @input("greeting", type="greeting", outdates=True)
    @output("shouted", type="shouted")
    def shout(inputs):
        return {"shouted": Element("shouted", text=inputs["greeting"].text.upper())}

    recipe = Recipe(
        group="demo",
        name="welcome",
        steps=(Step(id="greet", target="demo.greet"), Step(id="shout", target="demo.shout")),
        transitions=(Transition(id="then", inputs=("greet",), outputs=("shout",)),),
    )
    with Engine(registry) as engine:
        engine.add_recipe(recipe)
        plan = engine.start_plan("demo.welcome", [Element("person", name="Ada")])
        engine.run()
    assert plan.state == "done"
    assert [element.text for element in plan.elements if element.type == "shouted"] == ["HELLO, ADA!"]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narval_engine.actions import Action, Registry, action
    from narval_engine.clocks import ManualClock
    from narval_engine.current import RunningStep, running
    from narval_engine.elements import Element, ErrorElement, StartPlan
    from narval_engine.engine import Engine
    from narval_engine.events import Event
    from narval_engine.interfaces import Interface, adapter
    from narval_engine.outcomes import StepKilledError
    from narval_engine.places import Mistake, Place, RecipeError
    from narval_engine.plans import Plan, PlanStep, PlanTransition
    from narval_engine.prototypes import Input, Output, Prototype, input, output
    from narval_engine.recipes import Computed, Condition, Recipe, Step, Time, Transition

_HOMES = {
    "actions": ("Action", "Registry", "action"),
    "clocks": ("ManualClock",),
    "elements": ("Element", "ErrorElement", "StartPlan"),
    "engine": ("Engine",),
    "events": ("Event",),
    "interfaces": ("Interface", "adapter"),
    "outcomes": ("StepKilledError",),
    "places": ("Mistake", "Place", "RecipeError"),
    "plans": ("Plan", "PlanStep", "PlanTransition"),
    "prototypes": ("Input", "Output", "Prototype", "input", "output"),
    "recipes": ("Computed", "Condition", "Recipe", "Step", "Time", "Transition"),
    "current": ("RunningStep", "running"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "Computed",
    "Condition",
    "Element",
    "Engine",
    "ErrorElement",
    "Event",
    "Input",
    "Interface",
    "ManualClock",
    "Mistake",
    "Output",
    "Place",
    "Plan",
    "PlanStep",
    "PlanTransition",
    "Prototype",
    "Recipe",
    "RecipeError",
    "Registry",
    "RunningStep",
    "StartPlan",
    "Step",
    "StepKilledError",
    "Time",
    "Transition",
    "action",
    "adapter",
    "input",
    "output",
    "running",
]


def __getattr__(name: str) -> Any:
    """Imports a name of the public face when it is first used, so that importing the package costs next to nothing."""
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
