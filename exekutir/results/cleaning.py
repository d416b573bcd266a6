"""Text of other programs made harmless: no escape sequences, no control characters, nothing XML can't hold."""

from __future__ import annotations

import re
from typing import Any

#: What stands for a character that was taken out.
REPLACEMENT = "\ufffd"

# CSI, then strings (OSC, DCS, SOS, PM, APC) with their end, then two- and three-character sequences.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters, lone surrogates, what XML 1.0 forbids, and the marks that reverse the order of a text on screen.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LINE_ENDS = re.compile(r"\r\n?")


def clean(value: Any) -> str:
    """Any value as text that can be shown anywhere: lines end with a newline, tabs stay, nothing else controls."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    text = _ESCAPES.sub("", _LINE_ENDS.sub("\n", text))
    return _UNWANTED.sub(REPLACEMENT, text)


def one_line(value: Any, limit: int = 300) -> str:
    """Any value as one clean line of at most ``limit`` characters."""
    text = " ".join(clean(value if not isinstance(value, str) else value[: limit * 8]).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def tail(value: Any, lines: int = 20, limit: int = 4096) -> list[str]:
    """The last ``lines`` lines of a text that hold something at all, cleaned, ``limit`` characters at most."""
    text = clean(value).rstrip()
    cut = text[-limit:]
    kept = cut.splitlines()[-lines:]
    return [line.expandtabs(4).rstrip() for line in kept if line.strip()]


def shortened(value: Any, limit: int = 4096) -> str:
    """A cleaned text whose middle is left out where it is longer than ``limit`` characters."""
    text = clean(value).strip()
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half].rstrip()}\n… {len(text) - 2 * half} characters left out …\n{text[-half:].lstrip()}"
