"""``python -m narval_engine`` is the command ``narval``."""

from __future__ import annotations

import sys

from narval_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
