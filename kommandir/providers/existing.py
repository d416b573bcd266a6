#!/usr/bin/env -S python3 -I -S
"""The provider ``existing`` as an executable: see ``existing_host.py``, and ``--help``."""

import sys

if __name__ == "__main__":
    # Run by path (`python -I -S .../existing.py`) there is no package around this file.
    if not __package__:
        sys.path.insert(0, __file__.rpartition("/kommandir/")[0] or "..")
    from kommandir.providers import command, existing_host

    sys.exit(command.run(existing_host, sys.argv[1:]))
