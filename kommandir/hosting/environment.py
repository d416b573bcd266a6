"""The environment that every process of a job has on a kommandir; the exekutir adds what passes of the caller's."""

from __future__ import annotations

from pathlib import Path

from kommandir.environment import JOB_TAG
from kommandir.hosting.places import Places

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Every Debian, Ubuntu and Fedora has it, and Ansible needs one of UTF-8.
_LANGUAGE = "C.UTF-8"


def of_user(user: str, uid: int, release: Path, places: Places | None = None) -> dict[str, str]:
    """What every process of a job has; ``release`` is the folder whose ``bin`` it finds first."""
    here = places or Places()
    return {
        "HOME": str(here.homes / user),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/bash",
        "PATH": f"{release}/bin:{_PATH}",
        "LANG": _LANGUAGE,
        "EXEKUTIR_STATE": str(here.jobs / user / "state"),
        "EXEKUTIR_CACHE": str(here.cache),
        "XDG_RUNTIME_DIR": str(here.runtime / str(uid)),
        JOB_TAG: user,
    }
