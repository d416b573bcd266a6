"""How to show a job: what was asked for, what the stream is, and what the environment says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TextIO

from exekutir.display.output import is_terminal

Form = Literal["board", "plain", "json"]


class Looks(NamedTuple):
    """What the display may use."""

    form: Form
    colour: bool
    #: Whether signs beyond ASCII are understood.
    unicode: bool


def chosen(asked: str, stdout: TextIO | None, environ: Mapping[str, str]) -> Looks:
    """The looks for ``asked`` (auto, plain, json) on ``stdout``.

    ``CI`` and ``TERM=dumb`` mean no cursor movement; ``NO_COLOR`` wins over ``FORCE_COLOR``, and that over all else.
    """
    terminal = is_terminal(stdout)
    moves = terminal and environ.get("TERM", "") not in ("", "dumb", "unknown")
    form: Form = "plain"
    if asked == "json":
        form = "json"
    elif asked == "auto" and moves and not _set(environ, "CI"):
        form = "board"
    colour = not environ.get("NO_COLOR") and (_set(environ, "FORCE_COLOR") or moves)
    return Looks(form, colour and form != "json", _understands_unicode(stdout, environ))


def _set(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() not in ("", "0", "false", "no")


def _understands_unicode(stdout: TextIO | None, environ: Mapping[str, str]) -> bool:
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    encoding = (getattr(stdout, "encoding", None) or "").lower().replace("-", "")
    return encoding == "utf8" and "utf" in locale.lower()
