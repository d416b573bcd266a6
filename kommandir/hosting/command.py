"""The command ``kommandir host``: users of jobs, shared caches, cleaning up; for root. It answers with JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kommandir.hosting import places


def main(arguments: Sequence[str]) -> int:
    """Perform one action and print its answer, one JSON object; the exit code.

    Raises ExekutirError; what the host's files or disks refuse is a KommandirError that names the file.
    """
    from kommandir.hosting import disk

    asked = _parser().parse_args(arguments)
    try:
        print(json.dumps(_perform(asked)), flush=True)
    except OSError as error:
        raise disk.told(error, asked.action) from error
    if asked.action == "add-user":
        _begin_reaping()
    return 0


def _begin_reaping() -> None:
    """What is done for other jobs must not fail for this one, whose user is made and told by now."""
    from kommandir.hosting import disk, reaping

    try:
        reaping.begin(places.Places())
    except OSError as error:
        print(f"kommandir host: {disk.told(error, 'reap')}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kommandir host", description="what a kommandir that many jobs share holds for them; for root"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add-user", help="make the user of a job, or find it; standard input: its public key")
    remove = actions.add_parser("remove-user", help="end all processes of a job's user and remove all that is its own")
    for each in (add, remove):
        each.add_argument("uuid", metavar="UUID", help="the job's uuid, which is the user's name")
    add.add_argument("--no-rootfs", action="store_true", help="the job has no peons that need a root filesystem here")
    purge = actions.add_parser("purge", help="remove users that nobody asks for, and releases that nobody uses")
    purge.add_argument("--older-than", type=float, metavar="SECONDS", required=True, help="users: so long untouched")
    purge.add_argument(
        "--releases-older-than", type=float, metavar="SECONDS", default=3600.0, help="releases: so long unused (3600)"
    )
    actions.add_parser("reap", help="destroy the peons of all jobs whose leases have ended; at times, purge users")
    actions.add_parser("status", help="jobs, releases, slots, disk")
    keep = actions.add_parser("keep-rootfs", help="take a tar as the root filesystem of all jobs' peons")
    keep.add_argument("tar", type=Path, metavar="TAR", help="compressed by gzip or not; it is removed in the end")
    fill = actions.add_parser(
        "fill-caches",
        help="fetch repositories and files for all jobs; standard input: git_cache_args and file_cache_args",
    )
    fill.add_argument("--timeout", type=float, metavar="SECONDS", default=1800.0, help="for all of it (1800)")
    return parser


def _perform(asked: argparse.Namespace) -> dict[str, Any]:
    from kommandir.hosting import purging
    from kommandir.hosting.accounts import Accounts, demand_root

    demand_root()
    accounts = Accounts()
    if asked.action == "add-user":
        return accounts.add(asked.uuid, sys.stdin.read(), rootfs=not asked.no_rootfs)
    if asked.action == "remove-user":
        return {"user": asked.uuid, "removed": accounts.remove(asked.uuid)}
    if asked.action == "purge":
        return purging.purge(accounts, older_than=asked.older_than, releases_older_than=asked.releases_older_than)
    if asked.action == "reap":
        from kommandir.hosting import reaping

        return reaping.reap(accounts)
    if asked.action == "keep-rootfs":
        from kommandir.hosting import peon_rootfs

        return {"rootfs": peon_rootfs.kept(asked.tar)}
    if asked.action == "fill-caches":
        return _filled(sys.stdin.read(), asked.timeout)
    from kommandir.hosting import status

    return status.of(accounts)


def _filled(text: str, seconds: float) -> dict[str, Any]:
    from kommandir.deadline import Deadline
    from kommandir.errors import UsageError
    from kommandir.hosting import files, mirrors

    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise UsageError("standard input is no JSON", why=str(error)) from error
    deadline = Deadline.after(seconds)
    answer: dict[str, Any] = {"ready": [], "refused": {}}
    for name, fill in (("git_cache_args", mirrors.fill), ("file_cache_args", files.fill)):
        entries = wanted.get(name) or [] if isinstance(wanted, dict) else None
        if not isinstance(entries, list):
            raise UsageError(f"standard input has no list `{name}`", hint="give both variables as a mapping of JSON")
        told = fill(entries, places.Places(), deadline=deadline) if entries else {"ready": [], "refused": {}}
        answer["ready"] += told["ready"]
        answer["refused"].update(told["refused"])
    return answer
