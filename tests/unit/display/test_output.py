from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exekutir.display.output import Output


def test_a_reader_that_went_away_ends_the_output_not_the_program() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        output = Output(stream)
        for _ in range(3):
            output.write("text\n")
            output.flush()
        assert output.gone


def test_a_full_disk_ends_the_output_not_the_program() -> None:
    with Path("/dev/full").open("w") as stream:
        output = Output(stream)
        output.write("x" * 100_000)
        output.flush()
        assert output.gone


def test_a_closed_stream_ends_the_output() -> None:
    with Path(os.devnull).open("w") as stream:
        pass
    output = Output(stream)
    output.write("x")
    assert output.gone
    assert not output.isatty()


@pytest.mark.parametrize(
    ("encoding", "expected"), [("ascii", b"? ??"), ("latin-1", b"\xfc ??"), ("utf-8", "ü 日本".encode())]
)
def test_characters_that_an_encoding_lacks(tmp_path: Path, encoding: str, expected: bytes) -> None:
    file = tmp_path / "out"
    with file.open("w", encoding=encoding) as stream:
        output = Output(stream)
        output.write("ü 日本")
        output.write("\udcff")
        output.flush()
    assert file.read_bytes() == expected + b"?"


def test_a_non_blocking_pipe_loses_nothing() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    text = "x" * 1_000_000
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(len(sys.stdin.read()))"], stdin=reader, stdout=-1
    )
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        output = Output(stream)
        output.write(text)
        output.flush()
    assert child.communicate()[0].strip() == b"1000000"
    assert not output.gone


def test_no_stream_at_all() -> None:
    output = Output(None)
    output.write("x")
    output.flush()
    assert output.gone
    assert not output.isatty()


PROGRAM = """
import os, sys
from exekutir import display
from tests.event_streams import Told, good_job
from pathlib import Path
from exekutir import results
with display.opened(sys.argv[2], verbosity=4, stdout=sys.stdout, stderr=sys.stderr, environ=os.environ) as screen:
    told = Told(Path(sys.argv[1]), screen)
    good_job(told)
display.concluded(results.write(told.path, exit_code=0), sys.argv[2], stdout=sys.stdout, environ=os.environ)
(told.path / "came to its end").touch()
"""


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_program_whose_reader_goes_away_comes_to_its_end(tmp_path: Path, checkout: Path, form: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), form]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
    assert child.stdout
    assert child.stderr
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert (child.wait(60), said) == (0, b"")
    assert (tmp_path / "came to its end").exists()


@pytest.mark.parametrize("form", ["auto", "plain", "json"])
def test_a_program_without_standard_streams_comes_to_its_end(tmp_path: Path, checkout: Path, form: str) -> None:
    command = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c", PROGRAM, str(tmp_path), form]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout)}
    assert subprocess.run(command, env=environ).returncode == 0
    assert (tmp_path / "came to its end").exists()
