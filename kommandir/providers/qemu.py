#!/usr/bin/env -S python3 -I -S
"""The provider ``qemu`` as an executable: see ``qemu_vm.py``, and ``--help``."""

import sys

if __name__ == "__main__":
    # Run by path (`python -I -S .../qemu.py`) there is no package around this file.
    if not __package__:
        sys.path.insert(0, __file__.rpartition("/kommandir/")[0] or "..")
    from kommandir.providers import command, qemu_vm

    sys.exit(command.run(qemu_vm, sys.argv[1:]))
