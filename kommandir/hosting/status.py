"""What a kommandir that jobs share has at the moment: jobs, releases, slots, free space."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from kommandir.hosting import numbers, peon_rootfs, purging, reaping
from kommandir.hosting.accounts import Accounts
from kommandir.hosting.places import own_release


def of(accounts: Accounts) -> dict[str, Any]:
    """What there is: jobs, releases, running (our own), rootfs (that of peons), reaped, slots, free_bytes by place."""
    here = accounts.places
    records = accounts.records.all()
    layout = numbers.of_this_host()
    jobs = [
        {
            "user": record.user,
            "uid": record.uid,
            "state": record.state,
            "slot": record.slot.number if record.slot else None,
            "made": record.made,
            "touched": purging.last_touch(record, here),
            "at_work": purging.at_work(record, here.releases),
            "releases": list(record.releases),
        }
        for record in records
    ]
    releases = sorted(path.stem for path in here.touchstones.glob("*.yml"))
    used = sum(1 for record in records if record.slot)
    disks = {str(place): _free(place) for place in (here.homes, here.jobs, here.cache, here.releases)}
    slots = {"all": layout.slots, "used": used, "numbers": layout.size, "reduced": layout.reduced}
    known = {"rootfs": peon_rootfs.existing(), "running": own_release(), "reaped": reaping.last(here)}
    return {"jobs": jobs, "releases": releases, **known, "slots": slots, "free_bytes": disks}


def _free(place: Path) -> int | None:
    return shutil.disk_usage(place).free if place.is_dir() else None
