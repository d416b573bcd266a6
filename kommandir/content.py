"""Where the Ansible content that ships with the product lies: in a checkout, or inside an installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_MARK = "ansible.cfg"


@cache
def root() -> Path:
    """The directory that holds `ansible.cfg`, `roles/`, `playbooks/`, `inventory/` and `job_path/`.

    Inside a wheel that is `kommandir/_content`, in a checkout (or an editable install of one) its top level.

    Raises:
        FileNotFoundError: the installation is broken: neither place has the content.
    """
    places = (_PACKAGE / "_content", _PACKAGE.parent)
    for place in places:
        if (place / _MARK).is_file():
            return place
    looked = " nor in ".join(str(place) for place in places)
    raise FileNotFoundError(f"exekutir's roles and playbooks are neither in {looked}; install exekutir again")


def ansible_cfg() -> Path:
    """The `ansible.cfg` that every workspace starts from."""
    return root() / _MARK


def roles() -> Path:
    """The directory of the shipped roles, one folder each."""
    return root() / "roles"


def playbooks() -> Path:
    """The directory of the exekutir's playbooks and the default playbooks of a job."""
    return root() / "playbooks"


def inventory() -> Path:
    """The default inventory: `hosts`, `group_vars/`, `host_vars/`."""
    return root() / "inventory"


def jobs() -> Path:
    """The directory of the bundled jobs, one folder each."""
    return root() / "job_path"


def bundled_job(name: str) -> Path | None:
    """The folder of the bundled job `name`, or None where there is none of that name.

    `name` is a bare name: whatever could lead out of the folder (a path, `..`) is not one.
    """
    if not name or name.startswith(".") or "/" in name:
        return None
    job = jobs() / name
    return job if job.is_dir() else None


def bundled_jobs() -> list[str]:
    """The names of all bundled jobs, sorted."""
    return sorted(job.name for job in jobs().iterdir() if job.is_dir() and not job.name.startswith((".", "_")))
