"""Wheels are the same each time, say what is in them, and are told apart by what they run on."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

from exekutir.toolkit import wheels
from exekutir.toolkit.wheels import Member, Target
from kommandir.errors import UsageError

HERE = Target("3.11", "x86_64", "glibc-2.36")


def members(folder: Path) -> list[Member]:
    script = folder / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    return [
        Member('p/odd "name", this.py', b"pass\n"),
        wheels.of_file("p/script", script),
        Member("p-1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: p\nVersion: 1\n"),
    ]


def test_the_same_members_make_the_same_file(tmp_path: Path) -> None:
    given = members(tmp_path)
    wheels.write(tmp_path / "a/p-1-py3-none-any.whl", given, "p-1.dist-info")
    (tmp_path / "script").touch()
    wheels.write(tmp_path / "b/p-1-py3-none-any.whl", reversed(given), "p-1.dist-info")
    assert (tmp_path / "a/p-1-py3-none-any.whl").read_bytes() == (tmp_path / "b/p-1-py3-none-any.whl").read_bytes()


def test_the_record_names_every_file_with_its_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "p-1-py3-none-any.whl"
    record = wheels.write(wheel, members(tmp_path), "p-1.dist-info")
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(record))}
    with zipfile.ZipFile(wheel) as archive:
        assert set(rows) == set(archive.namelist())
        assert archive.read("p-1.dist-info/RECORD").decode() == record
        for name, (digest, size) in rows.items():
            if not name.endswith("/RECORD"):
                content = archive.read(name)
                assert [digest, int(size)] == [f"sha256={wheels.hash_in_record(content)}", len(content)]
        runnable = {info.filename for info in archive.infolist() if info.external_attr >> 16 & 0o100}
    assert runnable == {"p/script"}


def test_a_wheel_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    with pytest.raises(FileNotFoundError):
        wheels.write(place / "p-1-py3-none-any.whl", [Member("p/x", tmp_path / "gone")], "p-1.dist-info")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suits"),
    [
        ("p-1-py3-none-any.whl", True),
        ("p-1-py2.py3-none-any.whl", True),
        ("p-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("p-1-cp38-abi3-manylinux_2_34_x86_64.whl", True),
        ("p-1-cp38-abi3-manylinux_2_38_x86_64.whl", False),
        ("p-1-cp312-cp312-manylinux_2_17_x86_64.whl", False),
        ("p-1-cp311-cp311-manylinux_2_17_aarch64.whl", False),
        ("p-1-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("p-1-cp311-cp311-macosx_11_0_x86_64.whl", False),
        ("no wheel.whl", False),
    ],
)
def test_a_wheel_suits_what_it_runs_on(tmp_path: Path, name: str, suits: bool) -> None:
    (tmp_path / name).touch()
    assert bool(list(wheels.suiting(tmp_path, HERE))) == suits


def test_the_best_wheel_has_the_lowest_rank(tmp_path: Path) -> None:
    names = [
        "p-1-cp311-cp311-manylinux_2_17_x86_64.whl",
        "p-1-cp38-abi3-manylinux_2_34_x86_64.whl",
        "p-1-py3-none-any.whl",
    ]
    for name in names:
        (tmp_path / name).touch()
    assert [entry[3].name for entry in sorted(wheels.suiting(tmp_path, HERE))] == names


@pytest.mark.parametrize(
    "wrong", [("3", "x86_64", "glibc-2.36"), ("3.11", "x 86", "glibc-2.36"), ("3.11", "x86_64", "2.36"), ("", "", "")]
)
def test_what_names_no_target_is_a_mistake(wrong: tuple[str, str, str]) -> None:
    with pytest.raises(UsageError):
        Target(*wrong)
