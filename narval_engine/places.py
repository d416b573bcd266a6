"""Where something was written, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Place:
    """A line of a file; ``str()`` is the way in which compilers write it."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class PlacedText(str):
    """A text that knows where it was written."""

    place: Place

    def __new__(cls, text: str, place: Place) -> Self:
        """A text and its place."""
        made = super().__new__(cls, text)
        made.place = place
        return made


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: ``message`` says what, and what is allowed there; ``place`` may be unknown.

    A warning does not keep anything from running.
    """

    message: str
    place: Place | None = None
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class RecipeError(ValueError):
    """What was given to the engine is not valid. ``mistakes`` has all that is wrong, not only the first thing."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))
