"""One known variable: what may be said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from exekutir.variables.kinds import Kind

Host = Literal["exekutir", "kommandir", "peon", "all"]
#: Who reads a value: exekutir's own program, before and without Ansible; Ansible; or nothing of ours any more.
Reader = Literal["program", "ansible", "nobody"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One known variable."""

    name: str
    type: Kind
    #: What holds where it is not set; None: nothing does.
    default: Any = None
    #: A sentence or two for the reference.
    meaning: str
    #: On which host it has a meaning.
    host: Host
    #: Whether a value in ``exekutir_vars.yml`` also holds on the kommandir.
    passes: bool
    #: Whether ADEPT knows it, by this name.
    adept: bool = False
    #: Whether exekutir sets it itself, so that nobody else can.
    computed: bool = False
    reader: Reader = "ansible"
