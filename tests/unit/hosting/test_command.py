"""The command `kommandir host` is what the reference says."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from kommandir.errors import UsageError
from kommandir.hosting import command


def actions() -> dict[str, argparse.ArgumentParser]:
    [found] = [each for each in command._parser()._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(found.choices)


@pytest.mark.parametrize("action", actions())
def test_the_reference_has_every_action_with_its_options(checkout: Path, action: str) -> None:
    page = (checkout / "docs/reference/kommandir.md").read_text().partition("\n## `kommandir host")[2]
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{action}")]
    for option in actions()[action]._actions:
        if option.dest != "help":
            assert [*option.option_strings, str(option.metavar)][0] in row


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[3]",
        '{"git_cache_args": 3}',
        '{"git_cache_args": [{"cachepath": "x"}]}',
        '{"file_cache_args": [{"url": "https://example.org/x", "checksum": "sha256:1"}]}',
    ],
)
def test_what_names_nothing_to_fetch_is_a_mistake(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(UsageError):
        command.main(["fill-caches"])
