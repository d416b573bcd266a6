"""Actions: Python functions with a prototype, known by "group.name" (manual I.5.1, II.1.3)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, TypeVar, overload

from narval_engine.places import Place
from narval_engine.prototypes import DECLARED_INPUTS, DECLARED_OUTPUTS, Input, Output, Prototype

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DECLARED = "_narval_action"
#: What an action may be called with and may return.
Inputs = dict[str, Any]
Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class Options:
    """How an action is run.

    ``inline``: in the thread that called ``Engine.run``, else in a worker. ``idempotent``: it may be run again when a
    process died under it. ``isolated``: in a process of its own, which limits and deadlines can end. ``finalizer`` is
    called with the plan when a plan that has a step of this action is over, ``nonexecuted`` with the step when it has
    become impossible.
    """

    inline: bool = False
    idempotent: bool = False
    isolated: bool = False
    finalizer: Callable[[Any], None] | None = None
    nonexecuted: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Action:
    """An action that is ready to be run: ``function(inputs)`` returns outputs, or is a coroutine function of that."""

    name: str
    function: Callable[[Inputs], Any]
    prototype: Prototype = field(default_factory=Prototype)
    options: Options = field(default_factory=Options)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    place: Place | None = None

    @cached_property
    def is_coroutine(self) -> bool:
        """Whether calling it makes something to await."""
        return inspect.iscoroutinefunction(self.function)


@dataclass(frozen=True)
class _Declaration:
    name: str | None
    group: str | None
    options: Options
    descriptions: Mapping[str, str]


@overload
def action(name: _Function, /) -> _Function: ...
@overload
def action(
    given: str | None = None,
    /,
    group: str | None = None,
    *,
    inline: bool = False,
    idempotent: bool = False,
    isolated: bool = False,
    finalizer: Callable[[Any], None] | None = None,
    nonexecuted: Callable[[Any], None] | None = None,
    description: str | None = None,
    name: str | None = None,
    inputs: Sequence[Input] = (),
    outputs: Sequence[Output] = (),
) -> Callable[[_Function], _Function]: ...


def action(name: Any = None, /, group: str | None = None, **options: Any) -> Any:
    """Declares a function to be an action, for ``Registry.add`` and for modules of a home.

    The name is "group.name", or "name" in the group of the module's file, or left out: the function's own. Stand it
    above or below the ``input`` and ``output`` decorators, in any order, or give it them as ``inputs`` and ``outputs``.
    """
    if callable(name):
        return action()(name)
    description = options.pop("description", None)
    said = options.pop("name", name)
    entries = (*options.pop("inputs", ()), *options.pop("outputs", ()))
    declared = _Declaration(said, group, Options(**options), {"en": description} if description else {})

    def declare(function: _Function) -> _Function:
        setattr(function, _DECLARED, declared)
        for entry in reversed(entries):
            entry(function)
        return function

    return declare


def declared(function: Any) -> bool:
    """Whether the function bears the ``action`` decorator."""
    return isinstance(getattr(function, _DECLARED, None), _Declaration)


def _declared_action(function: Callable[..., Any], group: str | None, name: str | None = None) -> Action:
    said: _Declaration = getattr(function, _DECLARED, None) or _Declaration(None, None, Options(), {})
    full: str = name or said.name or function.__name__
    if "." not in full:
        full = f"{said.group or group or function.__module__.rpartition('.')[2]}.{full}"
    prototype = Prototype(getattr(function, DECLARED_INPUTS, ()), getattr(function, DECLARED_OUTPUTS, ()))
    code = getattr(function, "__code__", None)
    place = Place(code.co_filename, code.co_firstlineno) if code is not None else None
    described = said.descriptions or {"en": inspect.getdoc(function) or ""}
    return Action(full, function, prototype, said.options, described, place)


class Registry:
    """Actions by "group.name". Registering a name again replaces the action for recipes that are added from then on."""

    def __init__(self) -> None:
        self._actions: dict[str, Action] = {}

    def __iter__(self) -> Iterator[Action]:
        return iter(self._actions.values())

    def __contains__(self, name: str) -> bool:
        return name in self._actions

    def get(self, name: str) -> Action | None:
        """The action of this name, ``None`` if there is none."""
        return self._actions.get(name)

    def names(self) -> list[str]:
        """All names, in alphabetical order."""
        return sorted(self._actions)

    def add(self, action: Action | Callable[..., Any], name: str | None = None, group: str | None = None) -> Action:
        """Registers an action, or a function that bears the ``action``, ``input`` and ``output`` decorators."""
        made = action if isinstance(action, Action) else _declared_action(action, group, name)
        self._actions[made.name] = made
        return made

    def register(
        self,
        name: str,
        function: Callable[[Inputs], Any],
        inputs: Sequence[Input] = (),
        outputs: Sequence[Output] = (),
        **options: Any,
    ) -> Action:
        """Registers a function under "group.name" with this prototype; ``options`` are the fields of Options."""
        return self.add(Action(name, function, Prototype(tuple(inputs), tuple(outputs)), Options(**options)))

    def add_module(self, module: ModuleType, group: str | None = None) -> list[Action]:
        """Registers every function of a module that bears the ``action`` decorator, in the order of the file."""
        found = {id(thing): thing for thing in vars(module).values() if declared(thing)}.values()
        return [self.add(function, group=group or module.__name__.rpartition(".")[2]) for function in found]
