"""Messages of failures and whose fault they are: pure rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.errors import ExitCode
from kommandir.failure import Failure
from kommandir.playbook import classification, messages
from kommandir.step_log import plain


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"msg": "on purpose"}, "on purpose"),
        ({"msg": "non-zero return code", "rc": 2, "stderr": "why\nmore"}, "exit code 2\nwhy\nmore"),
        ({"msg": "non-zero return code", "rc": 2, "stdout": "only this"}, "exit code 2\nonly this"),
        ({"msg": "MODULE FAILURE\nSee stdout", "rc": 1, "module_stderr": "Traceback"},
         "MODULE FAILURE\nSee stdout (exit code 1)\nTraceback"),
        ({"msg": "no", "exception": "Traceback:\n  x\nValueError: bad"}, "no\nValueError: bad"),
        ({"msg": "no", "exception": "(traceback unavailable)"}, "no"),
        ({"msg": "one is not two", "assertion": "1 == 2"}, "one is not two\nassertion: 1 == 2"),
        ({"censored": "the output has been hidden", "msg": "secret"}, messages.HIDDEN),
        ({"msg": "One or more items failed", "results": [
            {"failed": False, "item": "a"}, {"failed": True, "item": "b", "msg": "bad b"},
            {"failed": True, "ansible_loop_var": "name", "name": "c", "msg": "bad c"}]},
         "item b: bad b\nitem c: bad c"),
        ({"results": [{"censored": "x"}, {"censored": "y"}]}, f"{messages.HIDDEN}\n{messages.HIDDEN}"),
        ({"results": [{"failed": True, "item": n, "msg": "m"} for n in range(1, 8)]},
         "\n".join(f"item {n}: m" for n in range(1, 6)) + "\nand 2 more items"),
        ({}, "failed without a word"),
        ({"msg": "", "rc": 0}, "failed without a word"),
    ],
)  # fmt: skip
def test_the_reason_of_a_failure(result: dict[str, Any], message: str) -> None:
    assert messages.message(result) == message


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "msg",
    "rc",
    "stderr",
    "stdout",
    "results",
    "exception",
    "censored",
    "item",
    "failed",
    "assertion",
    "module_stderr",
]


@given(st.dictionaries(st.sampled_from(KEYS), ANY))
def test_any_result_has_a_message(result: dict[str, Any]) -> None:
    assert messages.message(result)
    assert isinstance(messages.said(result) + messages.tail(result, "stdout"), str)


def failure(**more: Any) -> Failure:
    return Failure(step="s", message="m", **more)


@pytest.mark.parametrize(
    ("failures", "context", "code"),
    [
        ([failure()], "run", ExitCode.TESTS_FAILED),
        ([failure()], "setup", ExitCode.JOB_FAILED),
        ([failure()], "custom", ExitCode.JOB_FAILED),
        ([failure(), failure(unreachable=True)], "run", ExitCode.UNREACHABLE),
        ([failure(infrastructure=True, unreachable=True)], "run", ExitCode.UNREACHABLE),
        ([failure(), failure(unreachable=True), failure(infrastructure=True)], "run", ExitCode.PROVISIONING_FAILED),
    ],
)
def test_the_infrastructure_goes_before_the_tests(failures: list[Failure], context: str, code: ExitCode) -> None:
    assert classification.of_failures(failures, context) == code


@pytest.mark.parametrize(
    ("code", "lines", "outcome", "message"),
    [
        (4, ["[WARNING]: x", "[ERROR]: YAML parsing failed", "Origin: /x.yml:3:1", "", "  here"], ExitCode.USAGE,
         "YAML parsing failed\nOrigin: /x.yml:3:1\n  here"),
        (1, ["ERROR! the role 'x' was not found"], ExitCode.USAGE, "the role 'x' was not found"),
        (5, ["usage: ansible-playbook", "ansible-playbook: error: no"], ExitCode.USAGE, "ansible-playbook: error: no"),
        (1, ["[ERROR]: [Errno 28] No space left on device"], ExitCode.KOMMANDIR_FAILED, "No space left on device"),
        (250, ["[ERROR]: Unexpected Exception"], ExitCode.KOMMANDIR_FAILED, "Unexpected Exception"),
        (-9, [], ExitCode.KOMMANDIR_FAILED, "killed by signal 9"),
        (127, ["not found: ansible-playbook"], ExitCode.KOMMANDIR_FAILED, "not found: ansible-playbook"),
        (1, ["nothing that we know"], ExitCode.KOMMANDIR_FAILED, "ended with 1"),
    ],
)  # fmt: skip
def test_whose_fault_it_is_that_ansible_broke(code: int, lines: list[str], outcome: ExitCode, message: str) -> None:
    found, text = classification.of_breakage(code, lines)
    assert found == outcome
    assert message in text


def test_colours_do_not_get_into_logs() -> None:
    assert plain("\x1b[0;31mred\x1b[0m\r\n\x1b[Kx\x1b]") == "red\nx"
