"""The toolkit as it lies on a kommandir: what pip would have put there, compiled, in one tar."""

from __future__ import annotations

import platform
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from exekutir.toolkit import tree, wheelhouse, wheels
from exekutir.toolkit.wheels import Member, Target
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError

PYTHON = "{}.{}".format(*sys.version_info[:2])
HERE = Target(PYTHON, platform.machine(), "-".join(platform.libc_ver()))
INFORMATION = "mine-1.0.dist-info"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A wheelhouse with a small package, which has a command, and pip."""
    folder = tmp_path / "house"
    folder.mkdir()
    texts = {
        "mine.py": b"def main():\n    print(__file__)\n",
        "tests/unused.py": b"",
        f"{INFORMATION}/METADATA": b"Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n",
        f"{INFORMATION}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFORMATION}/entry_points.txt": b"[console_scripts]\nmine = mine:main\n",
    }
    wheel = folder / "mine-1.0-py3-none-any.whl"
    wheels.write(wheel, [Member(name, text) for name, text in texts.items()], INFORMATION)
    (folder / "requirements.txt").write_text(wheelhouse.requirements([wheel]))
    pip = wheelhouse.pip_wheel(HERE, tmp_path / "cache")
    shutil.copy(pip, folder / pip.name)
    return folder


def test_unpacked_into_a_virtual_environment_it_runs(house: Path, tmp_path: Path) -> None:
    place, tar = tmp_path / "place", tmp_path / "tree.tar.gz"
    tree.packed(house, HERE, str(place), tar, deadline=Deadline.never())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    with tarfile.open(tar) as archive:
        assert {(member.uname, member.mode & 0o022) for member in archive} == {("root", 0)}
        archive.extractall(place, filter="tar")
    inside = place / "lib" / f"python{PYTHON}" / "site-packages"
    said = subprocess.run([place / "bin" / "mine"], capture_output=True, text=True, check=True, cwd="/").stdout
    assert said.strip() == str(inside / "mine.py")
    assert (place / "bin" / "mine").read_text().startswith(f"#!{place}/bin/python\n")
    assert [path.stem.partition(".")[0] for path in inside.rglob("*.pyc")] == ["mine"]
    assert str(inside / "mine.py").encode() in next(inside.rglob("*.pyc")).read_bytes()
    assert not list(tmp_path.glob(".tree-*"))


def test_for_another_python_it_is_compiled_there(house: Path, tmp_path: Path) -> None:
    tar = tmp_path / "tree.tar.gz"
    tree.packed(house, Target("3.99", HERE.machine, HERE.libc), "/place", tar, deadline=Deadline.never())
    with tarfile.open(tar) as archive:
        names = archive.getnames()
    assert "lib/python3.99/site-packages/mine.py" in names
    assert not [name for name in names if name.endswith(".pyc")]


def test_a_wheel_that_is_not_what_it_was_is_refused(house: Path, tmp_path: Path) -> None:
    with (house / "mine-1.0-py3-none-any.whl").open("ab") as file:
        file.write(b"more")
    with pytest.raises(KommandirError, match=r"(?s)can't be put together.*HASHES"):
        tree.packed(house, HERE, "/place", tmp_path / "tree.tar.gz", deadline=Deadline.never())
    assert not (tmp_path / "tree.tar.gz").exists()


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (f"#!{sys.executable}\n", "#!/new\nrest\n"),
        (f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n", "#!/new\nrest\n"),
        ("#!/bin/sh\n", "#!/bin/sh\nrest\n"),
    ],
)
def test_only_what_runs_python_gets_another_one(tmp_path: Path, head: str, kept: str) -> None:
    script = tmp_path / "script"
    script.write_text(f"{head}rest\n")
    moved = tree._moved(script, tmp_path, "/new")
    assert moved.read_text() == kept
    assert stat.S_IMODE(moved.stat().st_mode) == 0o755
