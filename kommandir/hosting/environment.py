"""The environment of a job's processes on a kommandir: what its user has, and what of the caller's may pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from kommandir.environment import JOB_TAG
from kommandir.hosting.places import Places

#: What passes from whoever calls, besides what a variable names: how a terminal looks, and the language.
CALLERS = ("TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "TZ")
_LANGUAGE = "LANG"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Every Debian, Ubuntu and Fedora has it, and Ansible needs one of UTF-8.
_DEFAULT_LANGUAGE = "C.UTF-8"


def of_user(user: str, uid: int, release: Path, places: Places | None = None) -> dict[str, str]:
    """What every process of a job has; ``release`` is the folder whose ``bin`` it finds first."""
    here = places or Places()
    home = str(here.homes / user)
    return {
        "HOME": home,
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/bash",
        "PATH": f"{release}/bin:{_PATH}",
        _LANGUAGE: _DEFAULT_LANGUAGE,
        "EXEKUTIR_STATE": str(here.jobs / user / "state"),
        "EXEKUTIR_CACHE": str(here.cache),
        "XDG_RUNTIME_DIR": str(here.runtime / str(uid)),
        JOB_TAG: user,
    }


def with_caller(
    own: Mapping[str, str], caller: Mapping[str, str], also: Iterable[str] = (), *, locales: Collection[str] = ()
) -> dict[str, str]:
    """``own`` with what passes of the caller's environment; ``also`` are names that ``environment_pass`` has.

    A language passes only where the kommandir has it (``locales``, as ``add-user`` tells them): Ansible refuses to
    start with one that is not there. Nothing of the caller's takes the place of what the user must have.
    """
    known = {_plain(name) for name in locales}
    languages = {
        name: value
        for name, value in caller.items()
        if (name == _LANGUAGE or name.startswith("LC_")) and _plain(value) in known
    }
    wanted = {name: caller[name] for name in (*CALLERS, *also) if caller.get(name)}
    kept = {name: value for name, value in own.items() if name != _LANGUAGE}
    return {_LANGUAGE: own.get(_LANGUAGE, _DEFAULT_LANGUAGE), **languages, **wanted, **kept}


def _plain(locale: str) -> str:
    """A locale's name as programs compare it: ``en_US.UTF-8`` is ``en_US.utf8``."""
    name, _, charset = locale.partition(".")
    return f"{name}.{charset.replace('-', '').lower()}" if charset else name
