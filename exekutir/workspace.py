"""The workspace: the folder where all state of a job lives, laid out as ``design.md`` ("Workspace") has it.

Everything here may be done again at any time, and whatever kills it in the middle is mended by doing it again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kommandir import atomic, content, yamlfile
from kommandir.errors import KommandirError, UsageError
from kommandir.journal import FILE_NAME as JOURNAL
from kommandir.journal import Journal, now

#: Raised when the layout changes so that older programs can't use it.
FORMAT = "1"
FORMAT_FILE = ".exekutir-workspace"

#: Never copied from a job.
NOT_CONTENT = (".git", "__pycache__", "*.pyc", ".mypy_cache", ".pytest_cache", ".ruff_cache")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The places of a workspace."""

    path: Path

    @property
    def kommandir(self) -> Path:
        """The authoritative copy of the kommandir's workspace; for ``nocloud`` that workspace itself."""
        return self.path / "kommandir_workspace"

    @property
    def exekutir_vars(self) -> Path:
        """The user's variables, completed."""
        return self.path / "exekutir_vars.yml"

    @property
    def extra_vars(self) -> Path:
        """Every ``-e`` so far; for the owner's eyes."""
        return self.path / "extra_vars.yml"

    @property
    def kommandir_vars(self) -> Path:
        """The job's variables with the exekutir's forced on top."""
        return self.kommandir / "kommandir_vars.yml"

    @property
    def results(self) -> Path:
        """What the job brought."""
        return self.kommandir / "results"

    @property
    def private(self) -> Path:
        """Files that nobody else may read and that never travel back."""
        return self.kommandir / "private"

    @property
    def journal(self) -> Journal:
        """The exekutir's journal: contexts and kommandirs."""
        return Journal(self.path / JOURNAL)

    @property
    def kommandirs_used(self) -> list[dict[str, Any]]:
        """Each use of a kommandir that is another host, oldest first: ``kommandir``, ``uuid``, ``release``."""
        return [dict(entry.data) for entry in self.journal.entries() if entry.action == "kommandir_used"]

    @property
    def peon_journal(self) -> Journal:
        """The kommandir's journal: peons."""
        return Journal(self.kommandir / JOURNAL)

    def exit_file(self, who: str, context: str) -> Path:
        """Where the exit code of ``who`` (exekutir or kommandir) for a context is kept."""
        return self.path / f"{who}_{context}.exit"

    def record_exit(self, who: str, context: str, code: int | None) -> None:
        """Keep an exit code; None removes it, as long as the context is under way."""
        file = self.exit_file(who, context)
        if code is None:
            file.unlink(missing_ok=True)
        else:
            atomic.write(file, f"{code}\n", durable=False)

    @property
    def exists(self) -> bool:
        """Whether there is anything of a job here."""
        return (self.path / FORMAT_FILE).exists()


def untouched(path: Path) -> bool:
    """Whether no context ever began in ``path``: there is no workspace, or only its mark, by a call that was killed."""
    if not (path / FORMAT_FILE).exists():
        return True
    # A journal is there before its first line is.
    noted = any(True for _ in Journal(path / JOURNAL).entries())
    return not noted and not any((path / name).exists() for name in ("kommandir_workspace", "exekutir_vars.yml"))


def asked(path: Path | None) -> Path:
    """The absolute path of the workspace that was named; raises UsageError where none was."""
    if path is None:
        raise UsageError("no workspace was named", hint="give -w DIR, or set $WORKSPACE")
    return path.absolute()


def opened(path: Path, *, create: bool) -> Workspace:
    """The workspace at ``path``; with ``create`` the folder and its mark are made.

    Raises UsageError when it is a file, not there (without ``create``), can't be written, or was made by a version with
    another layout.
    """
    workspace = Workspace(path.absolute())
    if path.exists() and not path.is_dir():
        raise UsageError(f"workspace {path} is not a folder", hint="name a folder with -w or $WORKSPACE")
    if not create and not path.is_dir():
        raise UsageError(f"workspace {path} is not there", hint="run `exekutir setup` first, or mend -w or $WORKSPACE")
    _demand_same_format(workspace)
    if create:
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not workspace.exists:
                atomic.write(path / FORMAT_FILE, f"{FORMAT}\n")
        except OSError as error:
            raise _unwritable(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"workspace {path} can't be written", hint="name another folder with -w or $WORKSPACE")
    return workspace


def _demand_same_format(workspace: Workspace) -> None:
    try:
        found = (workspace.path / FORMAT_FILE).read_text().strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"workspace {workspace.path} can't be read: {error.strerror}") from error
    if found != FORMAT:
        raise UsageError(
            f"workspace {workspace.path} has layout {found!r}; this version of exekutir knows {FORMAT!r}",
            hint="go on with the version that made it (`exekutir cleanup`), or use a new workspace",
        )


def earlier_results_put_away(workspace: Workspace) -> None:
    """Move the results of a job that was cleaned up to ``earlier_results/MOMENT``, so that no test of it is taken for
    one of the job that is set up now. Raises OSError.
    """
    # A run that was refused in between is no job.
    known = [entry for entry in workspace.journal.entries() if entry.data.get("context") in ("setup", "cleanup")]
    last = next((entry for entry in reversed(known) if entry.action in ("context_started", "context_finished")), None)
    if last is None or (last.action, last.data["context"]) != ("context_finished", "cleanup"):
        return
    if workspace.results.is_dir():
        place = workspace.path / "earlier_results" / now()
        place.parent.mkdir(exist_ok=True)
        workspace.results.rename(place)


def made(workspace: Workspace, job: Path, excludes: Iterable[str] = ()) -> None:
    """Lay out everything: keys, links, and the kommandir's workspace = our defaults, overlaid by the job.

    Each default of the top level is also kept as ``default_<name>``. Of an earlier set-up only files that it laid and
    that are no longer part of the job are removed; results, keys, caches and journals stay.
    """
    try:
        for folder, mode in (
            (workspace.path / "ssh", 0o700),
            (workspace.kommandir, 0o700),
            (workspace.private, 0o700),
            (workspace.kommandir / "ssh", 0o700),
            (workspace.kommandir / "cache", 0o755),
            (workspace.results, 0o755),
        ):
            folder.mkdir(exist_ok=True, mode=mode)
            folder.chmod(mode)
        _linked(workspace.path / "results", Path("kommandir_workspace/results"))
        keyed(workspace.path / "ssh" / "exekutir_key", "exekutir", given=os.environ.get("ANSIBLE_PRIVATE_KEY_FILE"))
        keyed(workspace.kommandir / "ssh" / "kommandir_key", "kommandir")
        _laid(workspace, job, tuple(excludes))
        _exekutir_inventory(workspace)
    except shutil.Error as error:
        why = "\n".join(str(item[2]) for item in error.args[0][:5])
        raise UsageError(f"the job {job} can't be copied into the workspace", why=why) from error
    except OSError as error:
        raise _unwritable(workspace.path, error) from error


def _linked(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() and not link.is_symlink():
        raise UsageError(f"{link} is in the way: results are kept in {target}", hint="move it elsewhere")
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def keyed(key: Path, owner: str, given: str | None = None) -> None:
    """An ed25519 key without passphrase, made once; or a copy of a ``given`` one, as ADEPT has it."""
    public = key.with_suffix(".pub")
    if key.exists() and public.exists():
        return
    if given and Path(given).is_file() and Path(f"{given}.pub").is_file():
        atomic.write(public, Path(f"{given}.pub").read_bytes(), mode=0o600)
        atomic.write(key, Path(given).read_bytes(), mode=0o600)
        return
    import subprocess

    for half_made in (key, public):
        half_made.unlink(missing_ok=True)
    new = key.with_name(f".{key.name}.new")
    for half_made in (new, new.with_name(f"{new.name}.pub")):
        half_made.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{owner} of exekutir", "-f", str(new)]
    try:
        made_key = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise KommandirError("ssh-keygen is missing", hint="install the package openssh-client") from error
    if made_key.returncode:
        raise KommandirError(f"no key could be made at {key}", why=made_key.stderr or made_key.stdout)
    new.with_name(f"{new.name}.pub").rename(public)
    new.rename(key)


def _laid(workspace: Workspace, job: Path, excludes: tuple[str, ...]) -> None:
    """Defaults, then the job over them, into the kommandir's workspace."""
    target = workspace.kommandir
    record = workspace.private / "laid.json"
    before = _recorded(record)
    laid: set[str] = set()
    root = content.root()
    for name in ("roles", "inventory", "playbooks"):
        _copy(root / name, target / name, laid, target, excludes)
    for file in sorted([*content.playbooks().glob("*.yml"), *content.playbooks().glob("*.xn"), root / "ansible.cfg"]):
        _copy_file(file, target / file.name, laid, target)
        if file.suffix != ".cfg":
            _copy_file(file, target / f"default_{file.name}", laid, target)
    # Written before the job's own files, so that a kill in between does not make a later set-up forget any of them.
    atomic.write(record, json.dumps(sorted(before | laid)), durable=False)
    _copy(job, target, laid, target, (*excludes, *_kept_names(workspace, job)))
    for gone in sorted(before - laid, reverse=True):
        (target / gone).unlink(missing_ok=True)
    atomic.write(record, json.dumps(sorted(laid)), durable=False)


def _kept_names(workspace: Workspace, job: Path) -> Iterator[str]:
    """Names at the job's top level that never overlay ours: state, and a workspace that lies in the job's folder."""
    yield from ("ssh", ".ssh", "private", "results", JOURNAL, FORMAT_FILE)
    if workspace.path.is_relative_to(job):
        yield workspace.path.relative_to(job).parts[0]


def _recorded(record: Path) -> set[str]:
    try:
        return set(json.loads(record.read_text()))
    except (OSError, ValueError):
        return set()


def _copy(source: Path, target: Path, laid: set[str], base: Path, excludes: tuple[str, ...]) -> None:
    """Copy a tree; links are followed, since they would lead nowhere on another host."""
    top = set(excludes)
    ignore = shutil.ignore_patterns(*NOT_CONTENT)

    def ignored(folder: str, names: list[str]) -> set[str]:
        return ignore(folder, names) | ({name for name in names if name in top} if Path(folder) == source else set())

    def copy(from_: str, to: str) -> str:
        try:
            _copy_file(Path(from_), Path(to), laid, base)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _unwritable(base.parent, error) from error  # copytree would go on to the next file
            raise
        return to

    shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored, copy_function=copy)
    for folder, _, _ in os.walk(target):
        mode = stat.S_IMODE(Path(folder).stat().st_mode)
        if not mode & stat.S_IWUSR:
            Path(folder).chmod(mode | stat.S_IRWXU)


def _copy_file(source: Path, target: Path, laid: set[str], base: Path) -> None:
    """Copy one file unless the same one is there; a file that can't be written over is replaced."""
    laid.add(str(target.relative_to(base)))
    new = source.stat()
    try:
        old = target.lstat()
        if stat.S_ISREG(old.st_mode) and (old.st_size, old.st_mtime_ns) == (new.st_size, new.st_mtime_ns):
            return
        if stat.S_ISDIR(old.st_mode):
            shutil.rmtree(target)
        else:
            target.unlink()
    except FileNotFoundError:
        pass
    shutil.copy2(source, target)


def _exekutir_inventory(workspace: Workspace) -> None:
    """The exekutir's own inventory, for playbooks that run here by hand."""
    folder = workspace.path / "inventory"
    (folder / "host_vars").mkdir(parents=True, exist_ok=True)
    if not (folder / "hosts").exists():
        atomic.write(folder / "hosts", "exekutir ansible_connection=local\nkommandir\n", durable=False)


def kommandir_host_vars(workspace: Workspace) -> Path:
    """The host variables of the kommandir in the exekutir's inventory; discovery updates them."""
    return workspace.path / "inventory" / "host_vars" / "kommandir.yml"


def updated_host_vars(path: Path, told: dict[str, object]) -> dict[str, object]:
    """Merge what a provisioning command told into a host variables file, atomically; the merged mapping comes back."""
    known = yamlfile.mapping(path).value if path.exists() else {}
    merged = {**known, **told}
    if merged != known:
        # A set-up that was killed has no inventory yet, and cleanup works there all the same.
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, "---\n" + yamlfile.dump(merged), mode=0o600)
    return merged


def _unwritable(path: Path, error: OSError) -> KommandirError | UsageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return KommandirError(
            f"no space left for the workspace {path}",
            why=str(error),
            hint="free some space and run the same command again; nothing was lost",
        )
    return UsageError(
        f"workspace {path} can't be written: {error.strerror or error}",
        why=str(error),
        hint="name another folder with -w or $WORKSPACE",
    )
