"""``arguments`` of a command, split into words as a shell does."""

from __future__ import annotations

import re

#: In the order in which they are tried at each place. Inside of single quotes nothing has a meaning.
_PIECE = re.compile(
    r"""(?P<space>[ \t\r\n]+|\\\n)
      | (?P<comment>\#[^\n]*)
      | (?P<single>'(?P<raw>[^']*)')
      | (?P<double>"(?P<cooked>(?:[^"\\]|\\.)*)")
      | (?P<escaped>\\(?P<char>[^\n]))
      | (?P<plain>[^\s'"\\]+|[^\S \t\r\n])""",
    re.VERBOSE | re.DOTALL,
)
#: Inside of double quotes a backslash escapes these alone.
_IN_DOUBLE = re.compile(r'\\([\\"$`\n])')


def split(text: str) -> list[str]:
    """The words of ``text``: quotes and backslashes as in a shell, ``#`` at the start of a word comments out the line.

    Nothing is expanded. Raises ValueError, which says what is open, when a quote is not closed or a backslash is last.
    """
    words: list[str] = []
    word: str | None = None
    place = 0
    while place < len(text):
        match = _PIECE.match(text, place)
        if match is None or (match["comment"] and word is not None):
            piece, place = _odd(text, place, match)
        else:
            place = match.end()
            if match["space"] or match["comment"]:
                if word is not None and match[0] != "\\\n":
                    words.append(word)
                    word = None
                continue
            piece = _content(match)
        word = (word or "") + piece
    return words if word is None else [*words, word]


def _odd(text: str, place: int, match: re.Match[str] | None) -> tuple[str, int]:
    """A ``#`` in the middle of a word, or something that is never closed."""
    if match:
        return "#", place + 1
    line = text.count("\n", 0, place) + 1
    if text[place] == "\\":
        raise ValueError("a backslash stands at the end, with nothing to escape")
    raise ValueError(f"the quote {text[place]} in line {line} of the text is not closed")


def _content(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["raw"]
    if match["double"] is not None:
        return _IN_DOUBLE.sub(lambda found: "" if found[1] == "\n" else found[1], match["cooked"])
    return match["char"] or match["plain"]
