"""The command ``kommandir`` that dies by SIGKILL right after its N-th entry in the journal: N, then its arguments."""

from __future__ import annotations

import os
import signal
import sys

from kommandir import cli
from kommandir.xn import run_journal
from narval_engine.journal import SqliteJournal


class DyingJournal(SqliteJournal):
    """Dies after so many entries, whatever kind they are of."""

    left = 0

    def _insert(self, statement: str, text: str) -> None:
        super()._insert(statement, text)
        type(self).left -= 1
        if not type(self).left:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    DyingJournal.left = int(sys.argv[1])
    run_journal.SqliteJournal = DyingJournal  # type: ignore[attr-defined]  # a real journal, with an end
    sys.argv = ["kommandir", *sys.argv[2:]]
    cli.main()
