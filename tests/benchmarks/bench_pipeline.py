"""The job `pipeline` as a recipe, each peon on its own, beside the same job with barriers: a list in `job.xn`.

usage: python tests/benchmarks/bench_pipeline.py [SECONDS]      how long the slow preparation and the long tests take;
default: 40

The preparation of one peon and the tests of the others are waits, as for a network or a service. CPU is that of our
side, user and system; that of the peons comes on top. On a machine that others use too the figures mean little: its
load is printed.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kommandir import content, yamlfile

BIN = Path(sys.executable).parent
SECONDS = 40
PATIENCE = 900

#: The same playbooks, each for all peons at once, in the same context.
BARRIERS = """---
- playbook: {contexts: [run], filepath: peon_creation.yml, inventory: inventory}
- playbook: {contexts: [run], filepath: peon_setup.yml, inventory: inventory}
- playbook: {contexts: [run], filepath: run.yml, inventory: inventory}
- playbook: {contexts: [cleanup], filepath: cleanup.yml, inventory: inventory}
"""


def job_in(folder: Path, seconds: int, job_xn: str | None) -> Path:
    """A copy of the bundled job; one peon is prepared for so long, the others are tested for so long."""
    shutil.copytree(content.jobs() / "pipeline", folder)
    variables = folder / "kommandir_vars.yml"
    variables.write_text(yamlfile.dump({**yamlfile.mapping(variables).value, "pipeline_testing": seconds}))
    slow = folder / "inventory" / "host_vars" / "slow.yml"
    slow.write_text(yamlfile.dump({"pipeline_preparation_of_host": seconds, "pipeline_testing_of_host": 0}))
    if job_xn is not None:
        (folder / "job.xn").write_text(job_xn)
    return folder


@contextmanager
def set_up(folder: Path, job: Path) -> Iterator[Path]:
    """The workspace of a job that has been set up; cleaned up at the end."""
    workspace = folder / "workspace"
    called(folder, "setup", workspace, "-j", str(job))
    try:
        yield workspace
    finally:
        called(folder, "cleanup", workspace)


def called(folder: Path, context: str, workspace: Path, *more: str) -> int:
    """Run `exekutir`; its exit code comes back."""
    environment = {**os.environ, "EXEKUTIR_STATE": str(folder / "state"), "CI": "true"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [str(BIN / "exekutir"), context, "-w", str(workspace), *more]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"exekutir {context} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
    return ended.returncode


def cpu() -> float:
    """Seconds of CPU of the calls so far, with everything that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(folder: Path, job: Path) -> dict[str, float]:
    """Seconds of the context `run`, from no peon to the last one tested, and those of CPU; the load at its begin."""
    with set_up(folder, job) as workspace:
        load, began, used = os.getloadavg()[0], time.perf_counter(), cpu()
        code = called(folder, "run", workspace)
        seconds, used = time.perf_counter() - began, cpu() - used
        passed = len(list((workspace / "results").glob("*/junit.xml")))
        if code != 1 or passed != 6:
            raise SystemExit(f"six peons should be tested and one fail; exit code {code}, {passed} tested")
        return {"wall": round(seconds, 1), "cpu": round(used, 1), "load": round(load, 1)}


def main() -> None:
    """Print both times and the ratio."""
    given = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, job_xn in (("pipeline", None), ("barriers", BARRIERS)):
            place = Path(folder, name)
            found[name] = measured(place, job_in(place / "job", given, job_xn))
            wall, used, load = found[name].values()
            print(f"{name}: {wall:6.1f} s, {used:5.1f} s of CPU (load {load} before)", flush=True)
    print(f"ratio: {found['pipeline']['wall'] / found['barriers']['wall']:.2f}")
    print(json.dumps({"seconds": given, **found}))


if __name__ == "__main__":
    main()
