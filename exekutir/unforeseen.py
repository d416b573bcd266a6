"""Whatever is raised, as an error for people: the system's own errors, and bugs of ours with a file that has it all."""

from __future__ import annotations

import contextlib
import errno
import traceback

from exekutir.job import Job
from kommandir import atomic
from kommandir.errors import ExekutirError, KommandirError


def told(error: Exception, job: Job) -> ExekutirError:
    """The same as an error for people; of a bug the traceback is kept in ``crash_CONTEXT.txt`` of the workspace."""
    if isinstance(error, ExekutirError):
        return error
    return of_the_system(error) if isinstance(error, OSError) else _crash(error, job)


def of_the_system(error: OSError) -> KommandirError:
    """What the system refused, and of which file."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
    return KommandirError(what, hint=f"{hint}, then run the same command again; cleanup always works")


def _crash(error: Exception, job: Job) -> KommandirError:
    file = job.workspace.path / f"crash_{job.context}.txt"
    text = job.events.redactor.text("".join(traceback.format_exception(error)))
    with contextlib.suppress(OSError):
        atomic.write(file, text, mode=0o600, durable=False)
    last = text.strip().splitlines()[-1]
    return KommandirError(
        f"a bug in exekutir: {last}", log=file, hint="report it with that file; `exekutir cleanup` works"
    )
