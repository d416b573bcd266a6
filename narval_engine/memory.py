"""The memory: all elements, and an index of those that may still be taken (manual I.2, II.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from narval_engine.elements import Element
from narval_engine.index import Index
from narval_engine.recipes import Recipe, RecipeElement

Observer = Callable[[str, Element], None]


class Memory:
    """Elements by eid, oldest first. Iterating gives all, outdated ones, plans and recipes included.

    It is changed through the engine only (``add_element``, ``remove_element``, ``replace_element``), which writes its
    journal first; the methods that change are for the engine.
    """

    def __init__(self) -> None:
        self._elements: dict[int, Element] = {}
        self.index = Index()
        self.next_eid = 1
        self._observers: list[Observer] = []
        self._recipes = 0

    def __iter__(self) -> Iterator[Element]:
        return iter(list(self._elements.values()))

    def __len__(self) -> int:
        return len(self._elements)

    def __contains__(self, element: object) -> bool:
        return isinstance(element, Element) and self._elements.get(element.eid or 0) is element

    def get(self, eid: int) -> Element | None:
        """The element with this number, ``None`` if it is not (or no longer) there."""
        return self._elements.get(eid)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Calls ``observer("added" | "removed" | "outdated", element)`` from now on; returns what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def number(self, element: Element) -> int:
        """Gives the element the next eid, unless it has one."""
        if element.eid is None:
            element.eid = self.next_eid
            self.next_eid += 1
        elif element.eid >= self.next_eid:
            self.next_eid = element.eid + 1
        return element.eid

    def put(self, element: Element) -> bool:
        """Adds a numbered element; false if it was there. One that an earlier memory numbered keeps its number."""
        eid = element.eid
        assert eid is not None
        if eid in self._elements:
            return False
        self._elements[eid] = element
        if not element.outdated:
            self.index.add(element)
        if self._observers:
            self._tell("added", element)
        return True

    def keep_recipe(self, old: Recipe | None, new: Recipe) -> None:
        """Has the recipe as an element, in the place of one of the same name."""
        for element in self._elements.values():
            if isinstance(element, RecipeElement) and element.recipe is old:
                self.drop(element)
                break
        element = RecipeElement(new)
        self._recipes += 1
        element.eid = -self._recipes
        self.put(element)

    def outdate(self, element: Element) -> None:
        """Nothing will take the element again; it stays to be looked at."""
        element.outdated = True
        self.index.discard(element)
        if self._observers:
            self._tell("outdated", element)

    def drop(self, element: Element) -> bool:
        """Takes the element out; false if it was not there. It is outdated too, for those that still refer to it."""
        if self._elements.get(element.eid or 0) is not element:
            return False
        del self._elements[element.eid or 0]
        self.index.discard(element)
        element.outdated = True
        if self._observers:
            self._tell("removed", element)
        return True

    def _tell(self, what: str, element: Element) -> None:
        for observer in list(self._observers):
            observer(what, element)
