"""The actions of recipes, as the engine knows them: names, prototypes, and who runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kommandir.recipes.schema import ALL, FAIL, OPERATIONS, Operation
from narval_engine import Input, Output, Registry

#: Runs an operation on the elements of a call, and says what came of it: elements by the output that they are.
Perform = Callable[[Operation, dict[str, Any]], Mapping[str, Any]]

PEON = "peon"
ERROR = "error"


def registered(perform: Perform | None) -> Registry:
    """A registry of all actions; without ``perform`` it only serves to check recipes."""
    registry = Registry()
    for operation in OPERATIONS.values():
        registry.register(
            operation.name,
            _called(operation, perform),
            inputs=_inputs(operation),
            outputs=tuple(
                Output(kind, (f"elmt.type == '{kind}'",), list=True, optional=True) for kind in operation.makes
            ),
            inline=operation.inline,
        )
    return registry


def _called(operation: Operation, perform: Perform | None) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    def act(inputs: dict[str, Any]) -> Mapping[str, Any]:
        if perform is None:
            raise AssertionError(f"{operation.name} was registered to be checked, not to be run")
        return perform(operation, inputs)

    return act


def _inputs(operation: Operation) -> tuple[Input, ...]:
    found = []
    if operation.peons:
        found.append(
            Input(PEON, ("elmt.type == 'peon'",), list=operation.peons == ALL, optional=operation.peons == ALL)
        )
    if operation.kind is not None:
        # What is optional is only taken from the step itself: no other step's element is meant for it.
        near = "step" if operation.optional else None
        found.append(
            Input(
                operation.kind.name,
                (f"elmt.type == '{operation.kind.name}'",),
                optional=operation.optional,
                to_context=near,
            )
        )
    if operation.name == FAIL:
        found.append(Input(ERROR, ("isinstance(elmt, ErrorElement)",), optional=True, to_context="plan"))
    return tuple(found)
