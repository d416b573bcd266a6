#!/usr/bin/env -S python3 -I -S
"""The provider ``namespace`` as an executable: see ``namespace_peon.py``, and ``--help``."""

import sys

if __name__ == "__main__":
    # Run by path (`python -I -S .../namespace.py`) there is no package around this file.
    if not __package__:
        sys.path.insert(0, __file__.rpartition("/kommandir/")[0] or "..")
    from kommandir.providers import command, namespace_peon

    sys.exit(command.run(namespace_peon, sys.argv[1:]))
