"""Which generation of a remote kommandir a job uses, and a connection to it: its own, the current one, or a new one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exekutir import kommandirs
from exekutir.generations import CREATING, Generation, Generations
from exekutir.job import Job
from exekutir.kommandirs import neighbourhood, provision
from exekutir.locks import lock_folder
from exekutir.remote.control import Control, LoginRefusedError
from exekutir.remote.host import RemoteHost
from exekutir.remote.host_keys import HostKeyError
from kommandir.deadline import Deadline
from kommandir.errors import ExekutirError, ProvisioningError, TimeOutError, UnreachableError

#: Seconds in which a kommandir that was ready before must answer; then another one takes its place.
PATIENCE = 90.0
#: The same for one whose provider can't say that it is there.
BRIEF = 10.0
#: The part of ``kommandir_timeout`` in which the provider of one that was ready must tell of it.
DISCOVERY = 1 / 3
#: Seconds between two attempts to connect, and the same where the login was refused, so that no guard bars us.
PAUSE, REFUSED_PAUSE = 0.3, 5.0
#: Seconds for which a host that is there already may refuse the login; a new one may still be getting its key.
REFUSED = 30.0


class AnotherHostError(ProvisioningError):
    """A provisioning command told another host than it told before for the same generation."""


@dataclass(frozen=True, slots=True)
class Found:
    """A generation that answers."""

    generation: Generation
    told: dict[str, Any]
    host: RemoteHost
    #: root's connection.
    control: Control


def folder(job: Job) -> Path:
    """Where what is known of the job's kommandir lies, beside its locks."""
    return lock_folder(job.variables) / kommandirs.lock_name(job)


def found(job: Job, generations: Generations, key: Path) -> Found:
    """The generation on which the job is registered, else the current one, else a new one; it answers.

    One that was ready and does not answer any more, or is another host than before, is retired, and a new one takes its
    place: no state is bound to it. One that answers is kept, also when its provisioning command fails. A new one that
    can't be had raises ProvisioningError, UnreachableError or TimeOutError, and is finished or destroyed by whoever
    comes next. UsageError is raised for one that another exekutir or provider made. The setup lock must be held.
    """
    deadline = job.deadline.within(float(job.setting("kommandir_timeout")))
    known = _ours(_known(job, generations), job, generations)
    while known is not None and known.state != CREATING:
        try:
            return _answering(job, known, key, deadline, patience=PATIENCE)
        except HostKeyError:
            raise
        except (UnreachableError, ProvisioningError, TimeOutError) as error:
            deadline.check("the kommandir", host=known.name)
            told_retired(job, generations.retire(known, error.what))
        # Another job that was there may have begun the next one already.
        following = generations.current()
        known = _ours(following if following and following.number != known.number else None, job, generations)
    provision.demand_commands(job)  # what can't be made must not be on record as perhaps made
    provider = kommandirs.provider(job)
    fresh = generations.begin(provider, neighbourhood.maker(provider))
    return _answering(job, fresh, key, deadline, patience=deadline.remaining())


def _ours(one: Generation | None, job: Job, generations: Generations) -> Generation | None:
    if one is not None:
        neighbourhood.demand_ours(one, kommandirs.provider(job), generations.path)
    return one


def _known(job: Job, generations: Generations) -> Generation | None:
    own = generations.of_job(job.uuid)
    if own is not None:
        return own
    aged = generations.retire_aged(float(job.setting("kommandir_max_age")))
    if aged is not None:
        told_retired(job, aged)
    return generations.current()


def told_retired(job: Job, generation: Generation) -> None:
    """Tell people that a generation takes no new jobs any more."""
    job.events.emit("kommandir", kommandir=generation.name, state="retired", message=generation.why_retired)


def _answering(job: Job, generation: Generation, key: Path, deadline: Deadline, *, patience: float) -> Found:
    begun = time.monotonic()
    told, doubt = _told(job, generation, key, deadline)
    before = generation.host_vars.get("ssh_host_key")
    if before and before != told.get("ssh_host_key"):
        raise AnotherHostError(
            "its provisioning command told another host than before: its host key differs",
            host=generation.name,
            hint=f"it is not used any more; ask the provider why {generation.name} is another host now",
        )
    host = provision.reached(job, generation, told, key)
    if doubt is None:
        control = _connected(job, host, deadline.within(patience))
    else:
        control = _connected_in_doubt(job, host, deadline.within(BRIEF), doubt)
    try:
        outcome = control.run(["sleep", "0.1"], deadline=deadline, cancellation=job.cancellation)
        if not outcome.good:
            raise UnreachableError(
                f"it answers, but can't run `sleep 0.1`: {outcome.end}",
                host=host.name,
                why=outcome.stderr,
                hint="look at its disk, its memory and root's login shell; the next call takes another generation",
            )
    except BaseException:
        control.close()
        raise
    state = "created" if generation.state == CREATING else "found"
    seconds = round(time.monotonic() - begun, 3)
    job.events.emit("kommandir", kommandir=generation.name, state=state, seconds=seconds)
    return Found(generation, told, host, control)


def _told(
    job: Job, generation: Generation, key: Path, deadline: Deadline
) -> tuple[dict[str, Any], ExekutirError | None]:
    """What the provisioning command tells; of one that was ready before and whose command fails or hangs, what it told
    then, with that failure: the provider may be away for a while, and the host not."""
    if generation.state == CREATING or not generation.host_vars:
        return provision.created(job, generation, key, deadline), None
    try:
        return provision.created(job, generation, key, deadline.within(deadline.given * DISCOVERY)), None
    except (ProvisioningError, TimeOutError) as error:
        return provision.remembered(job, generation, key), error


def _connected_in_doubt(job: Job, host: RemoteHost, deadline: Deadline, doubt: ExekutirError) -> Control:
    """A connection to a host of which its provider could not tell; where it does not answer, that is the reason."""
    try:
        control = _connected(job, host, deadline)
    except HostKeyError:
        raise
    except UnreachableError:
        raise doubt from None
    job.events.emit("warning", message=f"{host.name} answers and is used, though {doubt.what}: {doubt.why}")
    return control


def _connected(job: Job, host: RemoteHost, deadline: Deadline) -> Control:
    """Try again and again, as a host that has just been made may still be starting."""
    import select

    begun, pause = time.monotonic(), PAUSE
    existing = kommandirs.provider(job) == kommandirs.EXISTING
    while True:
        try:
            return Control.opened(host, deadline=deadline, cancellation=job.cancellation)
        except HostKeyError:
            raise
        except LoginRefusedError as error:
            if deadline.expired or (existing and time.monotonic() - begun > REFUSED):
                raise
            if pause == PAUSE:
                job.events.emit("warning", message=f"{error.host}: {error.what}; it is tried again for a while")
            pause = REFUSED_PAUSE
        except (UnreachableError, TimeOutError) as error:
            if deadline.expired:
                raise UnreachableError(
                    f"it did not answer for {time.monotonic() - begun:.0f} s: {error.what}",
                    host=host.name,
                    why=error.why,
                    hint="look at its console or log at the provider",
                ) from error
        select.select([job.cancellation.fileno()], [], [], min(pause, deadline.remaining()))
