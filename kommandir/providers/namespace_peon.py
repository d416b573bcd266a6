"""Peons of the provider ``namespace``: no root, no daemon, no network; a disk over the shared root filesystem."""

from __future__ import annotations

import os
import time

from kommandir.providers import identities, limits, processes, records, uplink
from kommandir.providers.command import Option, Request
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kommandir.providers import sandbox
    from kommandir.providers.records import Record

name = "namespace"
summary = "a host of Linux namespaces: any user, no daemon, no network; ready in less than half a second"
options: tuple[Option, ...] = (
    Option("memory", "number", 4096, "MiB of memory, 0 for no limit (default 4096)"),
    Option("processes", "number", 4096, "number of processes, 0 for no limit (default 4096)"),
    Option("uplink", "switch", False, "reach the outside, but never this host (needs pasta)"),
)
_RECORDS = records.Records(name)
#: The directory of the peon's disk; it is open to the peon's numbers, in a directory that only the user may enter.
_DISK = "disk"


def create(request: Request) -> Mapping[str, object]:
    """Discover the peon, start it when it stopped, or create it; its host variables."""
    from kommandir.providers import rootfs_cache

    ids = identities.of_this_user()
    rootfs = rootfs_cache.tree(ids)
    if request.options["uplink"]:
        uplink.check()
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if record is not None and record.get("state") != "complete":
            _remove(request.name, record)
            record = None
        if record is None:
            record = _form(request, rootfs, ids)
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)
        if not _runs(record):
            _start(request.name, record)
        return _variables(request.name, record)


def _form(request: Request, rootfs: str, ids: identities.Identities) -> Record:
    from kommandir.providers import ssh

    record: Record = {
        "provider": name,
        "name": request.name,
        "uuid": request.uuid,
        "created": int(time.time()),
        "expires": request.number("expires"),
        "state": "forming",
        "host_name": request.host_name,
        "rootfs": rootfs,
        "identities": [ids.uids, ids.gids, ids.count],
        "limits": [request.number("memory"), request.number("processes")],
        "uplink": bool(request.options["uplink"]),
        "boots": 0,
    }
    public_key = ssh.read_public_key(request.text("public_key"))
    directory = _RECORDS.form(request.name, record)
    key = ssh.start_key(directory, request.name)
    try:
        ssh.authorize(directory, public_key)
        os.mkdir(f"{directory}/{_DISK}")
        os.chmod(f"{directory}/{_DISK}", 0o777)  # noqa: S103 - for the peon's numbers; the directory above is closed
    finally:
        ssh.finish_key(directory, request.name, key)
    return record


def _start(peon: str, record: Record) -> None:
    from kommandir.providers import sandbox, ssh

    directory = _RECORDS.path(peon)
    boots = record["boots"]
    assert isinstance(boots, int)
    groups = limits.places(peon)
    record.update(boots=boots + 1, groups=groups, pid=0, identity="")
    _RECORDS.write(peon, record)
    listener = ssh.listen(directory)
    try:
        boot = _boot(directory, record, groups, listener)
        sandbox.launch(boot, lambda *what: _started(peon, record, *what))
    except BaseException:
        _stop(record)
        raise
    finally:
        os.close(listener)


def _boot(directory: str, record: Record, groups: dict[str, str], listener: int) -> sandbox.Boot:
    from kommandir.providers import sandbox, ssh

    boot = sandbox.Boot()
    boot.disk, boot.rootfs, boot.listener = f"{directory}/{_DISK}", str(record["rootfs"]), listener
    boots = record["boots"]
    assert isinstance(boots, int)
    boot.number = boots
    boot.files = ssh.server_files(directory)
    boot.host_name = str(record["host_name"])
    boot.identities = _identities(record)
    boot.limits = limits.Limits(*_numbers(record, "limits"))
    boot.groups = groups
    boot.uplink = bool(record["uplink"])
    return boot


def _started(peon: str, record: Record, pid: int, holds: dict[str, str], network: tuple[int, int]) -> None:
    """Record the first process; it waits until this returns."""
    record.update(pid=pid, identity=processes.identity(pid), holds=holds, state="complete")
    _RECORDS.write(peon, record)
    if record["uplink"]:
        uplink.start(_RECORDS, peon, record, network)


def _numbers(record: Record, key: str) -> list[int]:
    numbers = record.get(key)
    return [int(number) for number in numbers] if isinstance(numbers, list) else []


def _identities(record: Record) -> identities.Identities:
    return identities.Identities(*_numbers(record, "identities"))


def _runs(record: Record) -> bool:
    pid = record.get("pid")
    return isinstance(pid, int) and processes.alive(pid, str(record.get("identity")))


def _variables(peon: str, record: Record) -> dict[str, object]:
    from kommandir.providers import ssh

    return {
        **ssh.variables(_RECORDS.path(peon), peon),
        "host_name": record["host_name"],
        "host_uuid": record["uuid"],
        "provider": name,
        "expires": record["expires"],
        "limits": record["holds"],
        "boots": record["boots"],
        "uplink": record["uplink"],
    }


def destroy(request: Request) -> None:
    """Kill the peon and remove its disk; nothing to do when it is gone."""
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if record is not None:
            _remove(request.name, record)


def _remove(peon: str, record: Record) -> None:
    _stop(record)
    disk = f"{_RECORDS.path(peon)}/{_DISK}"
    if os.path.isdir(disk) and os.listdir(disk):
        _empty(disk, _identities(record))
    _RECORDS.discard(peon)


def _stop(record: Record) -> None:
    """End all processes of a peon, and remove what limits them."""
    pid = record.get("pid")
    if isinstance(pid, int):
        processes.kill(pid, str(record.get("identity")), f"the first process of {record['name']}")
    uplink.stop(record)
    groups = record.get("groups")
    if isinstance(groups, dict):
        limits.remove({str(key): str(value) for key, value in groups.items()})


def _empty(disk: str, ids: identities.Identities) -> None:
    """Remove all that the peon wrote; its owners are the peon's numbers, so root of a user namespace has to do it."""
    entries = [f"{disk}/{entry}" for entry in os.listdir(disk)]
    if os.geteuid() == 0:
        child = os.posix_spawnp("rm", ["rm", "-rf", "--", *entries], os.environ)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        handle = os.open(disk, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            action = ["rm", "-rf", "--", *(f"./{os.path.basename(entry)}" for entry in entries)]
            code = identities.run_mapped(ids, action, own_first=False, directory=handle)
        finally:
            os.close(handle)
    if code:
        raise ProviderError(
            f"rm could not empty {disk} (exit code {code}, its message is above); was the user's range in /etc/subuid "
            "changed? As root: rm -rf that directory, then destroy again"
        )


def reboot(request: Request) -> Mapping[str, object]:
    """Kill the peon's processes and start it anew from the same disk; its host variables."""
    with _RECORDS.held(request.name):
        record = _owned(request)
        _stop(record)
        _start(request.name, record)
        return _variables(request.name, record)


def renew(request: Request) -> None:
    """Change when the peon expires."""
    with _RECORDS.held(request.name):
        record = _owned(request)
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)


def _owned(request: Request) -> Record:
    record = _RECORDS.owned(request.name, request.uuid)
    if record is None or record.get("state") != "complete":
        raise ProviderError(f"{request.name} is not there, or only half; create it")
    return record


def listing() -> list[Record]:
    """Every peon, whole or half."""
    return [entry for entry in map(_listed, _RECORDS.names()) if entry]


def _listed(peon: str) -> Record | None:
    record = _RECORDS.read(peon)
    if record is None:
        return None
    state = "half" if record.get("state") != "complete" else "running" if _runs(record) else "stopped"
    known = {key: record.get(key) for key in ("uuid", "expires", "created")}
    return {"name": peon, **known, "state": state, "provider": name}


def why_not() -> str | None:
    """Why no namespace peon can be made here, or None; it tries what creation does, the root filesystem aside."""
    try:
        ids = identities.of_this_user()
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            code = identities.run_mapped(ids, ["true"], own_first=False, directory=root)
        finally:
            os.close(root)
    except ProviderError as error:
        return str(error)
    return None if code == 0 else f"a program in a user namespace ended with {code}. {identities.why_not()}"
