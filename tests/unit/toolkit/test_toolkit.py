"""The wheel of this exekutir, the packages it runs with, and the folder of wheels that a kommandir gets."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from exekutir.toolkit import Toolkit, closure, packing, wheelhouse, wheels
from exekutir.toolkit.closure import Pin
from exekutir.toolkit.wheels import Member, Target
from kommandir.deadline import Deadline
from kommandir.errors import KommandirError

PYTHON = "{}.{}".format(*sys.version_info[:2])
HERE = Target(PYTHON, platform.machine(), "-".join(platform.libc_ver()))


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Toolkit:
    return Toolkit.of_this(cache=tmp_path_factory.mktemp("cache"))


def test_the_wheel_holds_what_runs_here(toolkit: Toolkit, checkout: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout.splitlines()
    packages = {name for name in listed if name.startswith(("exekutir/", "kommandir/", "narval_engine/"))}
    content = {f"kommandir/_content/{name}" for name in listed if name.partition("/")[0] in packing.CONTENT}
    with zipfile.ZipFile(toolkit.wheel()) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = Parser().parsestr(archive.read(f"{packing.INFORMATION}/METADATA").decode())
        assert archive.read(f"{packing.INFORMATION}/entry_points.txt").count(b"main") == 3
        assert archive.read("exekutir/cli.py") == (checkout / "exekutir/cli.py").read_bytes()
    assert inside == {
        name for name in packages | content if (checkout / name.removeprefix("kommandir/_content/")).exists()
    }
    assert f"{metadata['Name']}-{metadata['Version']}" == packing.INFORMATION.removesuffix(".dist-info")


def test_a_release_is_the_version_and_a_digest_of_what_it_holds(toolkit: Toolkit, tmp_path: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+-[0-9a-f]{12}", toolkit.release)
    again = Toolkit.of_this(cache=tmp_path)
    assert again.release == toolkit.release
    assert again.wheel().read_bytes() == toolkit.wheel().read_bytes()
    older = Toolkit(toolkit.cache, toolkit.wheel_cache, (*toolkit._pins, Pin("another", "1")))
    assert older.release != toolkit.release


def test_the_closure_is_what_is_installed_and_nothing_of_the_developers() -> None:
    pins = {pin.name: pin.version for pin in closure.pinned()}
    assert {"ansible-core", "click", "paramiko", "jinja2", "cryptography", "mitogen"} <= set(pins)
    assert not {"exekutir", "pytest", "ruff", "mypy", "molecule", "ansible-lint"} & set(pins)
    assert all(Requirement(f"{name}=={version}") for name, version in pins.items())


def test_a_package_that_only_another_python_needs_is_named() -> None:
    with pytest.raises(KommandirError, match=r"needs importlib-metadata with Python 3\.8, which is not"):
        closure.pinned(Target("3.8", "x86_64", "glibc-2.36"))


def test_the_wheelhouse_is_made_of_what_is_installed(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = toolkit.wheelhouse(HERE.python, HERE.machine, HERE.libc)
    names = {wheel.name.partition("-")[0] for wheel in folder.glob("*.whl")}
    assert names == {pin.name.replace("-", "_") for pin in closure.pinned()} | {"exekutir", "pip"}
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert len(lines) == len(names) - 1
    assert all(re.fullmatch(r"[\w.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert toolkit.bundle(HERE.python, HERE.machine, HERE.libc).parent == folder.parent


def filled(cache: Path, *pins: Pin) -> dict[Pin, Path]:
    with wheelhouse.locked(cache, Deadline.never()):
        return wheelhouse.filled(pins, HERE, cache, deadline=Deadline.never())


def small_wheel(folder: Path, name: str, content: bytes = b"") -> Path:
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    information = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    kind = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    given = [Member(f"{name}.py", content), Member(f"{information}/METADATA", metadata)]
    wheels.write(wheel, [*given, Member(f"{information}/WHEEL", kind)], information)
    return wheel


def test_what_is_in_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = small_wheel(tmp_path, "mine")
    assert filled(tmp_path, Pin("mine", "1.0")) == {Pin("mine", "1.0"): wheel}
    assert (tmp_path / f"{wheel.name}.sha256").read_text().split() == [wheels.checksum(wheel), wheel.name]


def test_a_wheel_that_changed_is_refused(tmp_path: Path) -> None:
    small_wheel(tmp_path, "mine")
    filled(tmp_path, Pin("mine", "1.0"))
    small_wheel(tmp_path, "mine", b"evil = True\n")
    with pytest.raises(KommandirError, match="is another file than it was"):
        filled(tmp_path, Pin("mine", "1.0"))


def test_what_is_missing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, cache = tmp_path / "index", tmp_path / "cache"
    wanted = small_wheel(index, "elsewhere")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    [got] = filled(cache, Pin("elsewhere", "1.0")).values()
    assert got.parent == cache
    assert got.read_bytes() == wanted.read_bytes()
    assert {path.suffix for path in cache.iterdir()} == {".whl", ".sha256", ""}


def test_what_can_not_be_had_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(KommandirError) as caught:
        filled(tmp_path / "cache", Pin("nowhere", "1.0"), Pin("click", "0.0.1"))
    text = str(caught.value)
    assert "are missing: nowhere==1.0 click==0.0.1" in text
    assert f"then copy DIR/*.whl to {tmp_path / 'cache'}" in text


def test_a_package_that_was_changed_here_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(small_wheel(tmp_path, "mine", b"good = True\n")) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    pin = Pin("mine", "1.0")
    made = packing.repacked(pin, tmp_path / "again", HERE)
    assert made
    assert made.read_bytes() == (tmp_path / made.name).read_bytes()
    (site / "mine.py").write_text("good = False\n")
    assert packing.repacked(pin, tmp_path / "third", HERE) is None
    assert packing.repacked(Pin("mine", "2.0"), tmp_path / "third", HERE) is None
