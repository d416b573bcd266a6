"""Runs the tests of Python's unittest in a folder and writes their results as JUnit XML.

usage: junit_runner.py --suite=NAME --output=FILE FOLDER     exit codes: 0 all passed; 1 some did not; 2 there are none
"""

# ruff: noqa: D102 - the methods are those of unittest.TestResult

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback
import unittest
from types import TracebackType
from typing import Any
from xml.etree import ElementTree

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Problem = tuple[type[BaseException], BaseException, TracebackType]


class JUnitResult(unittest.TestResult):
    """Collects a ``testcase`` a test, with the time it took."""

    def __init__(self) -> None:
        super().__init__()
        self.suite = ElementTree.Element("testsuite")
        self._case = ElementTree.Element("testcase")
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802  unittest's own name
        super().startTest(test)
        self._begin(test)

    def _begin(self, test: Any) -> None:
        *module, name = test.id().split(".")
        self._case = ElementTree.SubElement(self.suite, "testcase", classname=".".join(module), name=name)
        self._began = time.monotonic()

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802  unittest's own name
        super().stopTest(test)
        self._case.set("time", f"{time.monotonic() - self._began:.3f}")

    def _not_passed(self, kind: str, test: Any, problem: Any) -> None:
        # What breaks in setUpClass has not been started.
        if not hasattr(test, "_testMethodName"):
            self._begin(test)
        text = ILLEGAL.sub("?", "".join(traceback.format_exception(*problem)))
        message = ILLEGAL.sub("?", str(problem[1])).strip()
        ElementTree.SubElement(self._case, kind, message=message, type=problem[0].__name__).text = text
        print(f"{test.id()}: {kind}: {(message.splitlines() or [''])[0]}")

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802  unittest's own name
        super().addFailure(test, err)
        self._not_passed("failure", test, err)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802  unittest's own name
        super().addError(test, err)
        self._not_passed("error", test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802  unittest's own name
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._not_passed("failure" if issubclass(err[0], test.failureException) else "error", test, err)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802  unittest's own name
        super().addSkip(test, reason)
        ElementTree.SubElement(self._case, "skipped", message=ILLEGAL.sub("?", reason))


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("folder")
    told = parser.parse_args()
    result, began = JUnitResult(), time.monotonic()
    unittest.defaultTestLoader.discover(told.folder, top_level_dir=told.folder).run(result)
    counts = {"tests": result.testsRun, "failures": len(result.failures), "errors": len(result.errors)}
    counts["skipped"] = len(result.skipped)
    attributes = {"name": told.suite, "time": f"{time.monotonic() - began:.3f}"}
    result.suite.attrib.update({**attributes, **{name: str(number) for name, number in counts.items()}})
    suites = ElementTree.Element("testsuites")
    suites.append(result.suite)
    ElementTree.ElementTree(suites).write(told.output, encoding="utf-8", xml_declaration=True)
    print(", ".join(f"{number} {name}" for name, number in counts.items()))
    if not result.testsRun and result.wasSuccessful():
        print(f"there are no tests in {told.folder}", file=sys.stderr)
        return 2
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
