#!/usr/bin/env -S python3 -I -S
"""The provider ``podman`` as an executable: see ``podman_peon.py``, and ``--help``."""

import sys

if __name__ == "__main__":
    # Run by path (`python -I -S .../podman.py`) there is no package around this file.
    if not __package__:
        sys.path.insert(0, __file__.rpartition("/kommandir/")[0] or "..")
    from kommandir.providers import command, podman_peon

    sys.exit(command.run(podman_peon, sys.argv[1:]))
