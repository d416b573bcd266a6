"""A secret turns up nowhere, however it is written."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommandir.redaction import MARK, Redactor, is_secret_name, secret_values


@pytest.mark.parametrize(
    "name",
    ["password", "ansible_become_pass_", "db_passwd", "api_key", "apikey", "AWS_SECRET_ACCESS_KEY", "github_token"],
)
def test_names_that_look_like_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["no_log_synchronize", "ansible_private_key_file", "public_key", "passed", "tokenizer_model", "compass"]
)
def test_names_that_do_not(name: str) -> None:
    assert not is_secret_name(name)


def test_values_are_found_at_any_depth() -> None:
    variables = {"a": {"b": [{"db_password": "hunter22"}]}, "secrets": {"x": "one1", "y": ["two2"]}, "plain": "three3"}
    assert set(secret_values(variables)) == {"hunter22", "one1", "two2"}


def test_short_values_and_templates_are_no_secrets() -> None:
    assert Redactor(["abc", "{{ other_variable }}"]).text("abc {{ other_variable }}") == "abc {{ other_variable }}"


@given(secret=st.text(min_size=4).filter(lambda text: len(text.strip()) >= 4 and "{{" not in text))
def test_no_spelling_of_a_secret_stays(secret: str) -> None:
    secret = secret.strip()
    redactor = Redactor([secret])
    lines = [line.strip() for line in [secret, *secret.splitlines()]]
    for line in (line for line in lines if len(line) >= 4 and not line.startswith("-----")):
        for written in (line, json.dumps(line)[1:-1], quote(line, safe="")):
            assert redactor.text(f"<{written}>").replace(MARK, "").count(written) == 0 or written in MARK
    assert redactor.value({"key": [secret, 1, None, True]})["key"][1:] == [1, None, True]


def test_numbers_that_are_secrets_go_too() -> None:
    assert Redactor(["123456"]).value({"pin": 123456, "other": 12}) == {"pin": MARK, "other": 12}
