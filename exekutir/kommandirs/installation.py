"""A kommandir set up once for each release of exekutir: what is needed there, and exactly this exekutir."""

from __future__ import annotations

import json
import time
from pathlib import Path

from exekutir.job import Job
from exekutir.kommandirs.discovery import Found
from exekutir.toolkit import Toolkit
from kommandir import atomic, content, yamlfile
from kommandir.errors import ExitCode, KommandirError, ProvisioningError
from kommandir.xn import XnRequest

#: Where releases lie, and the marks of those that are whole.
PLACE = "/opt/exekutir"
TOUCHSTONES = "/var/lib/exekutir/touchstone"


def installed(job: Job, found: Found) -> str:
    """Set the kommandir up unless that was done for this release; its name comes back. The setup lock must be held.

    Raises ProvisioningError with what went wrong in the role ``kommandir_setup``, KommandirError where the packages for
    it can't be put together here.
    """
    wheel_cache = str(job.setting("wheel_cache") or "")
    toolkit = Toolkit.of_this(wheel_cache=Path(wheel_cache) if wheel_cache else None)
    mark = f"{TOUCHSTONES}/{toolkit.release}.yml"
    outcome = found.control.run(["test", "-e", mark], deadline=job.deadline, cancellation=job.cancellation)
    if not outcome.good:
        began = time.monotonic()
        _set_up(job, found, wheel_cache)
        seconds = round(time.monotonic() - began, 3)
        job.events.emit(
            "kommandir", kommandir=found.host.name, state="set up", message=toolkit.release, seconds=seconds
        )
    return toolkit.release


def _set_up(job: Job, found: Found, wheel_cache: str) -> None:
    from kommandir import xn

    variables = job.workspace.path / "private" / "kommandir_setup.yml"
    told = {"kommandir_setup_wheel_cache": wheel_cache, "kommandir_setup_by": f"job {job.uuid}"}
    try:
        atomic.write(variables, "---\n" + yamlfile.dump(told), mode=0o600, durable=False)
    except OSError as error:
        raise KommandirError(f"{variables} can't be written: {error.strerror}") from error
    playbook = {
        "filepath": str(content.playbooks() / "kommandir_setup.yml"),
        "inventory": str(job.workspace.path / "inventory"),
        "config": str(content.ansible_cfg()),
    }
    result = xn.run(
        XnRequest(
            context=job.context,
            workspace=job.workspace.path,
            text=json.dumps([{"playbook": playbook}]),
            uuid=job.uuid,
            extra_vars=variables,
            deadline=job.deadline.within(float(job.setting("kommandir_timeout"))),
            cancellation=job.cancellation,
            events=job.events,
        )
    )
    job.cancellation.check("setting the kommandir up")
    if result.outcome != ExitCode.GOOD:
        failure = result.failures[0] if result.failures else None
        raise ProvisioningError(
            f"it can't be set up: {failure.task if failure and failure.task else 'kommandir_setup'}",
            host=found.host.name,
            why=failure.message if failure else None,
            log=job.workspace.path / failure.log if failure and failure.log else None,
            hint="mend that, then run the same command again: a half set-up is finished",
        )
