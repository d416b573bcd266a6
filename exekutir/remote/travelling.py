"""What travels between the exekutir's copy of the kommandir's workspace and that workspace: rsync's filter rules.

The first rule that matches a path decides. What is excluded (``-``) neither travels nor is deleted; ``P`` only keeps it
from being deleted on the receiving side, ``R`` lets it be. Paths begin at the top of the workspace.
"""

from __future__ import annotations

from collections.abc import Iterable

from kommandir.events import FILE_NAME as EVENTS
from kommandir.journal import FILE_NAME as JOURNAL

#: Tells that a workspace there is the one that was sent; never travels itself.
MARK = ".exekutir-sync"
#: What rsync keeps of a file that was cut off, in the folder of the file.
PARTIAL = ".exekutir-partial"

#: A megabyte that is given up where the disk of the kommandir is full and the job is to end; in a folder of its home.
RESERVE = ".cache/exekutir-reserve"
#: What belongs to the kommandir's home, and not to the job.
HOME = (
    ".ansible",
    ".ansible_async",
    ".bash_history",
    ".bash_logout",
    ".bashrc",
    ".cache",
    ".gnupg",
    ".lesshst",
    ".local",
    ".profile",
    ".python_history",
    ".ssh",
    ".viminfo",
    ".wget-hsts",
)
#: What each side has for itself: what the exekutir laid and saw, and where a run there stands, with its process ids.
_OWN = ("private/laid.json", "private/job.sqlite*", f"results/{EVENTS}")
#: What came from the exekutir for the kommandir's eyes, and stays with both.
_SECRET = ("private/extra_vars.yml",)
#: How the peons are known and destroyed; each of these has to be there on whatever kommandir comes next.
_PEONS = (f"+ /{JOURNAL}", "+ /private/", "+ /private/*.yml", "+ /ssh/", "+ /ssh/known_hosts")
_HOST_VARS = ("+ /inventory/", "+ /inventory/host_vars/***")
_RESULTS = ("+ /results/***",)


def there(excludes: Iterable[str]) -> list[str]:
    """Rules of the way to the kommandir: everything, and what is not in the exekutir's copy is deleted there.

    Keys and other secrets that the job made there, and its caches, stay for as long as the job lives.
    """
    return [
        *_never(excludes),
        "R /private/*.yml",
        *(f"P /{folder}/**" for folder in ("private", "ssh", "cache")),
    ]


def back(excludes: Iterable[str]) -> list[str]:
    """Rules of the way back: everything but secrets and caches; of ``private/`` only the records of peons."""
    return [*_never(excludes), *_kept_there(), "+ /private/*.yml", "- /private/**", "+ /ssh/known_hosts", "- /ssh/**"]


def state_back(excludes: Iterable[str], *, host_vars: bool = True, results: bool = False) -> list[str]:
    """Rules of the way back for what a cleanup on another kommandir needs, and the results if they are wanted."""
    more = (*(_HOST_VARS if host_vars else ()), *(_RESULTS if results else ()))
    return [*_never(excludes), *_kept_there(), *_PEONS, *more, "- *"]


def _never(excludes: Iterable[str]) -> list[str]:
    names = (MARK, *HOME, *_OWN, *(name.strip("/") for name in excludes))
    return [f"- /{name}" for name in names if name]


def _kept_there() -> list[str]:
    return ["- /cache/", *(f"- /{name}" for name in _SECRET)]
