"""The pages of the reference that derive from code: ``docs/reference/variables.md`` and ``exit-codes.md``.

``python -m exekutir.variables.reference`` writes both anew; with ``--check`` it only says which are out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from exekutir.variables import catalogue_hosts, catalogue_jobs
from exekutir.variables.kinds import Kind, ListOf, Record
from exekutir.variables.variable import Variable
from kommandir import atomic, errors, yamlfile

_NOTE = "<!-- Written by `python -m exekutir.variables.reference`; edit the code that it derives from instead. -->"

_VARIABLES = """\
# Variables

{note}

All variables that exekutir, its roles and its inventory know. A job may use any others besides; one that is almost one
of these is taken for a misspelling. How they are combined: [variables, explained](../explanation/variables.md).
`exekutir explain VARIABLE` shows the value of one and every place that sets it.

- **host**: where it means something: on the exekutir, the kommandir, the peons, or everywhere.
- **passes**: whether a value in `exekutir_vars.yml` is also forced upon the kommandir, over the job's own. Variables
  that are not listed here pass.
- **ADEPT**: whether it has this name and meaning in ADEPT too.

A value that is null, an empty text, list or mapping counts as not set.
"""

_EXIT_CODES = """\
# Exit codes

{note}

Of `exekutir`, `kommandir` and each of their commands. A test that says no and an infrastructure that breaks never share
one; the first thing that went wrong decides. `exekutir xn` alone ends with the exit code of the item that failed.

| code | name | meaning |
|---|---|---|
"""


def variables() -> str:
    """The page of all known variables."""
    text = _VARIABLES.format(note=_NOTE)
    for title, chosen in _sections():
        text += f"\n## {title}\n\n" + "".join(map(_row, chosen))
    return text


def _sections() -> Iterable[tuple[str, list[Variable]]]:
    known = (*catalogue_jobs.VARIABLES, *catalogue_hosts.VARIABLES)
    read = [variable for variable in known if not variable.computed and variable.reader != "nobody"]
    yield "The job", [variable for variable in read if variable.host == "all" and not _is_cloud(variable)]
    yield "The exekutir", [variable for variable in read if variable.host == "exekutir"]
    yield "The kommandir", [variable for variable in read if variable.host == "kommandir"]
    yield "Creating and destroying hosts", [variable for variable in read if _is_cloud(variable)]
    yield "Peons", [variable for variable in read if variable.host == "peon"]
    yield "Set by exekutir", [variable for variable in known if variable.computed]
    yield "Known from ADEPT, read by nothing here", [variable for variable in known if variable.reader == "nobody"]


def _is_cloud(variable: Variable) -> bool:
    return variable.name.startswith("cloud_")


def _row(variable: Variable) -> str:
    facts = [variable.type.name] if not variable.computed and variable.reader != "nobody" else []
    if variable.default is not None:
        default = list(variable.default) if isinstance(variable.default, tuple) else variable.default
        facts.append(f"default `{yamlfile.dump([default])[2:].strip()}`")
    if not variable.computed:
        facts.append(f"host: {variable.host}")
        facts.append("passes" if variable.passes else "does not pass")
    facts += ["ADEPT"] if variable.adept else []
    keys = "".join(f"\n- {line}" for line in _keys(variable.type))
    return f"### `{variable.name}`\n\n{variable.meaning}\n*{'; '.join(facts)}*\n" + (f"{keys}\n" if keys else "") + "\n"


def _keys(kind: Kind) -> Iterable[str]:
    if isinstance(kind, ListOf):
        yield from _keys(kind.item)
    elif isinstance(kind, Record):
        names = [f"`{key}`" + (" (required)" if key in kind.required else "") for key in kind.keys]
        yield "keys: " + ", ".join(names)


def exit_codes() -> str:
    """The page of all exit codes."""
    rows = (f"| {int(code)} | `{code.name}` | {code.meaning} |\n" for code in errors.ExitCode)
    return _EXIT_CODES.format(note=_NOTE) + "".join(rows)


PAGES: Mapping[str, Callable[[], str]] = {"variables.md": variables, "exit-codes.md": exit_codes}


def main(arguments: Sequence[str]) -> int:
    """Write the pages below ``docs/reference`` of a checkout; with ``--check`` 1 if one is out of date, else 0."""
    folder = Path(__file__).resolve().parents[2] / "docs" / "reference"
    stale = []
    for name, page in PAGES.items():
        path, text = folder / name, page().rstrip("\n") + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in arguments:
                folder.mkdir(parents=True, exist_ok=True)
                atomic.write(path, text, durable=False)
    for path in stale:
        print(f"{path}: {'out of date' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
