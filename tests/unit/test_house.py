"""The rules of the house that no linter knows, checked over the whole tree. Each failure lists all offenders."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("exekutir", "kommandir", "narval_engine")
#: package: the packages of ours that it must not know.
FORBIDDEN_IMPORTS = {
    "narval_engine": {"exekutir", "kommandir", "tests"},
    "kommandir": {"exekutir", "tests"},
    "exekutir": {"tests"},
}
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 40
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "misc", "tools", "stuff"}
TEXT = {
    ".py",
    ".yml",
    ".yaml",
    ".md",
    ".sh",
    ".toml",
    ".cfg",
    ".j2",
    ".xn",
    ".html",
    ".css",
    ".js",
    ".xml",
    ".xsl",
    ".txt",
    "",
}
#: Places of one machine, and hosts that a machine's own configuration has to name.
OF_ONE_MACHINE = re.compile(
    r"/work/(main|shared|\.)|/root/\.pyenv|/tmp/(plan|venv)\b|/opt/(pypi|wheels)|pypi\.org|deb\.debian\.org"
)
#: A suppression that lacks its code or, after it, a reason of two words.
REASONLESS = re.compile(r"#\s*(type: ignore|noqa)(?!(\[[\w, -]+\]|: [A-Z]+\d+(, ?[A-Z]+\d+)*)[\s#:,-]+\S+ \S+)")
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def files() -> tuple[Path, ...]:
    """Every text file that is, or is about to be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    paths = {CHECKOUT / name for name in listed.split("\0") if name}
    return tuple(sorted(path for path in paths if path.is_file() and not path.is_symlink() and path.suffix in TEXT))


def python_files(*tops: str) -> Iterator[Path]:
    """The Python files below these folders of the checkout."""
    for path in files():
        if path.suffix == ".py" and path.relative_to(CHECKOUT).parts[0] in tops:
            yield path


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path, line: int | None = None) -> str:
    place = str(path.relative_to(CHECKOUT))
    return place if line is None else f"{place}:{line}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement after the docstring to the end."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, FUNCTION))


def imported_tops(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level package of each absolute import, also of those inside functions."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.lineno, node.module.partition(".")[0]


def test_no_file_is_longer_than_anyone_reads() -> None:
    exempt = {"packaging/constraints.txt"}
    long = {name_of(path): n for path in files() if (n := path.read_text().count("\n")) > MAX_FILE_LINES}
    assert {name: n for name, n in long.items() if name not in exempt} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{name_of(path, node.lineno)} {node.name}": body_lines(node)
        for path in python_files(*PACKAGES, "roles", "playbooks", "tests")
        for node in functions(path)
        if body_lines(node) > MAX_FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_median_function_is_short(package: str) -> None:
    lengths = [body_lines(node) for path in python_files(package) for node in functions(path)]
    assert statistics.median(lengths) < 10


def test_modules_are_named_by_nouns_that_mean_something() -> None:
    assert [name_of(path) for path in python_files(*PACKAGES, "tests") if path.stem in VAGUE_NAMES] == []


def test_each_layer_knows_only_those_below_it() -> None:
    wrong = [
        f"{name_of(path, line)} imports {imported}"
        for package, forbidden in FORBIDDEN_IMPORTS.items()
        for path in python_files(package)
        for line, imported in imported_tops(path)
        if imported in forbidden
    ]
    assert wrong == []


def matching_lines(pattern: re.Pattern[str], *, python_only: bool = False) -> list[str]:
    return [
        f"{name_of(path, number)}: {line.strip()}"
        for path in files()
        if path != Path(__file__).resolve() and (path.suffix == ".py" or not python_only)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_names_one_machine() -> None:
    assert matching_lines(OF_ONE_MACHINE) == []


def test_a_rule_is_switched_off_only_with_its_code_and_a_reason() -> None:
    assert matching_lines(REASONLESS, python_only=True) == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    skipping = re.compile(r"pytest\.(skip|xfail|importorskip)|mark\.(skip|skipif|xfail)|unittest\.mock|import mock")
    assert matching_lines(skipping, python_only=True) == []


def test_scripts_can_be_run_and_nothing_else_claims_to() -> None:
    wrong = [
        name_of(path)
        for path in files()
        if path.read_text()[:2] == "#!" and path.suffix != ".j2" and not path.stat().st_mode & 0o100
    ]
    assert wrong == []


# -- documents


def slug(heading: str) -> str:
    """The anchor that the usual Markdown renderers give to a heading."""
    plain = re.sub(r"[`*_]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"(?ms)^(```|~~~).*?^\1", "", text)


@cache
def anchors(path: Path) -> frozenset[str]:
    text = without_code(path.read_text())
    explicit = re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text)
    return frozenset([slug(found) for found in re.findall(r"(?m)^#+ (.*)$", text)] + explicit)


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", without_code(path.read_text()))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"(?m)^\[[^]]+\]:\s*(\S+)", text)


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in (path for path in files() if path.suffix == ".md"):
        for link in links(path):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                broken.append(f"{name_of(path)} -> {link}")
    assert broken == []


def test_every_document_is_reachable_from_the_readme() -> None:
    start = CHECKOUT / "README.md"
    seen, todo = {start}, [start]
    while todo:
        page = todo.pop()
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in seen:
                seen.add(target)
                todo.append(target)
    pages = {path for path in files() if path.suffix == ".md" and path.relative_to(CHECKOUT).parts[0] == "docs"}
    assert sorted(name_of(path) for path in pages - seen) == []


def test_tests_that_documents_name_are_there() -> None:
    named = {name for path in files() if path.suffix == ".md" for name in re.findall(r"`(test_\w+)`", path.read_text())}
    functions = {
        node.name for path in python_files("tests") for node in ast.walk(parsed(path)) if isinstance(node, FUNCTION)
    }
    assert named - functions - {path.stem for path in python_files("tests")} == set()
