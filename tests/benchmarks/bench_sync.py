"""What it costs to bring a workspace to a kommandir and back, against bare rsync over the same SSH server.

10,000 small files, and one big file of 1 GB (SIZE says another number of MB). Each is sent for the first time, then
without a change, then with a few changes; then brought back the same ways, and compared by content, for which bare
rsync has `--checksum`. Both sides log in with the same key to the same server, in turns; the best rounds are compared,
since whatever else the machine does only adds. Ours shares a connection, as a context does, and has its own choice of
ciphers; bare rsync has what OpenSSH does by itself. All is kept in memory where there is room: what a disk does with
10,000 new files differs by more than a factor of two from one time to the next.
The target is a ratio of at most 1.1 of wall time.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exekutir.remote.host import RemoteHost
from exekutir.remote.multiplexing import multiplexed
from exekutir.remote.sync import Sync
from kommandir.cancellation import Cancellation
from kommandir.deadline import Deadline

ROUNDS = int(os.environ.get("ROUNDS", "3"))
FILES = int(os.environ.get("FILES", "10000"))
SIZE = int(os.environ.get("SIZE", "1024"))
TARGET = 1.1
SPEEDS = ("first", "nothing new", "few changes")


@contextmanager
def server(folder: Path) -> Iterator[RemoteHost]:
    """An SSH server of this machine, and how to log in."""
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "known_hosts").write_text(f"bench {(folder / 'host.pub').read_text()}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    options = [f"HostKey={folder}/host", f"AuthorizedKeysFile={folder}/key.pub", "StrictModes=no", "UsePAM=no"]
    options += [f"Port={port}", "ListenAddress=127.0.0.1", "PidFile=none", "LogLevel=QUIET"]
    words = [word for option in options for word in ("-o", option)]
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", "/dev/null", *words])
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.02)
        yield RemoteHost(
            name="bench",
            address="127.0.0.1",
            port=port,
            user=getpass.getuser(),
            key=folder / "key",
            known_hosts=folder / "known_hosts",
        )
    finally:
        process.kill()
        process.wait()


def small_files(folder: Path) -> None:
    """Files as a job has them: some hundred bytes to some thousand, a hundred a folder."""
    for number in range(FILES):
        path = folder / "results" / f"{number // 100}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(200 + number % 3000))


def big_file(folder: Path) -> None:
    """One file that can't be compressed."""
    (folder / "results").mkdir()
    with (folder / "results" / "image").open("wb") as image:
        for _ in range(SIZE):
            image.write(os.urandom(1 << 20))


def changed(folder: Path) -> None:
    """A few changes: the start of every hundredth file."""
    for number, path in enumerate(sorted(path for path in (folder / "results").rglob("*") if path.is_file())):
        if number % 100 == 0:
            with path.open("r+b") as file:
                file.write(os.urandom(100))


def timed(call: Callable[[], object]) -> float:
    """Seconds of wall time."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Bare:
    """`rsync -a --delete` by hand, which connects each time."""

    def __init__(self, host: RemoteHost, here: Path, there: Path) -> None:
        self.host, self.here, self.there = host, here, there

    def push(self) -> None:
        self._run(f"{self.here}/", self.host.target(f"{self.there}/"))

    def pull(self) -> None:
        self._run(self.host.target(f"{self.there}/"), f"{self.here}/")

    def verified(self) -> None:
        self._run("--checksum", "--dry-run", self.host.target(f"{self.there}/"), f"{self.here}/")

    def _run(self, *words: str) -> None:
        host = self.host
        shell = ["ssh", "-F", "none", "-i", f"{host.key}", "-p", f"{host.port}", "-o", f"HostKeyAlias={host.name}"]
        shell += ["-o", f"UserKnownHostsFile={host.known_hosts}"]
        command = ["rsync", "--archive", "--delete", "--stats", f"--rsh={shlex.join(shell)}", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def one_round(sync: Sync | Bare, here: Path, there: Path) -> dict[str, float]:
    """Seconds of each way and speed, in the order in which a context has them."""
    told = {}
    for speed in SPEEDS:
        if speed == "few changes":
            changed(here)
        told[f"there, {speed}"] = timed(sync.push)
        sync.verified()  # so that the next push has nothing to bring back first, as it is between contexts
    shutil.rmtree(here / "results")
    for speed in SPEEDS:
        if speed == "few changes":
            changed(there)
        told[f"back, {speed}"] = timed(sync.pull)
    told["compared by content"] = timed(sync.verified)
    return told


def measured(fill: Callable[[Path], None], host: RemoteHost, folder: Path) -> dict[str, tuple[float, float]]:
    """Least seconds, ours and bare, by what was done."""
    rounds: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
    for number in range(ROUNDS):
        for side in sorted(rounds, reverse=number % 2 == 1):
            place = folder / f"{side}{number}"
            here, there = place / "here", place / "there"
            here.mkdir(parents=True)
            there.mkdir()
            fill(here)
            subprocess.run(["sync", "-f", place], check=True)
            if side == "ours":
                with multiplexed(host) as near:
                    rounds[side].append(one_round(ours(near, here, there), here, there))
            else:
                rounds[side].append(one_round(Bare(host, here, there), here, there))
            shutil.rmtree(place)
    return {
        what: (
            min(told[what] for told in rounds["ours"]),
            min(told[what] for told in rounds["bare"]),
        )
        for what in rounds["ours"][0]
    }


def ours(host: RemoteHost, here: Path, there: Path) -> Sync:
    """As a context calls it."""
    return Sync(
        host=host,
        local=here,
        remote=str(there),
        deadline=Deadline.never(),
        cancellation=Cancellation(),
        log=here.parent / "sync.log",
    )


def roomy() -> str | None:
    """A folder in memory with room for both copies of the big file twice over, or None for that of temporary files."""
    memory = Path("/dev/shm")
    try:
        return str(memory) if shutil.disk_usage(memory).free > 4 * SIZE << 20 and os.access(memory, os.W_OK) else None
    except OSError:
        return None


def main() -> None:
    """Print the figures."""
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="bench-sync-", dir=roomy()) as name, server(Path(name)) as host:
        where = f"{ROUNDS} rounds in {Path(name).parent}"
        print(f"rsync over {shlex.join(host.ssh()[:1])}, {where}, seconds of wall time (best round)")
        for title, fill in ((f"{FILES} small files", small_files), (f"one file of {SIZE} MB", big_file)):
            print(f"\n{title:<24} {'ours':>8} {'bare':>8} {'ratio':>7}")
            for what, (mine, bare) in measured(fill, host, Path(name)).items():
                print(f"  {what:<22} {mine:>8.3f} {bare:>8.3f} {mine / bare:>7.2f}")
                worst = max(worst, mine / bare)
    print(f"\nworst ratio {worst:.2f}, target {TARGET}")


if __name__ == "__main__":
    main()
