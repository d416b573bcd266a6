from __future__ import annotations

import os
from pathlib import Path

import pytest

from exekutir.results import peon_tests
from exekutir.results.peon_files import files_of_peons, junit_files
from exekutir.results.record import JUnitFile

LAUGHS = (
    "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>"
    "<testsuite><testcase name='&b;'/></testsuite>"
)
OUTSIDE = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><testsuite>&a;</testsuite>"


def read(tmp_path: Path, text: str | bytes) -> JUnitFile | None:
    file = tmp_path / "x.xml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return peon_tests.read_file(file, peon="one", path="results/one/x.xml")


def known(tmp_path: Path, text: str | bytes) -> JUnitFile:
    found = read(tmp_path, text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "outcome", "message"),
    [
        ("", "passed", ""),
        ("<failure message='no'>text</failure>", "failed", "no"),
        ("<failure>first\nsecond</failure>", "failed", "first second"),
        ("<error message='broke'/>", "error", "broke"),
        ("<skipped message='later'/>", "skipped", "later"),
        ("<system-out>noise</system-out>", "passed", ""),
    ],
)
def test_outcomes(tmp_path: Path, body: str, outcome: str, message: str) -> None:
    text = f"<testsuites><testsuite name='s'><testcase classname='c' name='n' time='0.5'>{body}</testcase>"
    (case,) = known(tmp_path, text + "</testsuite></testsuites>").cases
    assert (case.suite, case.classname, case.name, case.seconds) == ("s", "c", "n", 0.5)
    assert (case.outcome, case.message) == (outcome, message)


@pytest.mark.parametrize("time", ["", "soon", "nan", "inf", "-3", "1e99"])
def test_a_strange_time_is_none(tmp_path: Path, time: str) -> None:
    (case,) = known(tmp_path, f"<testsuite><testcase name='n' time='{time}'/></testsuite>").cases
    assert case.seconds == 0


def test_a_torn_file_keeps_what_it_had(tmp_path: Path) -> None:
    file = known(tmp_path, "<testsuite><testcase name='a'/><testcase name='b'><failure>")
    assert [case.name for case in file.cases] == ["a"]
    assert "no element found" in file.broken


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE])
def test_entities_are_refused(tmp_path: Path, text: str) -> None:
    file = known(tmp_path, text)
    assert "entities" in file.broken
    assert file.cases == []


@pytest.mark.parametrize("text", ["<coverage><testcase name='x'/></coverage>", "<html/>"])
def test_other_xml_is_passed_over(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) is None


@pytest.mark.parametrize("text", ["", "not xml", b"\xff\xfe\0\0", "<testsuite><testcase name='\x01'/></testsuite>"])
def test_what_is_no_xml_is_a_complaint(tmp_path: Path, text: str | bytes) -> None:
    assert known(tmp_path, text).broken


def test_deep_nesting_is_read(tmp_path: Path) -> None:
    text = "<testsuite>" * 5000 + "<testcase name='deep'/>" + "</testsuite>" * 5000
    assert [case.name for case in known(tmp_path, text).cases] == ["deep"]


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.xml").open("wb") as stream:
        stream.truncate(peon_tests.LARGEST + 1)
    file = peon_tests.read_file(tmp_path / "x.xml", peon="one", path="x")
    assert file is not None
    assert "larger than 32 MiB" in file.broken


def test_only_plain_files_below_the_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "one" / "deep").mkdir(parents=True)
    (tmp_path / "one" / "deep" / "a.xml").write_text("<testsuite><testcase name='a'/></testsuite>")
    (tmp_path / "one" / "passwd.xml").symlink_to("/etc/passwd")
    (tmp_path / "one" / "root").symlink_to("/")
    os.mkfifo(tmp_path / "one" / "pipe.xml")
    (tmp_path / "elsewhere").symlink_to("/etc")
    (tmp_path / "junit.xml").write_text("<testsuite/>")
    files = files_of_peons(tmp_path)
    assert files == {"one": ["one/deep/a.xml"]}
    assert [file.path for file in junit_files(tmp_path, files)] == ["results/one/deep/a.xml"]


def test_a_name_that_is_no_text_is_survived(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / os.fsdecode(b"\xff.xml")).write_text("<testsuite><testcase name='a'/></testsuite>")
    (file,) = junit_files(tmp_path, files_of_peons(tmp_path))
    assert len(file.cases) == 1


def test_no_results_no_files(tmp_path: Path) -> None:
    assert files_of_peons(tmp_path / "none") == {}
