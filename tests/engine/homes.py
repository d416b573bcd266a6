"""Homes on disk for tests of the command: the modules of the cases, and what a test writes itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from narval_engine.cli import main

MODULE = '''
from narval_engine import Element, ErrorElement

MOD_XML = """
<module name="M" xmlns:al="http://www.example.org/narval">
  <al:action name="noop" func="noop"><al:description lang="en">does nothing</al:description></al:action>
  <al:action name="x" func="noop"><al:input id="i"><al:match>elmt.type == "x"</al:match></al:input></al:action>
  <action name="x_use" func="noop"><input id="i" use="yes"><match>elmt.type == "x"</match></input></action>
  <action name="x2x" func="x2x">
    <input id="i" outdates="yes"><match>elmt.type == "x"</match></input>
    <output id="o"><match>elmt.type == "x"</match></output>
  </action>
  <action name="mkx" func="mkx"><output id="o"><match>elmt.type == "x"</match></output></action>
  <action name="boom" func="boom"/>
  <action name="handler" func="noop"><input id="e"><match>isinstance(elmt, ErrorElement)</match></input></action>
</module>
"""


def noop(inputs):
    print("noise on standard output")


def x2x(inputs):
    return {"o": Element("x", v=str(int(inputs["i"].v) + 1))}


def mkx(inputs):
    return {"o": Element("x", v="prev")}


def boom(inputs):
    raise ValueError("boom")
'''


def step(name: str, target: str, inside: str = "", **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in {"type": "action", **attributes}.items())
    return f'<step id="{name}" target="{target}"{more}>{inside}</step>'


def link(name: str, before: str, after: str, inside: str = "", **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    ins = "".join(
        f'<in idref="{each.lstrip("!")}"{" on_error=" + chr(34) + "yes" + chr(34) if each.startswith("!") else ""}/>'
        for each in before.split()
    )
    outs = "".join(f'<out idref="{each}"/>' for each in after.split())
    return f'<transition id="{name}"{more}>{ins}{outs}{inside}</transition>'


def recipe(name: str, *parts: str, **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<recipe group="g" name="{name}"{more}>{"".join(parts)}</recipe>'


class HomeOnDisk:
    """A home in a directory, and the command run on it in this process."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capture = capture
        for folder in ("modules", "recipes", "data"):
            (directory / folder).mkdir()
        self.module("M", MODULE)

    def module(self, name: str, text: str) -> None:
        (self.directory / "modules" / f"{name}.py").write_text(text)

    def recipes(self, *recipes: str, file: str = "all.xml") -> None:
        (self.directory / "recipes" / file).write_text(f"<cookbook>\n{chr(10).join(recipes)}\n</cookbook>")

    def memory(self, *parts: str) -> None:
        (self.directory / "data" / "memory.xml").write_text(f"<memory>\n{chr(10).join(parts)}\n</memory>")

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._capture.readouterr()
        try:
            code = main([*arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self._capture.readouterr()
        return code, captured.out, captured.err

    def run(self, *more: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the JSON of ``narval run``."""
        code, out, err = self.command("run", "--home", str(self.directory), "--format", "json", *more)
        assert code != 2, err
        return code, json.loads(out)

    def told(self, *more: str) -> tuple[int, dict[str, Any] | None, str]:
        """Exit code, the JSON if there is any, and standard error of ``narval run``."""
        code, out, err = self.command("run", "--home", str(self.directory), "--format", "json", *more)
        return self._read(code, out, err)

    def told_apart(self, *more: str) -> tuple[int, dict[str, Any] | None, str]:
        """The same in a process of its own, so that it knows no module of another home."""
        arguments = [sys.executable, "-m", "narval_engine", "run", "--home", str(self.directory), "--format", "json"]
        done = subprocess.run([*arguments, *more], capture_output=True, text=True, timeout=60, check=False)
        return self._read(done.returncode, done.stdout, done.stderr)

    @staticmethod
    def _read(code: int, out: str, err: str) -> tuple[int, dict[str, Any] | None, str]:
        assert "Traceback" not in err
        return code, json.loads(out) if out else None, err

    def refused(self, *more: str) -> str:
        """What ``narval run`` says on standard error; it must have run nothing."""
        code, out, err = self.command("run", "--home", str(self.directory), *more)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        return err


MakeHome = Callable[[], HomeOnDisk]
