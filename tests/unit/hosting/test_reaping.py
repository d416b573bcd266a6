"""One user's peons that can't be looked at keep nobody from the others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kommandir.hosting import reaping
from kommandir.hosting.accounts import Accounts
from kommandir.hosting.places import Places
from kommandir.hosting.records import READY, Record


def test_a_user_whose_peons_take_too_long_is_named_and_the_next_one_has_his_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    accounts = Accounts(places)
    places.accounts.mkdir(parents=True)
    for user in ("one", "two"):
        (places.jobs / user / "state" / "namespace" / "peon").mkdir(parents=True)
        accounts.records.write(Record(user=user, uid=os.getuid(), slot=None, state=READY, made=0.0, touched=0.0))
    program = tmp_path / "bin" / "exekutir"
    program.parent.mkdir()
    answer = '{"destroyed": [{"provider": "namespace", "name": "peon"}], "failed": []}'
    program.write_text(f"#!/bin/sh\n[ $USER = two ] || exec sleep 60\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(reaping, "PATIENCE", 3.0)
    told = reaping.reap(accounts)
    assert told["destroyed"] == ["two: namespace peon"]
    assert [line.partition(":")[0] for line in told["refused"]] == ["one"]
    assert reaping.last(places) == told
