"""Mistakes of users: all of them at once, each with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kommandir.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a file, a variable or an option."""

    #: ``file:line`` (line from 1), or the option or environment variable that has it.
    place: str
    #: What is wrong, with the key's name.
    message: str
    #: What is allowed there, or what to do.
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class MistakesError(UsageError):
    """One or more mistakes of the user; ``mistakes`` has them in the order in which they are shown."""

    def __init__(self, mistakes: Sequence[Mistake], *, hint: str | None = None) -> None:
        self.mistakes = tuple(mistakes)
        if len(self.mistakes) == 1:
            super().__init__(str(self.mistakes[0]), hint=hint)
        else:
            lines = "\n".join(f"  {mistake}" for mistake in self.mistakes)
            super().__init__(f"{len(self.mistakes)} mistakes:\n{lines}", hint=hint)


def demand_none(mistakes: Sequence[Mistake], *, hint: str | None = None) -> None:
    """Raise MistakesError where there is any mistake."""
    if mistakes:
        raise MistakesError(mistakes, hint=hint)
