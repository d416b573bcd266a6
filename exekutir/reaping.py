"""``exekutir reap``: what is expired and ours is destroyed, over all jobs and providers."""

from __future__ import annotations

import json
import time
from typing import TextIO

from exekutir.options import Options


def reaped(options: Options, screen: TextIO) -> int:
    """Destroy what is expired, print what was done; the exit code says whether all of it went away."""
    from kommandir.reaper import reap

    report = reap(time.time(), dry_run=options.check)
    if options.format == "json":
        print(json.dumps(report.as_dict(), indent=2), file=screen)
    else:
        print("\n".join(report.lines()), file=screen)
    return int(report.exit_code)
