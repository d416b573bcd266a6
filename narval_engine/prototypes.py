"""Prototypes: what an action takes and makes (manual I.5.1), and how a step narrows that (I.5.1.6, table 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from narval_engine.places import Mistake, Place

_Function = TypeVar("_Function", bound=Callable[..., Any])
#: The areas that ``from_context`` and ``to_context`` name, nearest first (manual I.5.2).
CONTEXTS = ("step", "plan", "parent_plan", "memory")
#: From where and to where is looked; ``None``: not said.
Context = tuple[str | None, str | None]
#: Where decorators keep what they say about a function, until it is registered.
DECLARED_INPUTS = "_narval_inputs"
DECLARED_OUTPUTS = "_narval_outputs"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What inputs and outputs have in common. ``None`` means: not said here, so inherited or the default."""

    id: str
    match: tuple[str, ...] = ()
    list: bool | None = None
    optional: bool | None = None
    place: Place | None = field(default=None, compare=False)

    _declared = ""

    def __call__(self, function: _Function) -> _Function:
        """As a decorator: adds itself to the prototype of the function."""
        # Decorators apply from the bottom up, a prototype reads from the top down.
        setattr(function, self._declared, (self, *getattr(function, self._declared, ())))
        return function


@dataclass(frozen=True, slots=True)
class Input(_Entry):
    """An input: ``match`` expressions that all hold, and its properties (manual I.5.1.1 to I.5.1.5)."""

    use: bool | None = None
    outdates: bool | None = None
    from_context: str | None = None
    to_context: str | None = None

    _declared = DECLARED_INPUTS


@dataclass(frozen=True, slots=True)
class Output(_Entry):
    """An output; ``outdates`` is the id of an input whose element it replaces."""

    outdates: str | None = None

    _declared = DECLARED_OUTPUTS


def _matches(matches: Sequence[str], kind: str | None, more: str | Sequence[str]) -> tuple[str, ...]:
    extra = (more,) if isinstance(more, str) else tuple(more)
    return (*((f"elmt.type == {kind!r}",) if kind is not None else ()), *matches, *extra)


def _name(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r}: the id of an input or output is text")
    return value


def _flag(value: bool | str | None) -> bool | None:
    """Also the words of the XML."""
    if isinstance(value, str):
        if value not in {"yes", "no"}:
            raise ValueError(f"{value!r}: it is True, False, 'yes' or 'no'")
        return value == "yes"
    return value


def input(
    id: str,  # noqa: A002 -- as in the manual
    *matches: str,
    type: str | None = None,  # noqa: A002 -- keyword of the public face
    match: str | Sequence[str] = (),
    use: bool | str | None = None,
    list: bool | str | None = None,  # noqa: A002 -- keyword of the public face
    optional: bool | str | None = None,
    outdates: bool | str | None = None,
    from_context: str | None = None,
    to_context: str | None = None,
) -> Input:
    """An input of an action, as a value or as a decorator of its function. ``type="x"`` is short for a match on it."""
    return Input(
        _name(id),
        _matches(matches, type, match),
        list=_flag(list),
        optional=_flag(optional),
        use=_flag(use),
        outdates=_flag(outdates),
        from_context=from_context,
        to_context=to_context,
    )


def output(
    id: str,  # noqa: A002 -- as in the manual
    *matches: str,
    type: str | None = None,  # noqa: A002 -- keyword of the public face
    match: str | Sequence[str] = (),
    list: bool | str | None = None,  # noqa: A002 -- keyword of the public face
    optional: bool | str | None = None,
    outdates: str | None = None,
) -> Output:
    """An output of an action, as a value or as a decorator of its function."""
    return Output(
        _name(id), _matches(matches, type, match), list=_flag(list), optional=_flag(optional), outdates=outdates
    )


@dataclass(frozen=True, slots=True)
class Prototype:
    """The inputs and outputs of an action, or of a step whose own words were put on top."""

    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()

    def narrowed(
        self, inputs: Sequence[Input], outputs: Sequence[Output], context: Context = (None, None)
    ) -> Prototype:
        """This prototype with what a step says: matches add up, table 1 says what is overridden, the rest stays.

        ``context`` is where all inputs look of which the step does not say it.
        """
        said_in = {entry.id: entry for entry in inputs}
        said_out = {entry.id: entry for entry in outputs}
        return Prototype(
            tuple(_narrowed_input(own, said_in.get(own.id), context) for own in self.inputs),
            tuple(_narrowed_output(own, said_out.get(own.id)) for own in self.outputs),
        )

    def settled(self) -> Prototype:
        """The prototype with outdating outputs written on the inputs that they outdate, where it means the same."""
        outdated = {entry.outdates for entry in self.outputs if entry.outdates}
        return replace(
            self, inputs=tuple(replace(own, outdates=True) if own.id in outdated else own for own in self.inputs)
        )

    def objections(self, inputs: Sequence[Input], outputs: Sequence[Output], target: str) -> Iterator[Mistake]:
        """Whatever a step says that table 1 does not allow, or about an input or output that is not there."""
        yield from _unknown("input", inputs, self.inputs, target)
        yield from _unknown("output", outputs, self.outputs, target)
        own_inputs = {entry.id: entry for entry in self.settled().inputs}
        for said in inputs:
            own = own_inputs.get(said.id)
            if own is not None:
                yield from _illegal("input", said, own, target, ("optional", "list"), overridable=True)
                yield from _illegal("input", said, own, target, ("use", "outdates"), overridable=False)
        own_outputs = {entry.id: entry for entry in self.outputs}
        for entry in outputs:
            held = own_outputs.get(entry.id)
            if held is not None:
                yield from _illegal("output", entry, held, target, ("optional", "list"), overridable=True)
                if held.outdates and entry.outdates not in {None, held.outdates}:
                    message = f"output {entry.id!r} of {target} outdates {held.outdates!r}; a step may not change that"
                    yield Mistake(message, entry.place)


def _unknown(what: str, said: Sequence[_Entry], own: Sequence[_Entry], target: str) -> Iterator[Mistake]:
    known = [entry.id for entry in own]
    for entry in said:
        if entry.id not in known:
            there = f"it has {', '.join(known)}" if known else f"it has no {what}s"
            yield Mistake(f"{target} has no {what} {entry.id!r}; {there}", entry.place)


def _illegal(
    what: str, said: _Entry, own: _Entry, target: str, names: Sequence[str], *, overridable: bool
) -> Iterator[Mistake]:
    """Table 1: what the action says ``overridable`` to, a step may change; what it says the other to, it may not."""
    for name in names:
        wanted, held = getattr(said, name), bool(getattr(own, name))
        if wanted is not None and wanted != held and held is not overridable:
            words = {True: "yes", False: "no"}
            yield Mistake(
                f"{what} {said.id!r} of {target} is {name}={words[held]}; a step may not make it {words[wanted]}",
                said.place,
            )


def _overridden(own: bool | None, said: bool | None, overridable: bool) -> bool:
    held = bool(own)
    return said if said is not None and held is overridable else held


def _narrowed_input(own: Input, said: Input | None, context: Context) -> Input:
    if said is None:
        said = Input(own.id)
    return Input(
        own.id,
        own.match + said.match,
        list=_overridden(own.list, said.list, True),
        optional=_overridden(own.optional, said.optional, True),
        use=_overridden(own.use, said.use, False),
        outdates=_overridden(own.outdates, said.outdates, False),
        from_context=said.from_context or context[0] or own.from_context or CONTEXTS[0],
        to_context=said.to_context or context[1] or own.to_context or CONTEXTS[-1],
        place=said.place or own.place,
    )


def _narrowed_output(own: Output, said: Output | None) -> Output:
    if said is None:
        said = Output(own.id)
    return Output(
        own.id,
        own.match + said.match,
        list=_overridden(own.list, said.list, True),
        optional=_overridden(own.optional, said.optional, True),
        outdates=own.outdates or said.outdates,
        place=said.place or own.place,
    )
