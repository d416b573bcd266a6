"""Hosts of the provider ``podman``: containers, of root or of any user, from our root filesystems or any image.

They are peons, or kommandirs; what differs for these stands in ``podman_kommandir``.
"""

from __future__ import annotations

import os
import time

from kommandir.providers import (
    identities,
    limits,
    podman_engine,
    podman_kommandir,
    records,
    rootfs_cache,
    ssh,
    uplink,
)
from kommandir.providers.command import Option, Request
from kommandir.providers.faults import ProviderError, ProviderUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kommandir.providers.podman_engine import Container
    from kommandir.providers.records import Record

name = "podman"
summary = "a container of podman, of root or of any user; from our root filesystem or any image"
options: tuple[Option, ...] = (
    Option("memory", "number", "", "MiB of memory, 0 for no limit (default 4096; of a kommandir 0)"),
    Option("processes", "number", "", "number of processes, 0 for no limit (default 4096; of a kommandir 0)"),
    Option("uplink", "switch", False, "reach the outside, but never this host (needs pasta)"),
    Option("image", "text", "", "image with python3 and openssh-server; default: made of our root filesystem"),
    Option("kommandir", "switch", False, "a host for jobs: users who have peons of their own inside it"),
)
_RECORDS = records.Records(name)
_ENGINE = podman_engine.Engine(_RECORDS.directory)
_FILES = "files"
_RESOLVER = "resolv.conf"
#: Seconds for which a container may refuse to go away.
_PATIENCE = 60.0
_PEONS_LIMIT = 4096


def create(request: Request) -> Mapping[str, object]:
    """Discover the peon, start it when it stopped, or create it; its host variables."""
    if request.options["uplink"]:
        uplink.check()
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        container = _container(request)
        if record is None or record.get("state") != "complete" or container is None:
            _remove(request.name, record or {}, container)
            record = _form(request)
            _begin(request, record)
        else:
            _check_kind(request, record)
            if record.get("kommandir"):
                _admit(request)
            if container.get("State") != "running":
                _launch(request.name, record, "start", str(container["Id"]))
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)
        return _variables(request.name, record)


def _check_kind(request: Request, record: Record) -> None:
    if bool(record.get("kommandir")) != bool(request.options["kommandir"]):
        which = "a kommandir (--kommandir)" if record.get("kommandir") else "a peon, no kommandir"
        raise ProviderUsageError(f"{request.name} is {which}: destroy it, or take another name")


def _admit(request: Request) -> None:
    """Let the caller's key log in as root, also where another job created the kommandir."""
    directory = _RECORDS.path(request.name)
    if ssh.authorize_also(directory, ssh.read_public_key(request.text("public_key"))):
        _write_file(f"{directory}/{_FILES}", *ssh.keys_file(directory))


def _container(request: Request) -> Container | None:
    """The container of that name, if it is this job's; raises ProviderUsageError when it is somebody else's."""
    container = _ENGINE.named(request.name)
    if container is None:
        return None
    found = podman_engine.labels(container)
    if podman_engine.TAG not in found:
        raise ProviderUsageError(f"the container {request.name} is not ours (no label {podman_engine.TAG}): left alone")
    if found.get(podman_engine.STATE, _RECORDS.directory) != _RECORDS.directory:
        place = found[podman_engine.STATE]
        raise ProviderUsageError(f"the container {request.name} belongs to the records in {place}: left alone")
    owner = found.get(podman_engine.UUID)
    if owner != request.uuid:
        raise ProviderUsageError(
            f"the container {request.name} belongs to the job {owner}, not to {request.uuid}: left alone"
        )
    return container


def _form(request: Request) -> Record:
    record: Record = {
        "provider": name,
        "name": request.name,
        "uuid": request.uuid,
        "created": int(time.time()),
        "expires": request.number("expires"),
        "state": "forming",
        "host_name": request.host_name,
        "image": request.text("image") or _own_image(_variant(request)),
        "kommandir": bool(request.options["kommandir"]),
        "uplink": bool(request.options["uplink"]),
        "boots": 1,
    }
    public_key = ssh.read_public_key(request.text("public_key"))
    directory = _RECORDS.form(request.name, record)
    key = ssh.start_key(directory, request.name)
    try:
        ssh.authorize(directory, public_key)
    finally:
        ssh.finish_key(directory, request.name, key)
    return record


def _variant(request: Request) -> rootfs_cache.Variant:
    return rootfs_cache.KOMMANDIR if request.options["kommandir"] else rootfs_cache.PEON


def _own_image(variant: rootfs_cache.Variant) -> str:
    """The image of one of our root filesystems, imported where this user has none of its checksum."""
    tar = rootfs_cache.tar(variant)
    from kommandir import rootfs

    image = f"localhost/exekutir-{variant.prefix or 'peon-'}".removesuffix("-") + f":{rootfs.checksum(tar)[:12]}"
    if _ENGINE.call("image", "exists", image).returncode:
        rootfs.say(f"importing {image} into podman")
        _ENGINE.demand("import", "--quiet", tar, image)
    return image


def _begin(request: Request, record: Record) -> None:
    """Create and start the container; a failure removes it."""
    try:
        arguments = _prepared_kommandir(request, record) if record["kommandir"] else _prepared_peon(request)
        more, record["holds"] = _limits(request)
        _RECORDS.write(request.name, record)
        labels = [word for key, value in _labels(request).items() for word in ("--label", f"{key}={value}")]
        _launch(request.name, record, *_run_arguments(request, record, [*arguments, *more, *labels]))
    except BaseException:
        _remove(request.name, record, _container(request))
        raise
    record["state"] = "complete"


def _prepared_peon(request: Request) -> list[str]:
    """Write the files of a peon; podman's arguments for its numbers, by which root's peons are nobody on this host."""
    directory = _RECORDS.path(request.name)
    if os.geteuid() == 0:
        ids = identities.of_this_user()
        _write_files(directory, ssh.server_files(directory), ids.uids)
        return podman_engine.id_maps(ids.extents(ids.uids), ids.extents(ids.gids))
    _write_files(directory, ssh.server_files(directory), None)
    few = identities.few_of_this_user()
    # Of an ordinary user podman takes all numbers, of which the user himself is the first.
    return podman_engine.id_maps(*[identities.extents(0, few + 1)] * 2) if few else []


def _prepared_kommandir(request: Request, record: Record) -> list[str]:
    """Write the files of a kommandir and make its volumes; podman's arguments for both and for its numbers."""
    directory = _RECORDS.path(request.name)
    room = podman_kommandir.room(_ENGINE)
    podman_kommandir.tell(room)
    record.update(room.variables)
    _write_files(directory, ssh.server_files(directory, kommandir=True), None)
    podman_kommandir.own_host_key(_ENGINE, f"{directory}/{_FILES}", room)
    podman_kommandir.make_volumes(_ENGINE, request.name, _labels(request))
    uplink = bool(request.options["uplink"])
    return [*room.arguments, *podman_kommandir.arguments(request.name, directory, uplink=uplink)]


def _labels(request: Request) -> dict[str, str]:
    return {
        podman_engine.TAG: request.name,
        podman_engine.UUID: request.uuid,
        podman_engine.EXPIRES: str(request.number("expires")),
        podman_engine.STATE: _RECORDS.directory,
    }


def _run_arguments(request: Request, record: Record, arguments: list[str]) -> list[str]:
    files = f"{_RECORDS.path(request.name)}/{_FILES}"
    fixed = ["--network", "none", "--systemd", "false", "--entrypoint", "", "--user", "0:0", "--workdir", "/"]
    named = ["--name", request.name, "--hostname", request.host_name, "--volume", f"{files}:{ssh.FOLDER}:ro"]
    if request.options["uplink"]:
        named += ["--volume", f"{files}/{_RESOLVER}:/etc/resolv.conf:ro"]
    first = f"{ssh.FOLDER}/{ssh.KOMMANDIR_INIT if record['kommandir'] else ssh.INIT}"
    program = ["/usr/bin/python3", "-I", "-S", first]
    return ["run", "--detach", *named, *fixed, *arguments, str(record["image"]), *program]


def _write_files(directory: str, server: Mapping[str, tuple[int, bytes]], owner: int | None) -> None:
    folder = f"{directory}/{_FILES}"
    os.makedirs(folder, exist_ok=True)
    files = {**server, _RESOLVER: (0o644, uplink.resolver_file())}
    for file, (mode, content) in files.items():
        _write_file(folder, file, mode, content)
        if owner is not None:
            os.chown(f"{folder}/{file}", owner, owner)


def _write_file(folder: str, file: str, mode: int, content: bytes) -> None:
    """Replace a file in one step, as the container may be reading it."""
    new = f"{folder}/.{file}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as opened:
        opened.write(content)
    os.rename(new, f"{folder}/{file}")


def _limits(request: Request) -> tuple[list[str], dict[str, str]]:
    """podman's arguments for the limits, and which of them hold."""
    memory, processes = (_amount(request, option) for option in ("memory", "processes"))
    grouped = _grouped()
    arguments: list[str] = []
    if memory:
        byte = memory * limits.MEBIBYTE
        arguments += ["--memory", f"{memory}m"] if "memory" in grouped else ["--ulimit", f"data={byte}:{byte}"]
    if processes:
        arguments += (
            ["--pids-limit", str(processes)] if "pids" in grouped else ["--ulimit", f"nproc={processes}:{processes}"]
        )
    elif "pids" in grouped:
        # podman has a limit of its own where it is told none.
        arguments += ["--pids-limit", "-1"]
    return arguments, {
        "memory": ("cgroup" if "memory" in grouped else "each process") if memory else "none",
        "processes": ("cgroup" if "pids" in grouped else "each user") if processes else "none",
    }


def _amount(request: Request, option: str) -> int:
    """A limit; where none was given, a peon has one and a kommandir, as large as its jobs make it, has none."""
    value = request.options[option]
    return value if isinstance(value, int) else 0 if request.options["kommandir"] else _PEONS_LIMIT


def _grouped() -> set[str]:
    """The controllers with which podman can limit a container of this user as a whole."""
    if os.geteuid() == 0:
        return {"memory", "pids"}
    user = os.geteuid()
    try:
        path = f"{limits.MOUNT}/user.slice/user-{user}.slice/user@{user}.service/cgroup.controllers"
        with open(path, encoding="ascii") as file:
            return set(file.read().split())
    except OSError:
        return set()


def _launch(peon: str, record: Record, *arguments: str) -> None:
    """Start or run the container with a socket of its own."""
    listener = ssh.listen(_RECORDS.path(peon))
    try:
        podman_engine.demanded(_ENGINE.call_with_socket(listener, *arguments), arguments)
    finally:
        os.close(listener)
    _check(peon, str(record["image"]))
    if record["uplink"]:
        _connect(peon, record)


def _connect(peon: str, record: Record) -> None:
    """Give the container an uplink; its root has no right to change its network."""
    uplink.stop(record)
    pid = int(_ENGINE.demand("inspect", "--format", "{{.State.Pid}}", peon))
    record["pid"] = pid
    network = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "user")]
    try:
        uplink.start(_RECORDS, peon, record, (network[0], network[1]))
    finally:
        for handle in network:
            os.close(handle)


def _check(peon: str, image: str) -> None:
    """A container that cannot serve SSH ends at once; say why."""
    container = _ENGINE.named(peon)
    if container is None or container.get("State") != "running":
        logs = _ENGINE.call("logs", peon)
        words = (logs.stderr + logs.stdout).strip()[-500:] or "it said nothing"
        raise ProviderError(f"the container of {image} ended at once: {words}")


def _variables(peon: str, record: Record) -> dict[str, object]:
    return {
        **ssh.variables(_RECORDS.path(peon), peon),
        "host_name": record["host_name"],
        "host_uuid": record["uuid"],
        "provider": name,
        "expires": record["expires"],
        "limits": record["holds"],
        "uplink": record["uplink"],
        "boots": record["boots"],
        **{key: record[key] for key in ("job_slots", "job_identities") if key in record},
    }


def destroy(request: Request) -> None:
    """Remove the container and its files; nothing to do when they are gone."""
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        _remove(request.name, record or {}, _container(request))


def _remove(peon: str, record: Record, container: Container | None) -> None:
    uplink.stop(record)
    if container is not None:
        _remove_container(str(container["Id"]))
    if record.get("kommandir") or not record:
        podman_kommandir.remove_volumes(_ENGINE, peon, _RECORDS.directory)
    directory = _RECORDS.path(peon)
    folder = f"{directory}/{_FILES}"
    if os.path.isdir(folder):
        for file in os.listdir(folder):
            os.unlink(f"{folder}/{file}")
    _RECORDS.discard(peon)


def _remove_container(identity: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        outcome = _ENGINE.call("rm", "--force", "--ignore", "--time", "0", "--volumes", identity)
        if not outcome.returncode:
            return
        if time.monotonic() > deadline:
            podman_engine.demanded(outcome, ("rm",))
        # Its mounts may be busy for a moment after its processes are gone.
        time.sleep(0.2)


def reboot(request: Request) -> Mapping[str, object]:
    """Kill the container's processes and start it anew from the same disk; its host variables."""
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        container = _container(request)
        if record is None or record.get("state") != "complete" or container is None:
            raise ProviderError(f"{request.name} is not there, or only half; create it")
        boots = record["boots"]
        assert isinstance(boots, int)
        record["boots"] = boots + 1
        _RECORDS.write(request.name, record)
        uplink.stop(record)
        _ENGINE.demand("stop", "--time", "0", str(container["Id"]))
        _launch(request.name, record, "start", str(container["Id"]))
        return _variables(request.name, record)


def renew(request: Request) -> None:
    """Change when the peon expires; the label of the container keeps its first value, the record counts."""
    with _RECORDS.held(request.name):
        record = _RECORDS.owned(request.name, request.uuid)
        if not record:
            raise ProviderError(f"{request.name} is not there; create it")
        record["expires"] = request.number("expires")
        _RECORDS.write(request.name, record)


def listing() -> list[Record]:
    """Every container and volume of ours and every record, whole or half."""
    containers, labels = {}, {}
    for known in _ENGINE.volumes(_RECORDS.directory).values():
        labels[known[podman_engine.TAG]] = known
    own = f"label={podman_engine.STATE}={_RECORDS.directory}"
    for container in _ENGINE.containers(f"label={podman_engine.TAG}", own):
        known = podman_engine.labels(container)
        containers[known[podman_engine.TAG]] = container
        labels[known[podman_engine.TAG]] = known
    names = sorted({*_RECORDS.names(), *labels})
    return [_listed(name, containers.get(name), labels.get(name, {})) for name in names]


def _listed(peon: str, container: Container | None, labels: Mapping[str, str]) -> Record:
    record = _RECORDS.read(peon) or {}
    expires = labels.get(podman_engine.EXPIRES, "")
    state = "running" if container and container.get("State") == "running" else "stopped"
    return {
        "name": peon,
        "uuid": record.get("uuid", labels.get(podman_engine.UUID)),
        "expires": record.get("expires", int(expires) if expires.isdigit() else None),
        "created": record.get("created", (container or {}).get("Created")),
        "state": state if container and record.get("state") == "complete" else "half",
        "provider": name,
        **({"kommandir": True} if record.get("kommandir") else {}),
    }


def why_not() -> str | None:
    """Why no container can be made here, or None."""
    try:
        _ENGINE.demand("info", "--format", "{{.Host.OCIRuntime.Name}}")
    except ProviderError as error:
        return str(error)
    return None
