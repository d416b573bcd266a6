"""What failed in a step of a job, as a value that the terminal, JUnit and the classification read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that went wrong, with what a person needs in order to go on."""

    #: The step of the job, as events name it.
    step: str
    #: What went wrong and why, in a few lines, redacted.
    message: str
    #: The file that has all of it, relative to the kommandir's workspace; "" where there is none.
    log: str = ""
    play: str = ""
    task: str = ""
    role: str = ""
    #: The inventory name of the host, "" where none is concerned.
    host: str = ""
    #: Whether the host did not answer.
    unreachable: bool = False
    #: Whether the role is one of ours: then the job's infrastructure failed, not its tests.
    infrastructure: bool = False
