"""Elements: whatever the engine handles (manual I.1). A generic one holds any attributes; classes claim a type each."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, ClassVar, Self

#: Element classes by the type (in XML: the tag) that they claim.
CLASSES: dict[str, type[Element]] = {}
#: What a match expression may name besides the harmless builtins: element classes and interfaces, by their name.
NAMES: dict[str, Any] = {}


class Element:
    """A typed set of attributes.

    ``Element("mail", sender="M. Dupont")`` makes a generic one: ``.type`` is its type, each attribute is an attribute.
    A subclass claims a type, its own name unless ``class Mail(Element, type="mail")`` says another, lists the
    interfaces that it has in ``implements``, and is known to match expressions by its name.

    ``eid`` is its number in memory (``None`` until it is there); ``made_by_plan`` and ``made_by_step`` say where it
    comes from, ``used_by`` which steps and transitions have used it, ``outdated`` that nothing will take it again.
    """

    __slots__ = ("__dict__", "__weakref__", "eid", "made_by_plan", "made_by_step", "outdated", "type", "used_by")

    #: The interfaces that elements of this class have.
    implements: ClassVar[tuple[Any, ...]] = ()
    claimed_type: ClassVar[str] = "Element"
    #: Only offered to expressions that name its type or class: what the engine itself keeps in memory.
    private: ClassVar[bool] = False

    eid: int | None
    type: str
    made_by_plan: int | None
    made_by_step: str | None
    used_by: set[tuple[str, str]] | None
    outdated: bool

    def __init_subclass__(cls, type: str | None = None, **rest: Any) -> None:  # noqa: A002 -- the public keyword
        super().__init_subclass__(**rest)
        own = cls.__dict__.get("type")
        if isinstance(own, str):
            # ``type = "mail"`` in the class says the same; left there it would stand before the field.
            del cls.type
        cls.claimed_type = type or (own if isinstance(own, str) else cls.__name__)
        CLASSES[cls.claimed_type] = cls
        NAMES[cls.__name__] = cls

    def __init__(self, type: str | None = None, /, **attributes: Any) -> None:  # noqa: A002 -- positional only
        if type is None and self.__class__ is Element and isinstance(attributes.get("type"), str):
            # Element(type="mail") says the same as Element("mail").
            type = attributes.pop("type")  # noqa: A001 -- the public keyword
        self._begin(self.claimed_type if type is None else type)
        self.__dict__.update(attributes)

    def _begin(self, kind: str) -> None:
        self.eid = None
        self.type = kind
        self.made_by_plan = None
        self.made_by_step = None
        self.used_by = None
        self.outdated = False

    def __new__(cls, /, *_args: Any, **_attributes: Any) -> Self:  # noqa: D102 -- nothing a caller has to know
        made = super().__new__(cls)
        # A subclass that forgets to call Element.__init__ is an element all the same.
        Element._begin(made, cls.claimed_type)
        return made

    def attributes(self) -> dict[str, Any]:
        """A copy of the attributes, in the order in which they were set."""
        return dict(self.__dict__)

    def copied(self) -> Element:
        """An equal element that is in no memory and bears no marks."""
        twin = self.__class__.__new__(self.__class__)
        twin.type = self.type
        twin.__dict__.update(self.__dict__)
        return twin

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any, /) -> None: ...

    def __getattr__(self, name: str) -> Any:
        # Only reached for what is not there: the message names the element, not the class.
        raise AttributeError(f"element {self.type!r} has no attribute {name!r}", name=name, obj=self)

    @recursive_repr("...")
    def __repr__(self) -> str:
        place = "" if self.eid is None else f"#{self.eid}"
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"<{self.type}{place} {inside}>" if inside else f"<{self.type}{place}>"


class ErrorElement(Element):
    """An error (manual I.5.4). ``type`` is its kind, ``message`` one sentence; further attributes are data about it.

    An action that returns one, under any output, has failed with it.
    """

    __slots__ = ()

    def __init__(self, message: str = "", type: str | None = None, /, **attributes: Any) -> None:  # noqa: A002 -- public
        attributes = dict(attributes)
        kind = type if type is not None else attributes.pop("type", "error")
        super().__init__(str(kind), **{"message": attributes.pop("message", message), **attributes})


class StartPlan(Element, type="start-plan"):
    """Asks for a plan of ``recipe`` ("group.name"); ``elements`` are put into the plan's context (manual II.2.2)."""

    __slots__ = ()

    def __init__(self, recipe: str = "", elements: tuple[Element, ...] = (), **attributes: Any) -> None:
        # In XML they are its children.
        children = attributes.pop("children", ())
        super().__init__("start-plan", **attributes)
        self.recipe = recipe
        self.elements = (*elements, *children)


NAMES["Element"] = Element
# An error is told from other elements by its class, never by its tag, which is the kind of the error.
del CLASSES["ErrorElement"]


def attributes_of(element: Element) -> dict[str, Any]:
    """A copy of the attributes; one of them may be called ``attributes`` itself."""
    return type(element).attributes(element)


def copy_of(element: Element) -> Element:
    """An equal element that is in no memory and bears no marks; an attribute may be called ``copied``."""
    return type(element).copied(element)


def element_from(tag: str, attributes: Mapping[str, Any]) -> Element:
    """The element of the class that claims ``tag``, else a generic one. ``TypeError`` where the class refuses them."""
    claiming = CLASSES.get(tag)
    if claiming is None:
        return Element(tag, **attributes)
    try:
        made = claiming(**attributes)
    except Exception as error:
        # Whatever the user's class raises, it is the element that is refused.
        said = error if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"
        raise TypeError(f"{claiming.__name__} cannot be made from {sorted(attributes)}: {said}") from error
    return made
