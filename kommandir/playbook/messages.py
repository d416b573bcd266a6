"""Why a task failed, in a few lines, from the result that Ansible gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "the output is hidden by no_log"
#: Characters of a stream that an event carries: its end.
TAIL = 4096
#: Lines and items that a message has at most.
MOST_LINES = 12
MOST_ITEMS = 5

#: What Ansible says where it has nothing to say.
_SAY_NOTHING = {"", "(traceback unavailable)", "MODULE FAILURE", "One or more items failed"}


def message(result: Mapping[str, Any]) -> str:
    """The reason of a failure: what the module says, its exit code, the first lines of what it wrote; of loops, each
    failed item's own. Hidden results stay hidden.
    """
    if "censored" in result:
        return HIDDEN
    results = result.get("results")  # of a loop; some modules give something of their own that name
    items = (
        [item for item in results if isinstance(item, Mapping) and _went_wrong(item)]
        if isinstance(results, list)
        else []
    )
    if items:
        lines = [f"{_label(item)}{line}" for item in items[:MOST_ITEMS] for line in _lines(item)[:3]]
        more = len(items) - MOST_ITEMS
        return "\n".join([*lines, *([f"and {more} more items"] if more > 0 else [])])
    return "\n".join(_lines(result)[:MOST_LINES])


def said(result: Mapping[str, Any]) -> str:
    """What a task that did not fail has to say: the text of ``debug``, the note of a module."""
    text = result.get("msg", "")
    return text.strip()[:TAIL] if isinstance(text, str) else ""


def tail(result: Mapping[str, Any], stream: str) -> str:
    """The end of what the task's program wrote to ``stdout`` or ``stderr``."""
    text = result.get(stream) or result.get(f"module_{stream}") or ""
    return text[-TAIL:] if isinstance(text, str) else ""


def _went_wrong(item: Mapping[str, Any]) -> bool:
    return bool(item.get("failed") or item.get("unreachable")) or ("censored" in item and "failed" not in item)


def _label(item: Mapping[str, Any]) -> str:
    """``item ...: ``, or nothing for an item that has no name."""
    label = item.get("_ansible_item_label") or item.get(item.get("ansible_loop_var", "item"))
    return f"item {str(label)[:80]}: " if label and "censored" not in item else ""


def _lines(result: Mapping[str, Any]) -> list[str]:
    return list(_all_lines(result)) or ["failed without a word"]


def _all_lines(result: Mapping[str, Any]) -> Iterator[str]:
    if "censored" in result:
        yield HIDDEN
        return
    told = str(result.get("msg") or "").strip()
    if told == "non-zero return code":
        told = f"exit code {result.get('rc')}"
    elif result.get("rc") not in (None, 0) and "rc" not in told:
        told = f"{told} (exit code {result.get('rc')})".strip()
    if told not in _SAY_NOTHING:
        yield from told.splitlines()
    if result.get("assertion"):
        yield f"assertion: {result['assertion']}"
    streams = ("stderr", "module_stderr", "stdout", "module_stdout")
    written = next((str(result[name]) for name in streams if str(result.get(name) or "").strip()), "")
    if written.strip() != told:
        yield from (line for line in written.strip().splitlines()[:MOST_LINES] if line.strip())
    exception = str(result.get("exception") or "").strip()
    if exception not in _SAY_NOTHING and not written:
        yield exception.splitlines()[-1]
