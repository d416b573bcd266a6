"""What is there of a job: contexts done, peons alive, its kommandirs, locks and who holds them."""

from __future__ import annotations

import json
import time
from typing import Any, TextIO

from exekutir import locks, workspace
from exekutir.generations import FILE_NAME, Generation, Generations
from exekutir.options import Options
from kommandir import yamlfile
from kommandir.errors import ExekutirError, ExitCode
from kommandir.journal import PeonRecord

CONTEXTS = ("setup", "run", "cleanup")


def shown(options: Options, screen: TextIO) -> int:
    """Print the status of the workspace, for people or as JSON; always good where there is a workspace."""
    found = gathered(workspace.opened(workspace.asked(options.workspace), create=False))
    if options.format == "json":
        print(json.dumps(found, indent=2), file=screen)
    else:
        print("\n".join(_lines(found)), file=screen)
    return int(ExitCode.GOOD)


def gathered(place: workspace.Workspace) -> dict[str, Any]:
    """The status as plain values: ``uuid``, ``contexts``, ``peons``, ``kommandirs``, ``locks``."""
    variables = _variables(place)
    ended = place.journal.contexts()
    under_way = {holder.context for holder in locks.holders(place.path / ".locks")}
    held = [*locks.holders(place.path / ".locks"), *locks.holders(locks.lock_folder(variables))]
    return {
        "workspace": str(place.path),
        "uuid": variables.get("uuid"),
        "job_name": variables.get("job_name"),
        "contexts": [
            {"context": name, "state": _state(name, ended, under_way), "exit_code": ended.get(name)}
            for name in CONTEXTS
        ],
        "peons": [_peon(record) for record in place.peon_journal.peons().values()],
        "kommandirs": _kommandirs(variables),
        "locks": [{"lock": holder.lock, "holder": str(holder), "since": holder.since} for holder in held],
    }


def _variables(place: workspace.Workspace) -> dict[str, Any]:
    """The user's variables and, on top, every ``-e`` of the last call, as the contexts take them."""
    files = [file for file in (place.exekutir_vars, place.extra_vars) if file.exists()]
    try:
        return {name: value for file in files for name, value in yamlfile.mapping(file).value.items()}
    except ExekutirError:
        return {}


def _state(name: str, ended: dict[str, int | None], under_way: set[str]) -> str:
    if name not in ended:
        return "not done"
    code = ended[name]
    if code is None:
        return "under way" if name in under_way else "interrupted"
    return "good" if code == 0 else "failed"


def _peon(record: PeonRecord) -> dict[str, Any]:
    left = record.expires - time.time() if record.expires else None
    return {
        "peon": record.name,
        "state": record.state,
        "alive": record.may_exist,
        "provider": record.provider,
        "expires": record.expires or None,
        "lease": None
        if left is None or not record.may_exist
        else ("ended" if left <= 0 else f"{left / 3600:.1f} h left"),
    }


def _kommandirs(variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Every generation in the folder of the locks, whichever jobs use it; what can't be read says so as its state."""
    told: list[dict[str, Any]] = []
    for file in sorted(locks.lock_folder(variables).glob(f"*/{FILE_NAME}")):
        try:
            told += [_kommandir(one) for one in Generations(file.parent).all()]
        except ExekutirError as error:
            told.append({"kommandir": file.parent.name, "state": "unknown", "why": str(error)})
    return told


def _kommandir(one: Generation) -> dict[str, Any]:
    moment = time.time()
    return {
        "kommandir": one.name,
        "state": one.state,
        "provider": one.provider,
        "created": one.created,
        "age": f"{one.age(moment) / 86400:.1f} days" if one.age(moment) >= 86400 else f"{one.age(moment) / 3600:.1f} h",
        "release": one.release,
        "jobs": {uuid: one.jobs[uuid] for uuid in one.used_by(moment)},
        "why_retired": one.why_retired or None,
    }


def _kommandir_line(item: dict[str, Any]) -> str:
    if item["state"] == "unknown":
        return f"  {item['kommandir']:<20} {item['why'].splitlines()[0]}"
    words = [f"{item['age']} old", item["provider"], item["release"]]
    words += [f"used by {', '.join(item['jobs'])}" if item["jobs"] else "used by nobody"]
    words += [item["why_retired"]] if item["why_retired"] else []
    return f"  {item['kommandir']:<20} {item['state']:<10} " + ", ".join(word for word in words if word)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"job {found['job_name'] or '?'} ({found['uuid'] or 'no uuid yet'}) in {found['workspace']}"]
    for item in found["contexts"]:
        code = "" if item["exit_code"] in (None, 0) else f", exit code {item['exit_code']}"
        lines.append(f"  {item['context']:<8} {item['state']}{code}")
    alive = [peon for peon in found["peons"] if peon["alive"]]
    lines.append(f"peons: {len(alive)} alive of {len(found['peons'])}")
    lines += [
        f"  {peon['peon']:<20} {peon['state']:<10} {peon['provider']}  {peon['lease'] or ''}".rstrip() for peon in alive
    ]
    there = [item for item in found["kommandirs"] if item["state"] != "destroyed"]
    if there:
        lines.append("kommandirs:")
        lines += [_kommandir_line(item) for item in there]
    lines.append("locks: " + ("none held" if not found["locks"] else ""))
    lines += [f"  {item['lock']:<20} {item['holder']}" for item in found["locks"]]
    return [line.rstrip() for line in lines]
