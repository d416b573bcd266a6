"""What an item finds around it: environment, variables of earlier items, files, logs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kommandir import content, environment, redaction, strays, yamlfile
from kommandir.errors import UsageError
from kommandir.playbook.zygotes import Zygotes
from kommandir.step_log import StepLog
from kommandir.xn.reading import Item
from kommandir.xn.request import XnRequest
from kommandir.xn.substitution import substituted

#: Where logs lie in the workspace.
LOGS = Path("results", "logs")


class Surroundings:
    """Shared by the items of one run, in their order; variables grow from item to item. To be closed at the end."""

    def __init__(self, request: XnRequest, *, one_playbook: bool = False) -> None:
        self.request = request
        self.workspace = request.workspace
        #: What ``variable`` items have set.
        self.variables: dict[str, str] = {}
        self.base = _base(request)
        self.redactor = request.events.redactor
        #: One playbook alone is started sooner by itself.
        self.zygotes = None if one_playbook else Zygotes()
        self.redactor.add(redaction.secret_values(self.base))
        #: Marks the processes of the step that runs; "": a new mark for each environment.
        self.mark = ""
        #: Keeps a record, by its kind, of what has to be known again where a killed run is gone on with.
        self.keep: Callable[..., object] = lambda _kind, **_data: None

    def close(self) -> None:
        """End the processes that were kept for further playbooks."""
        if self.zygotes is not None:
            self.zygotes.close()

    def set(self, name: str, value: str) -> None:
        """Set a variable for later items; a secret one is redacted from now on."""
        self.redactor.add(redaction.secret_values({name: value}))
        self.keep("variable", name=name, value=value)
        self.variables[name] = value

    def note_secrets(self, file: Path) -> None:
        """Redact the secrets that a file of variables has from now on."""
        self.keep("varsfile", path=str(file))
        with contextlib.suppress(UsageError):  # what is wrong with the file is for Ansible to say, with its own rules
            self.redactor.add(redaction.secret_values(yamlfile.mapping(file).value))

    def restore(self, kept: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
        """Set the variables again that a run that was killed had set, and redact what it redacted."""
        for record in kept.get("variable", ()):
            self.redactor.add(redaction.secret_values({record["name"]: record["value"]}))
            self.variables[record["name"]] = record["value"]
        for path in dict.fromkeys(record["path"] for record in kept.get("varsfile", ())):
            with contextlib.suppress(UsageError):
                self.redactor.add(redaction.secret_values(yamlfile.mapping(Path(path)).value))

    def environment(self) -> dict[str, str]:
        """The environment of a child process of a new step."""
        return {**self.base, **self.variables, **strays.marks(self.request.uuid, self.mark)}

    def values(self) -> Mapping[str, str]:
        """What ``$VAR`` stands for in an item."""
        return {"ADEPT_OPTIONAL": "", **self.base, **self.variables}

    def text(self, item: Item, key: str) -> str | None:
        """The value of a key with its variables replaced, stripped; None where it does not stand there."""
        found = item.keys.get(key)
        if found is None or not item.kind.keys[key].substituted:
            return found
        return substituted(found, self.values()).strip()

    def file(self, item: Item, key: str) -> Path | None:
        """The same as a path: relative to the workspace, absolute when it comes back. UsageError when it is empty."""
        found = self.text(item, key)
        if found is None:
            return None
        if not found or "\0" in found:
            raise UsageError(f"{item.place}: `{key}` is empty once its variables are replaced: `{item.keys[key]}`")
        return Path(os.path.normpath(self.workspace / found))

    def output_file(self, item: Item, key: str) -> Path | None:
        """The same for ``stdoutfile`` and ``stderrfile``, of which ``-`` is no file."""
        return None if item.keys.get(key) in (None, "-") else self.file(item, key)

    def step(self, item: Item) -> str:
        """The name of an item's step: unique in its file, and among files of one workspace."""
        stem = self.request.file.stem if self.request.file else "stdin"
        step = f"{item.index:02d}-{item.kind.name}"
        return step if stem == "job" else f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)}-{step}"

    def log(self, item: Item) -> StepLog:
        """The log of an item's step."""
        name = f"{self.request.context}-{self.step(item)}.log"
        return StepLog(self.workspace / LOGS / name, self.workspace, self.request.events)


def _base(request: XnRequest) -> dict[str, str]:
    found = environment.of_job(request.uuid, also=request.environment_pass)
    found |= {
        "WORKSPACE": str(request.workspace),
        "ADEPT_PATH": str(content.root()),
        "ADEPT_CONTEXT": request.context,
    }
    optional = " ".join(argument.strip() for argument in request.optional if argument.strip())
    return {**found, "ADEPT_OPTIONAL": optional} if optional else found
